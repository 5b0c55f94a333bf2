"""What an inbound webhook causes, and what happens when that fails."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import lifecycle
from apps.connectors.statuses import SyncStatus
from apps.events.inbound import Effect, effects
from apps.events.models import Event
from apps.kernel.errors import InvalidInput, RaceLost, TransientError
from apps.records.models import Record
from apps.records.selectors import dataset_of
from apps.records.services import mappings
from apps.webhooks.models import InboundAttempt, InboundWebhook
from apps.webhooks.services.inbound import keeping, processing, receivers, watching
from tests.connectors.shop import stream
from tests.webhooks.inbound.conftest import ADA, only, receiver_of, send, work

pytestmark = pytest.mark.django_db
Shop = Callable[..., Integration]
ORDER = {"id": 1, "customer": {"id": "C-7", "name": "Ada", "email": "ada@example.com"}, "type": "order.paid"}


def route(effect: str, *match: str, **given: Any) -> dict[str, Any]:
    where = given.pop("where", None)
    return {
        "match": list(match) or ["*"],
        "effect": effect,
        "with": given,
        **({"where": where} if where else {}),
    }


def due_now() -> None:
    InboundWebhook.objects.update(next_attempt_at=timezone.now())


@pytest.fixture
def flaky() -> Any:
    """An effect that fails as often as it is told."""
    state: dict[str, Any] = {"failures": 0, "error": TransientError("The other side sleeps."), "runs": 0}

    def run(arrival: Any, given: Any) -> dict[str, str]:
        state["runs"] += 1
        if state["failures"] > 0:
            state["failures"] -= 1
            raise state["error"]
        return {"ref": "", "text": "done"}

    effects._items["flaky"] = Effect("flaky", "Fails", lambda *_: [], run)
    yield state
    del effects._items["flaky"]


def test_by_default_it_becomes_an_event_of_the_hub(shop: Shop) -> None:
    integration = shop("generic")
    send("shop", ORDER, "generic")
    assert work() == 1
    row = only()
    assert (row.status, row.retry_count) == ("completed", 0)
    assert row.effects == [{"route": "event 1", "effect": "event", "ref": "", "text": "inbound.received"}]
    event = Event.objects.get(type="inbound.received")
    assert event.data["payload"] == ORDER
    assert event.data["integration"] == integration.number
    assert event.data["id"] == row.public_id
    assert receiver_of(integration).counts.get().received == 1


def test_a_route_may_publish_an_event_of_the_organizations_own(shop: Shop) -> None:
    own = route("event", "order.*", type="custom.order.paid", data="customer", subject="customer.id")
    shop("generic", routes=[own])
    send("shop", ORDER, "generic")
    work()
    event = Event.objects.get(type="custom.order.paid")
    assert event.data == ORDER["customer"]
    assert event.subject == "C-7"


def test_a_route_may_write_a_record_by_a_mapping(shop: Shop, organization: Any) -> None:
    clients = dataset_of(organization, "clients")
    spec = {
        "fields": [
            {"target": "external_id", "source": "id"},
            {"target": "name", "source": "name"},
            {"target": "email", "source": "email"},
        ]
    }
    mappings.save(organization=organization, dataset=clients, name="Shop's people", spec=spec, actor=ADA)
    shop(
        "generic",
        routes=[
            route(
                "record",
                "order.*",
                dataset="clients",
                mapping="Shop's people",
                rows="customer",
                remote_id="id",
            )
        ],
    )
    send("shop", ORDER, "generic")
    work()
    row = only()
    assert row.effects[0]["text"] == "clients: 1 created"
    record = Record.objects.get()
    assert (record.key, record.data["name"]) == ("C-7", "Ada")
    send("shop", {**ORDER, "id": 2, "customer": {**ORDER["customer"], "name": "Ada L."}}, "generic")
    work()
    assert Record.objects.get().data["name"] == "Ada L."


def test_a_row_that_does_not_fit_writes_nothing_and_waits_for_a_person(shop: Shop) -> None:
    both = [
        route("event", type="custom.seen"),
        route(
            "record",
            dataset="clients",
            rows="rows",
            mapping={"fields": [{"target": "email", "source": "email"}]},
        ),
    ]
    shop("generic", routes=both)
    send("shop", {"id": 1, "rows": [{"email": "good@example.com"}, {"email": "not an address"}]}, "generic")
    work()
    row = only()
    assert row.status == "failed"
    assert "A row was refused, so none was written" in row.error_message
    assert not Record.objects.exists()
    # The first route's effect was taken back with the second's.
    assert not Event.objects.filter(type="custom.seen").exists()
    assert Event.objects.get(type="inbound.failed").data["id"] == row.public_id
    assert row.attempts.get().status == "failed"


def test_routes_choose_by_type_and_condition(shop: Shop) -> None:
    shop(
        "generic",
        routes=[
            route("event", "order.*", type="custom.order", where="amount > `100`"),
            route("event", "invoice.[a].?", type="custom.literal"),
            {**route("event", type="custom.off"), "enabled": False},
        ],
    )
    for number, (kind, amount) in enumerate(
        [("order.paid", 500), ("order.paid", 5), ("invoice.a.b", 1), ("invoice.[a].?", 1)]
    ):
        send("shop", {"id": number, "type": kind, "amount": amount}, "generic")
    work()
    states = list(InboundWebhook.objects.order_by("id").values_list("status", "error_code"))
    assert states == [("completed", ""), ("ignored", "no_route"), ("ignored", "no_route"), ("completed", "")]
    types = Event.objects.filter(type__startswith="custom.").order_by("id").values_list("type", flat=True)
    assert list(types) == ["custom.order", "custom.literal"]


def test_a_route_may_ask_for_a_sync(shop: Shop) -> None:
    integration = shop("generic", streams=[stream()])
    receiver, source = receivers.for_number(integration.organization, integration.number)
    receivers.update(
        receiver=receiver, source=source, actor=ADA, values={"routes": [route("sync", streams=["customers"])]}
    )
    # Not active yet: that no other try will mend.
    send("shop", {"id": 0}, "generic")
    work()
    assert only().status == "failed"
    assert "Test and activate it" in only().error_message
    Integration.objects.update(status="active", test_passed=True)
    for number in (1, 2, 3):
        send("shop", {"id": number}, "generic")
    work()
    job = SyncJob.objects.get()
    assert (job.trigger, job.status) == ("webhook", "pending")
    assert [s.name for s in job.streams.all()] == ["customers"]
    done = InboundWebhook.objects.filter(status="completed").order_by("id")
    assert [row.effects[0]["ref"] for row in done] == [job.number] * 3
    # While one runs, which may have read past the change, the webhook waits, and no try is counted.
    SyncJob.objects.update(status=SyncStatus.RUNNING, started_at=timezone.now())
    send("shop", {"id": 4}, "generic")
    work()
    row = InboundWebhook.objects.order_by("-id")[0]
    assert (row.status, row.retry_count, row.error_code) == ("pending", 0, "not_now")
    SyncJob.objects.update(status=SyncStatus.COMPLETED)
    due_now()
    work()
    row.refresh_from_db()
    assert row.status == "completed"
    assert SyncJob.objects.count() == 2


@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ("x", "/routes"),
        ([1], "/routes/0"),
        ([{"effect": "event"}], "/routes/0/match"),
        ([{"match": ["a b"], "effect": "event"}], "/routes/0/match"),
        ([{"match": ["*"], "effect": "exec"}], "/routes/0/effect"),
        ([{"match": ["*"], "effect": "event", "where": "a["}], "/routes/0/where"),
        ([{"match": ["*"], "effect": "event", "with": {"type": "invoice.created"}}], "/routes/0/with/type"),
        ([{"match": ["*"], "effect": "event", "with": {"x": 1}}], "/routes/0/with/x"),
        ([{"match": ["*"], "effect": "event", "with": []}], "/routes/0/with"),
        ([{"match": ["*"], "effect": "event", "then": 1}], "/routes/0/then"),
        ([{"match": ["*"], "effect": "sync", "with": {"streams": ["nope"]}}], "/routes/0/with/streams"),
        ([{"match": ["*"], "effect": "sync", "with": {"mode": "x"}}], "/routes/0/with/mode"),
        ([{"match": ["*"], "effect": "record", "with": {"dataset": "nope"}}], "/routes/0/with/dataset"),
        (
            [{"match": ["*"], "effect": "record", "with": {"dataset": "clients", "mapping": "nope"}}],
            "/routes/0/with/mapping",
        ),
        (
            [
                {
                    "match": ["*"],
                    "effect": "record",
                    "with": {"dataset": "clients", "mapping": {"fields": [{"target": "x", "source": "y"}]}},
                }
            ],
            "/routes/0/with/mapping",
        ),
        ([{"match": ["*"], "effect": "event"}] * 51, "/routes"),
    ],
)
def test_wrong_routes_are_refused_by_name(shop: Shop, bad: Any, pointer: str) -> None:
    integration = shop("generic")
    receiver, source = receivers.for_number(integration.organization, integration.number)
    before = receiver.routes
    with pytest.raises(InvalidInput) as caught:
        receivers.update(receiver=receiver, source=source, actor=ADA, values={"routes": bad})
    assert any(error.pointer.startswith(pointer) for error in caught.value.errors), caught.value.errors
    assert receiver_of(integration).routes == before


def test_what_fails_is_tried_again_with_growing_pauses_then_given_up(shop: Shop, flaky: Any) -> None:
    shop("generic", routes=[route("flaky")], max_retries=3)
    flaky["failures"] = 99
    send("shop", ORDER, "generic")
    pauses = []
    for _ in range(3):
        due_now()
        assert work() == 1
        row = only()
        assert row.status == "pending"
        assert row.next_attempt_at is not None
        pauses.append((row.next_attempt_at - timezone.now()).total_seconds())
    assert 3 < pauses[0] < 7
    assert 15 < pauses[1] < 25
    assert 60 < pauses[2] < 100
    due_now()
    work()
    row = only()
    assert (row.status, row.retry_count) == ("failed", 3)
    assert row.error_message == "flaky 1: The other side sleeps."
    assert [a.status for a in InboundAttempt.objects.order_by("id")] == ["retrying"] * 3 + ["failed"]
    assert Event.objects.get(type="inbound.failed").data["tries"] == 4
    assert work() == 0
    # By hand, from the beginning.
    flaky["failures"] = 0
    processing.retry(webhook=row, actor=ADA)
    assert work() == 1
    assert (only().status, only().retry_count) == ("completed", 0)
    assert AuditEntry.objects.filter(action="inbound_webhook.retried").count() == 1


def test_an_unexpected_error_is_tried_again_and_shows_no_secret(shop: Shop, flaky: Any) -> None:
    shop("generic", routes=[route("flaky")])
    flaky.update(failures=1, error=ValueError("broken with Bearer sk_live_9f8e7d6c5b4a39281706f5e4d3c2b1a0"))
    send("shop", ORDER, "generic")
    work()
    row = only()
    assert (row.status, row.error_code) == ("pending", "unexpected")
    assert "sk_live_9f8e" not in row.error_message


def test_what_waits_or_is_worked_off_is_not_retried_by_hand(shop: Shop) -> None:
    shop("generic")
    send("shop", ORDER, "generic")
    with pytest.raises(RaceLost):
        processing.retry(webhook=only(), actor=ADA)
    processing.claim_due("somebody")
    with pytest.raises(RaceLost):
        processing.retry(webhook=only(), actor=ADA)


def test_a_paused_integration_keeps_what_comes_until_it_is_resumed(shop: Shop) -> None:
    integration = shop("generic")
    Integration.objects.update(status="active", test_passed=True)
    integration.refresh_from_db()
    lifecycle.pause(integration=integration, actor=ADA)
    send("shop", ORDER, "generic")
    work()
    row = only()
    assert (row.status, row.error_code, row.retry_count) == ("pending", "held", 0)
    assert not InboundAttempt.objects.exists()
    Integration.objects.update(status="active")
    due_now()
    work()
    assert only().status == "completed"
    assert receiver_of(integration).counts.get().received == 1


def test_what_a_killed_worker_left_is_taken_over_when_its_lease_runs_out(shop: Shop) -> None:
    shop("generic")
    send("shop", ORDER, "generic")
    [row] = processing.claim_due("a worker that dies")
    assert only().status == "processing"
    assert work() == 0
    assert not processing.is_due()
    InboundWebhook.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert processing.is_due()
    assert work() == 1
    assert only().status == "completed"
    assert Event.objects.filter(type="inbound.received").count() == 1
    # The dead one wakes up: its result counts for nothing.
    assert processing._work(row, processing._Sources()) == 0
    assert Event.objects.filter(type="inbound.received").count() == 1
    assert InboundAttempt.objects.count() == 1


def test_an_unreadable_body_is_still_told(shop: Shop) -> None:
    shop("generic")
    send("shop", b"\x00\xff", "generic")
    work()
    assert Event.objects.get(type="inbound.received").data["payload"] is None


def test_a_payload_too_large_for_an_event_is_told_without_it(shop: Shop) -> None:
    shop("generic")
    send("shop", {"id": 1, "text": "x" * 300_000}, "generic")
    work()
    assert only().status == "completed"
    assert Event.objects.get(type="inbound.received").data["payload"] is None


def test_the_watchdog_warns_once_of_a_provider_that_fell_silent(shop: Shop) -> None:
    integration = shop("generic", silence_after_minutes=60)
    send("shop", ORDER, "generic")
    work()
    now = timezone.now()
    assert watching.watch(now=now) == 0
    assert watching.watch(now=now + timedelta(minutes=61)) == 1
    assert watching.watch(now=now + timedelta(minutes=70)) == 0
    receiver = receiver_of(integration)
    assert receiver.silent_since == only().received_at
    event = Event.objects.get(type="inbound.silent")
    assert event.data == {
        "integration": integration.number,
        "name": "Shop",
        "last_received_at": only().received_at.isoformat(),
    }
    InboundWebhook.objects.update(received_at=now + timedelta(minutes=75))
    assert watching.watch(now=now + timedelta(minutes=80)) == 1
    assert receiver_of(integration).silent_since is None
    assert Event.objects.filter(type="inbound.heard").count() == 1


def test_silence_is_judged_by_the_past(shop: Shop) -> None:
    integration = shop("generic")
    receiver = receiver_of(integration)
    now = timezone.now().replace(minute=30, second=0, microsecond=0)
    hour = now.replace(minute=0)
    assert watching.allowed_silence(receiver, now) is None
    for back in range(0, 60, 5):
        receiver.counts.create(hour=hour - timedelta(hours=back), received=3)
    assert watching.allowed_silence(receiver, now) == timedelta(hours=15)
    receiver.silence_after_minutes = 0
    assert watching.allowed_silence(receiver, now) is None


def test_silence_of_a_paused_integration_is_no_news(shop: Shop) -> None:
    shop("generic", silence_after_minutes=1)
    send("shop", ORDER, "generic")
    Integration.objects.update(status="inactive")
    assert watching.watch(now=timezone.now() + timedelta(days=1)) == 0


def test_old_webhooks_are_forgotten_but_not_those_that_wait(shop: Shop) -> None:
    shop("generic")
    send("shop", ORDER, "generic")
    work()
    send("shop", {"id": 2}, "generic")
    assert keeping.forget_old(days=1) == 0
    assert keeping.forget_old(days=-1) == 1
    assert only().status == "pending"
    assert not InboundAttempt.objects.exists()
