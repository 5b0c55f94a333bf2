"""`/webhooks` and `/deliveries`: the whole life of an endpoint over the API."""

from __future__ import annotations

import json

import pytest

from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.tenants.services import organizations
from apps.webhooks.models import Delivery, Replay, WebhookEndpoint
from apps.webhooks.statuses import DeliveryStatus, EndpointStatus
from tests.webhooks.conftest import only_delivery, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_replays import worked


def new(receiver, **more):
    return {"name": "Orders", "url": receiver.url, "events": ["custom.*"], **more}


def test_create_shows_the_secret_once(api, organization, receiver):
    answer = api.post(
        "/api/v1/webhooks",
        new(
            receiver,
            headers={"X-Shop": "north", "X-Api-Token": "t0psecret"},
            auth_type="basic",
            auth_config={"username": "ada", "password": "pa55"},
            delivery_settings={"timeout": 7, "retry_intervals": [1, 2.5]},
            payload_config={"format": "json", "include_metadata": True},
            rate_limits={"per_second": 9},
            security={"signature_header": "X-Webhook-Signature"},
            health={"max_consecutive_failures": 20},
        ),
        format="json",
    )

    assert answer.status_code == 201, answer.content
    created = answer.json()
    endpoint = WebhookEndpoint.objects.get()
    assert created["id"] == endpoint.number
    assert created["secret"] == endpoint.secret
    assert created["secret"].startswith("whsec_")
    assert answer["Location"] == f"/api/v1/webhooks/{endpoint.number}"
    assert answer["Cache-Control"] == "no-store"
    shown = api.get(f"/api/v1/webhooks/{endpoint.number}").json()
    assert "secret" not in shown
    assert shown["headers"] == {"X-Shop": "north", "X-Api-Token": "***"}
    assert shown["auth_config"] == {"username": "ada", "password": "***"}
    assert shown["delivery_settings"]["timeout"] == 7
    assert shown["delivery_settings"]["retry_intervals"] == [1, 2.5]
    assert shown["payload_config"]["include_metadata"] is True
    assert shown["rate_limits"] == {"per_second": 9, "per_minute": None}
    assert shown["security"]["signature_header"] == "X-Webhook-Signature"
    assert shown["health"]["status"] == "unknown"
    assert shown["health"]["max_consecutive_failures"] == 20
    assert shown["statistics"]["total_deliveries"] == 0
    assert shown["recent_deliveries"] == []
    for secret in ("t0psecret", "pa55", endpoint.secret):
        assert secret not in json.dumps(shown)
        assert not AuditEntry.objects.filter(changes__icontains=secret).exists()
    entry = AuditEntry.objects.get(action="webhook.created")
    assert entry.object_ref == endpoint.number
    assert Event.objects.filter(type="webhook.endpoint.created", subject=endpoint.number).exists()


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"events": []}, "/events"),
        ({"events": ["nothing.like_this"]}, "/events/0"),
        ({"events": ["custom.*", "In valid"]}, "/events/1"),
        ({"url": "ftp://example.com/"}, "/url"),
        ({"url": "not a url"}, "/url"),
        ({"url": "http://user:pw@127.0.0.1/"}, "/url"),
        ({"url": "http://10.1.2.3/"}, "/url"),
        ({"url": "http://169.254.169.254/latest"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://no-such-host.invalid/"}, "/url"),
        ({"method": "GET"}, "/method"),
        ({"headers": {"X-A": "b\r\nX-Evil: 1"}}, "/headers/X-A"),
        ({"headers": {"X A": "b"}}, "/headers/X A"),
        ({"headers": {"Host": "evil"}}, "/headers/Host"),
        ({"headers": {"Content-Length": "0"}}, "/headers/Content-Length"),
        ({"headers": {"Webhook-Signature": "v1,forged"}}, "/headers/Webhook-Signature"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "/headers/x-a"),
        ({"headers": {"X-A": "日本"}}, "/headers/X-A"),
        ({"auth_type": "bearer"}, "/auth_config/token"),
        ({"auth_type": "bearer", "auth_config": {"token": "a\nb"}}, "/auth_config/token"),
        ({"auth_type": "api_key", "auth_config": {"key": "k", "header": "Host"}}, "/auth_config/header/Host"),
        ({"auth_type": "none", "auth_config": {"token": "a"}}, "/auth_config/token"),
        ({"delivery_settings": {"retry_intervals": [0]}}, "/delivery_settings/retry_intervals/0"),
        ({"delivery_settings": {"retry_on_status": [99]}}, "/delivery_settings/retry_on_status/0"),
        ({"delivery_settings": {"batch_size": 0}}, "/delivery_settings/batch_size"),
        ({"event_filters": {"status": {"like": "paid"}}}, "/event_filters/status/like"),
        ({"event_filters": {"status": {"regex": "(a+)+"}}}, "/event_filters/status/regex"),
        ({"payload_config": {"format": "custom"}}, "/payload_config/custom_template"),
        (
            {"payload_config": {"format": "custom", "custom_template": "{{ id.__class__ }}"}},
            "/payload_config/custom_template",
        ),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "/headers/X-A"),
        ({"headers": {"X-A\r\nX-B": "b"}}, "/headers/X-A\r\nX-B"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "/headers/Transfer-Encoding"),
        ({"auth_type": "oauth2", "auth_config": {"client_id": "a"}}, "/auth_config/token_url"),
        ({"security": {"ip_allow_list": ["10.0.0.0/99"]}}, "/security/ip_allow_list/0"),
        ({"security": {"ip_allow_list": ["203.0.113.0/24"]}}, "/security/ip_allow_list"),
        ({"security": {"signature_header": "X Y"}}, "/security/signature_header/X Y"),
        ({"secret": "short"}, "/secret"),
        ({"nonsense": 1}, "/nonsense"),
    ],
)
def test_wrong_settings_are_refused_by_name(api, receiver, change, pointer):
    answer = api.post("/api/v1/webhooks", new(receiver, **change), format="json")

    assert answer.status_code in (400, 422), answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert not WebhookEndpoint.objects.exists()
    assert receiver.arrivals == []


