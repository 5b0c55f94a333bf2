"""Setting integrations up, testing, activating, changing and removing them."""

from __future__ import annotations

import pytest

from apps.audit.models import AuditEntry
from apps.connectors.errors import NotActive, TestFailed
from apps.connectors.models import CallCount, ConnectionEvent, Integration, IntegrationLog
from apps.connectors.services import health, integrations, lifecycle, syncs
from apps.connectors.services.checking import StreamSettings
from apps.events.models import Event
from apps.kernel.errors import Conflict, InvalidInput
from apps.records.selectors import dataset_of
from apps.records.services import mappings
from apps.tenants.services import organizations
from tests.connectors.shop import MAPPING, TOKEN, stream
from tests.peers.rest_peer import RestPeer


def pointers(caught):
    return {error.pointer: error.code for error in caught.value.errors}


def test_an_integration_is_numbered_and_waits_for_its_test(connect, organization):
    first, second = connect(active=False), connect(active=False)

    assert (first.number, second.number) == ("INT-2026-00001", "INT-2026-00002")
    assert (first.status, first.code, second.code) == ("pending_setup", "shop", "shop-2")
    assert (first.connection_method, first.type, first.provider) == ("token", "api", "Any")
    assert first.webhook_url.endswith("/api/v1/webhooks/receive/shop")
    row = first.streams.get()
    assert (row.name, row.dataset.slug, row.mode, row.enabled) == (
        "customers",
        "clients",
        "incremental",
        True,
    )
    entry = AuditEntry.objects.get(action="integration.created", object_ref=first.number)
    assert entry.actor_label == "Ada"
    assert entry.changes["credentials.token"] != ["", TOKEN]
    assert Event.objects.filter(type="integration.created", subject=first.number).count() == 1


def test_it_is_activated_by_a_test_that_passes(connect, peer, actor):
    integration = connect(active=False)

    result = lifecycle.connect(integration=integration, actor=actor)

    assert (result.ok, result.status, integration.status) == (True, 200, "active")
    assert integration.connected_at is not None
    actions = list(ConnectionEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["created", "tested", "connected"]
    assert peer.paths() == ["/me"]
    log = IntegrationLog.objects.get()
    assert (log.action, log.method, log.endpoint, log.status_code) == ("test", "GET", f"{peer.url}/me", 200)
    assert CallCount.objects.get().requests == 1


def test_a_failed_test_refuses_the_activation_with_the_reason(connect, peer, actor):
    integration = connect(active=False, credentials={"token": "wrong-token"})

    with pytest.raises(TestFailed, match="The provider refused the credentials") as caught:
        lifecycle.connect(integration=integration, actor=actor)

    assert caught.value.status == 409
    integration.refresh_from_db()
    assert (integration.status, integration.test_passed) == ("pending_setup", False)
    assert integration.connected_at is None
    with pytest.raises(NotActive):
        syncs.start(integration=integration, actor=actor)


def test_a_test_that_gets_no_answer_says_why(connect, actor, settings):
    with RestPeer() as closed:
        url = closed.url
    integration = connect(active=False, config={"base_url": url})

    result = lifecycle.test_connection(integration=integration, actor=actor)

    assert not result.ok
    assert "cannot be reached" in result.reason
    settings.HUB_OUTBOUND_ALLOW = []
    assert "not public" in lifecycle.test_connection(integration=integration, actor=actor).reason


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        (
            {"auto_sync": True, "sync_direction": "none", "sync_interval_minutes": 5},
            {"/auto_sync": "contradiction"},
        ),
        (
            {"auto_sync": True, "sync_enabled": False, "sync_interval_minutes": 5},
            {"/auto_sync": "contradiction"},
        ),
        ({"auto_sync": True}, {"/sync_interval_minutes": "required"}),
        ({"sync_interval_minutes": 5, "sync_crontab": "0 * * * *"}, {"/sync_crontab": "contradiction"}),
        ({"sync_crontab": "61 * * * *"}, {"/sync_crontab": "invalid"}),
        ({"sync_crontab": "0 0 31 2 *"}, {"/sync_crontab": "invalid"}),
        ({"sync_direction": "bidirectional"}, {"/sync_direction": "unsupported"}),
        ({"sync_on_create": True}, {"/sync_direction": "contradiction"}),
        ({"name": "  "}, {"/name": "required"}),
        ({"code": "not a code"}, {"/code": "invalid"}),
        ({"auth_mode": "magic"}, {"/auth_mode": "invalid"}),
        ({"environment": "moon"}, {"/environment": "invalid"}),
    ],
)
def test_contradictory_and_wrong_settings_are_refused(connect, values, wrong):
    with pytest.raises(InvalidInput) as caught:
        connect(active=False, **values)

    assert pointers(caught).items() >= wrong.items()
    assert Integration.objects.count() == 0


