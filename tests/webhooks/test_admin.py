"""The staff door: what an administrator sees and does, and what nobody sees."""

from __future__ import annotations

import json
import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.tenants.models import User
from apps.tenants.services import organizations
from apps.webhooks.models import Delivery, Replay, WebhookEndpoint
from apps.webhooks.statuses import DeliveryStatus
from tests.webhooks.conftest import only_delivery, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_replays import order, worked

ENDPOINTS, DELIVERIES = "admin:webhooks_webhookendpoint", "admin:webhooks_delivery"


def staff(organization, role="admin") -> Client:
    user = User.objects.create_user(
        f"{role}-{organization.slug}@example.com", "a long password", first_name="Ada"
    )
    organizations.admit(organization=organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def ada(organization):
    return staff(organization)


def page(client, name, *args, **query):
    answer = client.get(reverse(name, args=args), query)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


FORM = {
    "name": "Orders", "method": "POST", "events": "custom.*\nclients.created", "auth_type": "none",
    "ordering": "none", "max_concurrency": "50", "payload_format": "json", "include_full_payload": "on",
    "include_timestamp": "on", "validate_ssl": "on", "sign_payload": "on", "max_consecutive_failures": "100",
    "description": "", "project": "", "custom_headers": "", "auth_username": "", "auth_header": "",
    "auth_secret": "",
    "auth_headers": "", "timeout": "", "retry_attempts": "", "retry_intervals": "", "retry_on_status": "",
    "rate_limit_per_second": "", "rate_limit_per_minute": "", "signature_header": "", "ip_allow_list": "",
    "start": "active", "batch_size": "100", "batch_window": "10", "custom_content_type": "application/json",
}  # fmt: skip


def test_an_endpoint_is_added_and_its_secret_shown_once(ada, organization, receiver):
    assert "No endpoints yet" in page(ada, f"{ENDPOINTS}_changelist")
    assert "Start as" in page(ada, f"{ENDPOINTS}_add")

    answer = ada.post(
        reverse(f"{ENDPOINTS}_add"),
        {**FORM, "url": receiver.url, "custom_headers": "X-Shop: north\nX-Api-Token: t0psecret",
         "retry_intervals": "5, 60", "auth_type": "basic", "auth_username": "ada", "auth_secret": "pa55word"},
    )  # fmt: skip

    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.events == ["custom.*", "clients.created"]
    assert endpoint.headers == {"X-Shop": "north", "X-Api-Token": "t0psecret"}
    assert endpoint.auth_config == {"username": "ada", "password": "pa55word"}
    assert endpoint.retry_intervals == [5, 60]
    assert endpoint.created_by
    text = answer.content.decode()
    assert endpoint.secret in text
    assert "no-store" in answer["Cache-Control"]
    again = page(ada, f"{ENDPOINTS}_change", endpoint.number)
    for secret in (endpoint.secret, "t0psecret", "pa55word"):
        assert secret not in again
        assert secret not in page(ada, f"{ENDPOINTS}_changelist")
        assert not AuditEntry.objects.filter(changes__icontains=secret).exists()
    assert "X-Shop: north" in again


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"events": "no.such"}, "There is no event type no.such."),
        ({"url": "http://10.0.0.1/"}, "not public"),
        ({"url": "http://no-such-host.invalid/"}, "cannot be resolved"),
        ({"custom_headers": "Host: evil"}, "is set by the hub"),
        ({"custom_headers": "nonsense"}, "has no colon"),
        ({"retry_intervals": "5, soon"}, "“soon” is not a number."),
        ({"auth_type": "bearer"}, "Give the token."),
        ({"ip_allow_list": "10.0.0.0/99"}, "A network reads like"),
    ],
)
def test_wrong_settings_are_told_in_the_form(ada, organization, receiver, change, told):
    answer = ada.post(reverse(f"{ENDPOINTS}_add"), {**FORM, "url": receiver.url, **change})

    assert told in answer.content.decode()
    assert not WebhookEndpoint.objects.exists()


def test_changing_keeps_the_secrets_that_are_not_given_anew(ada, endpoint_at, receiver):
    endpoint = endpoint_at(
        receiver.url,
        headers={"X-Api-Token": "t0psecret"},
        auth_type="bearer",
        auth_config={"token": "keepme"},
    )

    answer = ada.post(
        reverse(f"{ENDPOINTS}_change", args=[endpoint.number]),
        {**FORM, "url": receiver.url, "custom_headers": "X-Api-Token: ***\nX-New: 1", "auth_type": "bearer"},
    )

    assert answer.status_code == 302, answer.content.decode()
    endpoint.refresh_from_db()
    assert endpoint.name == "Orders"
    assert endpoint.headers == {"X-Api-Token": "t0psecret", "X-New": "1"}
    assert endpoint.auth_config == {"token": "keepme"}
    entry = AuditEntry.objects.get(action="webhook.updated")
    assert entry.changes["name"] == ["Order service", "Orders"]
    assert "t0psecret" not in json.dumps(entry.changes)