def test_change_with_if_match_and_masked_secrets(api, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, auth_type="bearer", auth_config={"token": "keepme"})
    url = f"/api/v1/webhooks/{endpoint.number}"
    etag = api.get(url)["ETag"]

    changed = api.patch(
        url,
        {"name": "Renamed", "auth_config": {"token": "***"}},
        format="json",
        HTTP_IF_MATCH=etag,
    )
    stale = api.patch(url, {"name": "Again"}, format="json", HTTP_IF_MATCH=etag)

    assert changed.status_code == 200, changed.content
    assert changed.json()["name"] == "Renamed"
    assert stale.status_code == 412
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.auth_config, endpoint.version) == ("Renamed", {"token": "keepme"}, 2)
    assert AuditEntry.objects.get(action="webhook.updated").changes == {"name": ["Order service", "Renamed"]}


def test_put_resets_what_is_not_given(api, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, timeout=5, headers={"X-Shop": "north"}, description="old")

    answer = api.put(f"/api/v1/webhooks/{endpoint.number}", new(receiver), format="json")

    assert answer.status_code == 200, answer.content
    endpoint.refresh_from_db()
    assert (endpoint.timeout, endpoint.headers, endpoint.description, endpoint.name) == (
        None,
        {},
        "",
        "Orders",
    )