def test_wrong_config_is_told_by_place(organization, actor):
    with pytest.raises(InvalidInput) as caught:
        integrations.create(
            organization=organization,
            actor=actor,
            connector="rest",
            values={
                "name": "Shop",
                "auth_mode": "none",
                "config": {
                    "base_url": "not an address",
                    "colour": 1,
                    "streams": [
                        stream(dataset="x"),
                        {**stream(), "name": "b", "paginate": {"kind": "zigzag"}},
                    ],
                },
            },
            credentials={"password": "x"},
        )

    assert pointers(caught) == {
        "/credentials/password": "unknown",
        "/config/base_url": "invalid",
        "/config/colour": "unknown",
        "/config/streams/1/paginate/kind": "enum",
    }


def test_streams_need_datasets_and_mappings_that_fit(organization, connect):
    with pytest.raises(InvalidInput) as caught:
        connect(
            stream(dataset="ghosts"),
            stream(name="b", mapping={"fields": [{"target": "colour", "source": "c"}]}),
            active=False,
        )

    assert pointers(caught) == {
        "/config/streams/0/dataset": "invalid",
        "/config/streams/1/mapping/fields/0/target": "unknown_field",
    }


def test_credentials_do_not_belong_into_settings(connect):
    request = {"path": "/cursor/customers", "headers": {"X-Api-Key": "k"}, "query": {"access_token": "t"}}

    with pytest.raises(InvalidInput) as caught:
        connect(stream(request=request), active=False, config={"custom_settings": {"password": "p"}})

    assert pointers(caught) == {
        "/config/custom_settings/password": "secret",
        "/config/streams/0/request/headers/X-Api-Key": "secret",
        "/config/streams/0/request/query/access_token": "secret",
    }
    assert Integration.objects.count() == 0


def test_plain_http_needs_permission(organization, connect, settings, peer):
    settings.HUB_ALLOW_HTTP = False

    with pytest.raises(InvalidInput) as caught:
        connect(active=False)
    assert list(pointers(caught)) == ["/config/base_url"]

    organization.allow_http = True
    organization.save()
    assert connect().status == "active"


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost", "localhost."],
)
def test_an_address_of_the_own_machine_is_refused_when_saved(organization, connect, settings, host):
    settings.HUB_OUTBOUND_ALLOW = []

    with pytest.raises(InvalidInput) as caught:
        connect(active=False, config={"base_url": f"https://{host}/"})

    assert list(pointers(caught)) == ["/config/base_url"]
    assert Integration.objects.count() == 0


def test_credentials_that_are_not_given_stay(connect, actor):
    integration = connect(active=False)

    integrations.update(integration=integration, actor=actor, values={"name": "New"}, credentials={})
    assert Integration.objects.get().credentials == {"token": TOKEN}
    integrations.update(integration=integration, actor=actor, values={}, credentials={"token": "new-token"})
    assert Integration.objects.get().credentials == {"token": "new-token"}
    integrations.update(integration=integration, actor=actor, values={}, credentials={"token": None})
    assert Integration.objects.get().credentials == {}


def test_credentials_of_another_authentication_do_not_stay(connect, actor):
    integration = connect(active=False)

    integrations.update(
        integration=integration,
        actor=actor,
        values={"auth_mode": "basic"},
        credentials={"username": "ann", "password": "pw"},
    )

    stored = Integration.objects.get()
    assert stored.credentials == {"username": "ann", "password": "pw"}
    assert stored.connection_method == "basic"


def test_a_changed_connection_has_to_be_tested_again(connect, actor):
    integration = connect(auto_sync=True, sync_interval_minutes=5)

    integrations.update(integration=integration, actor=actor, values={"description": "Our shop"})
    assert Integration.objects.get().status == "active"
    integrations.update(integration=integration, actor=actor, values={}, credentials={"token": "other-token"})

    stored = Integration.objects.get()
    assert (stored.status, stored.test_passed, stored.next_sync_at) == ("pending_setup", None, None)
    assert stored.connection_status_description.startswith("Not set up yet")


def test_a_stream_that_changes_is_read_from_the_beginning(connect, actor, sync):
    integration = connect(stream(), stream(name="others"))
    sync(integration)
    config = {**integration.config}
    config["streams"] = [stream(label="Buyers"), stream(name="others", remote_id="email")]

    integrations.update(integration=integration, actor=actor, values={"config": config})

    assert {row.name: bool(row.cursor) for row in integration.streams.all()} == {
        "customers": True,
        "others": False,
    }