def test_pages_of_an_endpoint_and_of_a_delivery(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, headers={"X-Api-Token": "t0psecret"})
    receiver.answers = [say(500, b"<script>alert(1)</script>", X_Trace="abc")]
    publish(organization, order="<img src=x onerror=alert(2)>")
    run()

    summary = page(ada, f"{ENDPOINTS}_change", endpoint.number)
    assert "custom.order.paid" in summary
    assert "5 seconds, 5 minutes, 30 minutes" in summary
    listed = page(ada, f"{DELIVERIES}_changelist")
    assert endpoint.number in listed
    delivery = only_delivery(endpoint)
    shown = page(ada, f"{DELIVERIES}_change", delivery.public_id)
    assert "<script>alert(1)" not in shown
    assert "&lt;script&gt;alert(1)" in shown
    assert "<img src=x" not in shown
    assert "curl -X POST" in shown
    assert "X-Trace: abc" in shown
    assert "t0psecret" not in shown
    assert "The receiver answered 500." in shown
    assert delivery.public_id in page(ada, f"{DELIVERIES}_changelist", q=delivery.public_id)
    assert delivery.public_id not in page(ada, f"{DELIVERIES}_changelist", status="delivered")


def test_lists_cost_the_same_for_one_row_and_for_many(ada, organization, endpoint_at, receiver):
    def queries(name):
        with CaptureQueriesContext(connection) as found:
            page(ada, name)
        return len(found)

    endpoint_at(receiver.url)
    publish(organization)
    run()
    page(ada, f"{ENDPOINTS}_changelist")
    one = queries(f"{ENDPOINTS}_changelist"), queries(f"{DELIVERIES}_changelist")
    for _ in range(9):
        endpoint_at(receiver.url)
    publish(organization)
    run()

    assert (queries(f"{ENDPOINTS}_changelist"), queries(f"{DELIVERIES}_changelist")) == one


def act(client, endpoint, action, **answers):
    url = reverse(f"{ENDPOINTS}_{action}", args=[endpoint.number])
    asked = client.get(url)
    assert asked.status_code == 200
    return client.post(url, {"_confirmed": "1", **answers})


def test_pause_resume_and_switch_off(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)

    assert act(ada, endpoint, "pause", reason="Upgrade").status_code == 302
    publish(organization)
    run()
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.pause_reason, receiver.arrivals) == ("paused", "Upgrade", [])
    summary = page(ada, f"{ENDPOINTS}_change", endpoint.number)
    assert "Upgrade" in summary
    assert "1 delivery is held" in re.sub(r"\s+", " ", summary)
    act(ada, endpoint, "resume")
    run()
    assert len(receiver.arrivals) == 1
    act(ada, endpoint, "switch_off")
    endpoint.refresh_from_db()
    assert endpoint.status == "inactive"


def test_a_test_is_sent_and_leads_to_its_delivery(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)

    answer = act(ada, endpoint, "send_test", event_type="clients.created", data='{"id": "mine"}')
    assert "does not fit the schema" in answer.content.decode() or answer.status_code == 200
    assert receiver.arrivals == []
    answer = act(ada, endpoint, "send_test", event_type="webhook.test", data='{"message": "edited"}')

    assert answer.status_code == 302
    assert json.loads(receiver.arrivals[0].body)["data"] == {"message": "edited"}
    assert answer["Location"] == reverse(f"{DELIVERIES}_change", args=[Delivery.objects.get().public_id])