def test_switching_off_and_on(api, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    url = f"/api/v1/webhooks/{endpoint.number}"

    assert api.patch(url, {"status": "inactive"}, format="json").json()["status"] == "inactive"
    publish(organization)
    run()
    assert receiver.arrivals == []
    assert api.patch(url, {"status": "active"}, format="json").json()["is_active"] is True
    publish(organization)
    run()
    assert len(receiver.arrivals) == 1


def test_a_test_message_comes_back_with_its_answer(api, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    receiver.usual = say(418, b"short and stout")

    answer = api.post(
        f"/api/v1/webhooks/{endpoint.number}/test", {"event_type": "clients.created"}, format="json"
    )

    assert answer.status_code == 200, answer.content
    told = answer.json()
    assert (told["status_code"], told["response_body"], told["succeeded"]) == (418, "short and stout", False)
    assert json.loads(receiver.arrivals[0].body)["type"] == "clients.created"
    delivery = Delivery.objects.get()
    assert told["delivery"] == delivery.public_id
    assert (delivery.status, delivery.cause) == (DeliveryStatus.FAILED, "test")
    endpoint.refresh_from_db()
    assert endpoint.consecutive_failures == 0
    assert not Event.objects.filter(type="clients.created").exists()
    unknown = api.post(f"/api/v1/webhooks/{endpoint.number}/test", {"event_type": "no.such"}, format="json")
    assert unknown.status_code == 422


def test_pause_and_resume(api, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    url = f"/api/v1/webhooks/{endpoint.number}"

    paused = api.post(f"{url}/pause", {"reason": "Maintenance"}, format="json").json()
    assert (paused["status"], paused["health"]["pause_reason"]) == ("paused", "Maintenance")
    assert api.post(f"{url}/pause", {}, format="json").status_code == 409
    publish(organization)
    run()
    assert receiver.arrivals == []
    assert api.post(f"{url}/resume").json()["status"] == "active"
    run()
    assert len(receiver.arrivals) == 1


def test_rotation_shows_the_new_secret_once(api, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    old = endpoint.secret

    answer = api.post(f"/api/v1/webhooks/{endpoint.number}/rotate-secret", {"keep_for": 60}, format="json")

    assert answer.status_code == 201
    endpoint.refresh_from_db()
    assert answer.json()["secret"] == endpoint.secret != old
    assert endpoint.live_secrets() == [endpoint.secret, old]
    too_long = api.post(
        f"/api/v1/webhooks/{endpoint.number}/rotate-secret", {"keep_for": 8 * 86400}, format="json"
    )
    assert too_long.status_code in (400, 422)


def test_deliveries_attempts_and_retry(api, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    receiver.answers = [say(500, b"oops", Set_Cookie="session=1")]
    event = publish(organization)
    run()

    [listed] = api.get(f"/api/v1/webhooks/{endpoint.number}/deliveries").json()["data"]
    assert listed["status"] == "failed"
    assert listed["event"] == event.public_id
    assert api.get(f"/api/v1/webhooks/{endpoint.number}/logs").json()["data"] == [listed]
    assert api.get("/api/v1/deliveries?status=failed").json()["data"] == [listed]
    assert api.get("/api/v1/deliveries?status=delivered").json()["data"] == []
    assert api.get("/api/v1/deliveries?status=lost").status_code == 400
    url = f"/api/v1/deliveries/{listed['id']}"
    [attempt] = api.get(f"{url}/attempts").json()["data"]
    assert (attempt["status_code"], attempt["response_body"]) == (500, "oops")
    assert attempt["response_headers"]["Set-Cookie"] == "***"
    assert json.loads(api.get(url).json()["body"])["data"] == {"order": 1}

    retried = api.post(f"{url}/retry")
    assert retried.status_code == 202
    assert retried.json()["status"] == "pending"
    run()
    assert api.get(url).json()["status"] == "delivered"
    assert [attempt["number"] for attempt in api.get(f"{url}/attempts").json()["data"]] == [2, 1]
    again = api.post(f"{url}/retry").json()
    assert again["id"] != listed["id"]
    assert again["cause"] == "replay"
    run()
    assert len(set(receiver.ids)) == 1
    assert len({arrival.body for arrival in receiver.arrivals}) == 1
    statistics = api.get(f"/api/v1/webhooks/{endpoint.number}/statistics").json()
    assert (statistics["total_deliveries"], statistics["successful_deliveries"]) == (2, 2)
    assert (statistics["total_retries"], statistics["success_rate"]) == (1, 66.67)


def test_replay_counts_first(api, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    receiver.answers = [say(500), say(500)]
    for n in range(3):
        publish(organization, order=n)
    run()
    body = {"since": "2020-01-01T00:00:00Z"}
    url = f"/api/v1/webhooks/{endpoint.number}/replay"

    counted = api.post(url, {**body, "count_only": True}, format="json")
    numbers = {name: value for name, value in counted.json().items() if isinstance(value, int)}
    assert numbers == {
        "failed": 2, "delivered": 0, "missing": 0, "waiting": 0, "total": 2, "is_exact": True,
    }  # fmt: skip
    assert (counted.json()["id"], counted.json()["status"]) == (None, None)
    assert not Replay.objects.exists()
    assert Delivery.objects.filter(status=DeliveryStatus.FAILED).count() == 2
    done = api.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY="once")
    assert done.status_code == 202
    replay = Replay.objects.get()
    assert done["Location"] == f"/api/v1/replays/{replay.number}"
    assert api.post(url, body, format="json", HTTP_IDEMPOTENCY_KEY="once").json() == done.json()
    begun = api.get(done["Location"]).json()
    assert (begun["status"], begun["total"], begun["progress"]["sent"]) == ("running", 2, 0)
    assert api.post(url, body, format="json").status_code == 409
    worked(replay)
    ended = api.get(done["Location"]).json()
    assert (ended["id"], ended["webhook"], ended["status"]) == (replay.number, endpoint.number, "completed")
    assert (ended["progress"]["sent"], ended["progress"]["percent_complete"]) == (2, 100)
    assert [row["id"] for row in api.get("/api/v1/replays?status=completed").json()["data"]] == [ended["id"]]
    run()
    assert not Delivery.objects.exclude(status=DeliveryStatus.DELIVERED).exists()
    assert api.post(url, {"since": "2100-01-01T00:00:00Z"}, format="json").status_code == 422


def test_many_deliveries_are_retried_by_their_ids_or_where_they_stand(
    api, organization, endpoint_at, receiver, client_of
):
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    receiver.answers = [say(500)] * 3
    for n in range(4):
        publish(organization, order=n)
    run()
    failed = [row["id"] for row in api.get("/api/v1/deliveries?status=failed").json()["data"]]
    url = "/api/v1/deliveries/retry"
    stranger = client_of(organizations.create(name="Elsewhere"))

    assert stranger.post(url, {"ids": failed, "count_only": True}, format="json").json()["total"] == 0
    assert stranger.post(url, {"webhook": endpoint.number}, format="json").status_code == 404
    wrong = api.post(url, {"ids": [failed[0], "dlv_no"], "status": ["failed"]}, format="json")
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/ids/1")
    assert not Replay.objects.exists()

    one = api.post(url, {"ids": failed[:1]}, format="json")
    assert (one.status_code, one.json()["total"]) == (202, 1)
    told = {"webhook": endpoint.number, "status": ["failed"], "event_types": ["custom.*"]}
    assert api.post(url, {**told, "count_only": True}, format="json").json()["total"] == 3
    replay = api.post(url, told, format="json")
    paused = api.post(f"{replay['Location']}/pause").json()
    assert paused["status"] == "paused"
    assert api.post(f"{replay['Location']}/resume").status_code == 202
    assert api.post(f"{replay['Location']}/cancel").json()["status"] == "cancelled"
    assert api.post(f"{replay['Location']}/pause").status_code == 409
    assert stranger.get(replay["Location"]).status_code == 404
    worked(Replay.objects.get(number=one.json()["id"]))
    run()
    assert Delivery.objects.filter(status=DeliveryStatus.FAILED).count() == 2


def test_removed_endpoints_are_gone_but_their_history_stays(api, organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, headers={"X-Token": "abc"})
    secret = endpoint.secret
    api.post(f"/api/v1/webhooks/{endpoint.number}/pause", {}, format="json")
    publish(organization)
    run()

    assert api.delete(f"/api/v1/webhooks/{endpoint.number}").status_code == 204

    assert api.get(f"/api/v1/webhooks/{endpoint.number}").status_code == 404
    assert api.get("/api/v1/webhooks").json()["data"] == []
    run()
    assert receiver.arrivals == []
    delivery = only_delivery(endpoint)
    assert delivery.status == DeliveryStatus.CANCELLED
    assert api.get(f"/api/v1/deliveries/{delivery.public_id}").status_code == 200
    endpoint.refresh_from_db()
    assert (endpoint.status, endpoint.headers) == (EndpointStatus.INACTIVE, {})
    assert endpoint.secret != secret


def test_filters_and_statistics_of_all(api, endpoint_at, receiver):
    first = endpoint_at(receiver.url, name="Orders", events=["custom.order.*"])
    second = endpoint_at(receiver.url, name="Clients", events=["clients.created"], status="testing")

    def ids(query):
        return [row["id"] for row in api.get(f"/api/v1/webhooks{query}").json()["data"]]

    assert ids("") == [second.number, first.number]
    assert ids("?status=testing") == [second.number]
    assert ids("?event=custom.order.paid") == [first.number]
    assert ids("?search=ord") == [first.number]
    assert api.get("/api/v1/webhooks?colour=red").status_code == 400
    sums = api.get("/api/v1/webhooks/statistics").json()
    assert sums["endpoints"] == 2
    assert sums["by_status"] == {"active": 1, "testing": 1}


def test_another_organization_sees_and_does_nothing(api, organization, client_of, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    delivery = only_delivery(endpoint)
    stranger = client_of(organizations.create(name="Contoso"))
    hook, sent = f"/api/v1/webhooks/{endpoint.number}", f"/api/v1/deliveries/{delivery.public_id}"

    for read in (hook, f"{hook}/deliveries", f"{hook}/statistics", f"/api/v1/webhooks/{endpoint.public_id}",
                 sent, f"{sent}/attempts"):  # fmt: skip
        assert stranger.get(read).status_code == 404
    for write in (f"{hook}/test", f"{hook}/pause", f"{hook}/resume", f"{hook}/rotate-secret", f"{sent}/retry",
                  f"{sent}/cancel"):  # fmt: skip
        assert stranger.post(write, {}, format="json").status_code == 404
    assert (
        stranger.post(f"{hook}/replay", {"since": "2020-01-01T00:00:00Z"}, format="json").status_code == 404
    )
    assert stranger.patch(hook, {"name": "Mine"}, format="json").status_code == 404
    assert stranger.delete(hook).status_code == 404
    assert stranger.get("/api/v1/webhooks").json()["data"] == []
    assert stranger.get("/api/v1/deliveries").json()["data"] == []

    before = endpoint.version
    endpoint.refresh_from_db()
    assert (endpoint.name, endpoint.version, endpoint.status) == ("Order service", before, "active")
    assert len(receiver.arrivals) == 1


def test_scopes_decide(organization, client_of, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    reader = client_of(organization, "webhooks:read")

    assert reader.get(f"/api/v1/webhooks/{endpoint.number}").status_code == 200
    assert reader.post(f"/api/v1/webhooks/{endpoint.number}/pause", {}, format="json").status_code == 403
    assert reader.delete(f"/api/v1/webhooks/{endpoint.number}").status_code == 403
    assert client_of(organization, "records:read").get("/api/v1/webhooks").status_code == 403
    endpoint.refresh_from_db()
    assert endpoint.status == "active"