def test_streams_take_saved_mappings_and_other_settings(connect, actor, organization):
    integration = connect(active=False)
    clients = dataset_of(organization, "clients")
    mapping = mappings.save(
        organization=organization, dataset=clients, name="Shop clients", spec=MAPPING, actor=actor
    )
    contacts = mappings.save(
        organization=organization,
        dataset=dataset_of(organization, "contacts"),
        name="Shop contacts",
        spec=MAPPING,
        actor=actor,
    )

    given = StreamSettings("customers", mapping=mapping.public_id, mode="full", delete_missing=True)
    integrations.update(integration=integration, actor=actor, values={}, streams=[given])

    row = integration.streams.get()
    assert (row.mapping, row.mode, row.delete_missing) == (mapping, "full", True)
    for wrong, pointer in (
        (StreamSettings("ghosts"), "/streams/0/name"),
        (StreamSettings("customers", mapping=contacts.public_id), "/streams/0/mapping"),
        (StreamSettings("customers", delete_missing=True), "/streams/0/delete_missing"),
    ):
        with pytest.raises(InvalidInput) as caught:
            integrations.update(integration=integration, actor=actor, values={}, streams=[wrong])
        assert list(pointers(caught)) == [pointer]


def test_codes_are_unique_in_the_whole_hub(connect, actor):
    connect(active=False, code="shop-eu")
    other = organizations.create(name="Southwind")

    with pytest.raises(InvalidInput) as caught:
        integrations.create(
            organization=other,
            actor=actor,
            connector="rest",
            values={
                "name": "X",
                "code": "shop-eu",
                "auth_mode": "none",
                "config": {"base_url": "https://x.test"},
            },
        )

    assert pointers(caught) == {"/code": "unique"}
    assert Integration.objects.count() == 1


def test_pause_resume_disconnect(connect, actor):
    integration = connect(auto_sync=True, sync_interval_minutes=5)

    lifecycle.pause(integration=integration, actor=actor)
    assert (integration.status, integration.next_sync_at) == ("inactive", None)
    lifecycle.connect(integration=integration, actor=actor)
    assert integration.status == "active"
    assert integration.next_sync_at is not None
    lifecycle.disconnect(integration=integration, actor=actor)
    assert (integration.status, integration.disconnected_by) == ("disconnected", "Ada")
    with pytest.raises(NotActive):
        lifecycle.pause(integration=integration, actor=actor)

    actions = list(ConnectionEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["created", "tested", "connected", "paused", "tested", "resumed", "disconnected"]


def test_what_is_removed_keeps_its_history_and_loses_its_credentials(connect, actor, sync):
    integration = connect()
    waiting = syncs.start(integration=integration, actor=actor)

    with pytest.raises(Conflict, match=waiting.number):
        integrations.remove(integration=integration, actor=actor)
    syncs.cancel(job=waiting, actor=actor)
    integrations.remove(integration=integration, actor=actor)

    stored = Integration.objects.get()
    assert (stored.status, stored.credentials) == ("disconnected", None)
    assert Integration.objects.live().count() == 0
    assert connect().code == "shop"
    with pytest.raises(Conflict):
        integrations.update(integration=stored, actor=actor, values={"name": "x"})


def test_health_changes_only_after_several_results_in_a_row(connect, organization):
    integration = connect()

    def result(ok):
        health.record(integration, ok=ok, reason="HTTP 503", latency_ms=20)
        return integration.health_status, integration.status

    assert result(False) == ("healthy", "active")
    assert result(True) == ("healthy", "active")
    assert [result(False)[0] for _ in range(3)] == ["healthy", "degraded", "degraded"]
    assert result(False) == ("down", "error")
    assert result(True) == ("down", "error")
    assert result(False) == ("down", "error")
    assert [result(True) for _ in range(2)] == [("down", "error"), ("healthy", "active")]
    types = Event.objects.filter(subject=integration.number).order_by("id").values_list("type", flat=True)
    assert list(types)[-2:] == ["integration.error", "integration.recovered"]


def test_wrong_credentials_are_not_tried_again_by_the_clock(connect, peer):
    integration = connect()
    peer.fault("status", path="/me", status=401)

    lifecycle.check_health(integration=integration)

    integration.refresh_from_db()
    assert (integration.status, integration.health_status, integration.next_check_at) == (
        "error",
        "down",
        None,
    )


def test_managers_and_virtual_fields(connect, organization, sync):
    integration = connect(stream(), auto_sync=True, sync_crontab="*/15 8-18 * * mon-fri")
    sync(integration)

    assert list(Integration.objects.active_by_type("api")) == [integration]
    assert Integration.objects.of(organization).statistics() == [
        {
            "type": "api",
            "total": 1,
            "active": 1,
            "in_error": 0,
            "healthy": 1,
            "last_sync_at": Integration.objects.get().last_sync_at,
        }
    ]
    stored = Integration.objects.with_health_score().get()
    assert (stored.health_score, stored.days_since_last_sync) == (100, 0)
    assert stored.connection_status_description == "Connected and working."
    assert stored.schedule_text == "At */15 8-18 * * mon-fri"