def test_rotation_shows_the_new_secret_once(ada, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    old = endpoint.secret

    answer = act(ada, endpoint, "rotate_secret", keep_for="24")

    endpoint.refresh_from_db()
    assert endpoint.secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert endpoint.live_secrets() == [endpoint.secret, old]
    assert endpoint.secret not in page(ada, f"{ENDPOINTS}_change", endpoint.number)


def test_of_a_pair_of_keys_the_public_one_is_shown_and_the_private_one_never(ada, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)

    answer = act(ada, endpoint, "rotate_secret", keep_for="24", kind="ed25519").content.decode()

    endpoint.refresh_from_db()
    assert endpoint.public_key.startswith("whpk_")
    for shown in (answer, page(ada, f"{ENDPOINTS}_change", endpoint.number)):
        assert endpoint.public_key in shown
        assert "whsk_" not in shown


def test_wrong_settings_of_a_known_endpoint_are_the_first_thing_seen(ada, endpoint_at, receiver):
    address = reverse(f"{ENDPOINTS}_change", args=[endpoint_at(receiver.url).number])

    assert "Last deliveries" in ada.get(address).content.decode()
    answer = ada.post(address, {**FORM, "url": receiver.url, "events": ""}).content.decode()

    assert "This field is required." in answer
    assert "Last deliveries" not in answer


def test_replay_counts_before_it_sends(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    receiver.answers = [say(500)]
    publish(organization)
    run()
    asked = {"since": "2020-01-01T00:00", "what": "failed"}

    counted = act(ada, endpoint, "replay_since", **asked)
    assert "Send 1 again" in counted.content.decode()
    assert only_delivery(endpoint).status == DeliveryStatus.FAILED
    assert not Replay.objects.exists()
    done = act(ada, endpoint, "replay_since", _counted="1", **asked)
    replay = Replay.objects.get()
    assert done["Location"] == reverse("admin:webhooks_replay_change", args=[replay.number])
    assert "Waiting for a worker" in page(ada, "admin:webhooks_replay_change", replay.number)
    assert replay.number in page(ada, f"{ENDPOINTS}_change", endpoint.number)
    worked(replay)
    run()
    assert only_delivery(endpoint).status == DeliveryStatus.DELIVERED
    progress = ada.get(reverse("admin:webhooks_replay_progress", args=[replay.number])).json()
    assert (progress["percent"], progress["text"], progress["active"]) == (100.0, "1 of 1 deliveries", False)


def test_a_replay_is_paused_resumed_and_cancelled(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    replay = order(endpoint)

    def act_on(deed):
        url = reverse(f"admin:webhooks_replay_{deed}", args=[replay.number])
        assert ada.get(url).status_code == 200
        assert ada.post(url, {"_confirmed": "1"}).status_code == 302
        replay.refresh_from_db()
        return replay.status

    assert [act_on(deed) for deed in ("pause", "resume", "cancel")] == ["paused", "running", "cancelled"]
    assert replay.number in page(ada, "admin:webhooks_replay_changelist")


def test_all_that_a_filter_shows_is_retried(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    endpoint_at(receiver.url, retry_attempts=0)
    publish(organization)
    run()
    receiver.answers = [say(500)] * 4
    publish(organization)
    publish(organization)
    run()
    ticked = [row.public_id for row in Delivery.objects.filter(endpoint=endpoint, status="failed")]
    assert len(ticked) == 2
    url = f"{reverse(f'{DELIVERIES}_changelist')}?status=failed&endpoint__id__exact={endpoint.pk}"
    posted = {"action": "retry", "_selected_action": ticked[:1], "select_across": "1"}

    assert ada.post(url, posted).status_code == 200
    assert not Replay.objects.exists()
    ada.post(url, {**posted, "_confirmed": "1"})
    replay = Replay.objects.get()
    assert (replay.endpoint, replay.statuses, replay.delivery_ids) == (endpoint, ["failed"], [])
    assert worked(replay).sent == 2
    run()
    assert Delivery.objects.filter(status="failed").count() == 2  # the other endpoint's


def test_bulk_retry(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    receiver.answers = [say(500), say(500)]
    publish(organization)
    publish(organization)
    run()
    ticked = [delivery.public_id for delivery in Delivery.objects.all()]

    url = reverse(f"{DELIVERIES}_changelist")
    asked = ada.post(url, {"action": "retry", "_selected_action": ticked})
    assert "Send 2 deliveries again?" in asked.content.decode()
    assert (
        ada.post(url, {"action": "retry", "_selected_action": ticked, "_confirmed": "1"}).status_code == 302
    )
    worked(Replay.objects.get())
    run()
    assert set(Delivery.objects.filter(endpoint=endpoint).values_list("status", flat=True)) == {"delivered"}


def test_removing_keeps_the_history(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()

    answer = ada.post(reverse(f"{ENDPOINTS}_delete", args=[endpoint.number]), {"post": "yes"})

    assert answer.status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.removed_at is not None
    assert Delivery.objects.filter(endpoint=endpoint).exists()
    assert AuditEntry.objects.filter(action="webhook.removed").exists()
    assert "deleted successfully" in page(ada, f"{ENDPOINTS}_changelist")
    assert endpoint.number not in page(ada, f"{ENDPOINTS}_changelist")
    assert endpoint.number in page(ada, f"{DELIVERIES}_changelist")


def test_another_organization_and_a_reader(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    delivery = only_delivery(endpoint)
    stranger = staff(organizations.create(name="Contoso"))
    auditor = staff(organization, "auditor")
    clerk = staff(organization, "staff")

    assert endpoint.number not in page(stranger, f"{ENDPOINTS}_changelist")
    for name, ref in ((ENDPOINTS, endpoint.number), (DELIVERIES, delivery.public_id)):
        assert stranger.get(reverse(f"{name}_change", args=[ref])).status_code in (302, 404)
        assert endpoint.name in page(auditor, f"{name}_change", ref)
        assert clerk.get(reverse(f"{name}_change", args=[ref])).status_code == 403
    for action in ("pause", "rotate_secret", "send_test", "replay_since", "switch_off"):
        url = reverse(f"{ENDPOINTS}_{action}", args=[endpoint.number])
        assert stranger.post(url, {"_confirmed": "1", "event_type": "webhook.test"}).status_code in (302, 404)
        assert auditor.post(url, {"_confirmed": "1", "event_type": "webhook.test"}).status_code == 403
    before = endpoint.version
    endpoint.refresh_from_db()
    assert (endpoint.version, endpoint.status) == (before, "active")
    assert len(receiver.arrivals) == 1


def test_the_home_page_tells_how_webhooks_do(ada, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    act(ada, endpoint, "pause", reason="Upgrade")

    home = page(ada, "admin:index")

    assert "Webhooks delivered, 24 h" in home
    assert "Order service is paused" in home
