"""What is expunged is gone everywhere; what is old is forgotten, and nothing that is still owed."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.events.services import fanout
from apps.kernel.errors import Conflict
from apps.webhooks.models import BatchItem, Delivery, DeliveryAttempt, Payload, Replay
from apps.webhooks.services import deliveries, forgetting, replays, tallying
from apps.webhooks.statuses import DeliveryStatus
from apps.webhooks.tasks import retention
from tests.webhooks.conftest import ADA, only_delivery, publish, run
from tests.webhooks.receiver import say
from tests.webhooks.test_replays import order, worked

WORD = "Pimpernel"


def kept_anywhere() -> bool:
    """Whether the word is in any row of the webhooks and the events."""
    rows = [
        *(bytes(body) for body in Payload.objects.values_list("body", flat=True)),
        *(str(data).encode() for data in Event.objects.values_list("data", flat=True)),
        *(text.encode() for text in DeliveryAttempt.objects.values_list("response_body", flat=True)),
    ]
    return any(WORD.encode() in row for row in rows)


def test_what_is_expunged_is_gone_everywhere(organization, endpoint_at, receiver, api):
    first = endpoint_at(receiver.url)
    second = endpoint_at(receiver.url, name="Form", payload_format="form")
    receiver.usual = lambda handler, arrival: say(200, arrival.body)(handler, arrival)
    event = publish(organization, name=WORD)
    other = publish(organization, name="else")
    run()
    assert kept_anywhere()
    delivery = Delivery.objects.get(endpoint=first, event=event)

    answer = api.post(f"/api/v1/deliveries/{delivery.public_id}/expunge", {"reason": "asked"}, format="json")

    assert answer.status_code == 200, answer.content
    assert answer.json() == {"deliveries": 2}
    assert not kept_anywhere()
    shown = api.get(f"/api/v1/deliveries/{delivery.public_id}").json()
    assert (shown["status"], shown["body"], shown["forgotten"]) == ("delivered", "", True)
    assert len(api.get(f"/api/v1/deliveries/{delivery.public_id}/attempts").json()["data"]) == 1
    entry = AuditEntry.objects.get(action="delivery.expunged")
    assert WORD not in str(entry.changes)
    # nothing brings it back
    with pytest.raises(Conflict):
        deliveries.retry(delivery=delivery, actor=ADA)
    since = timezone.now() - timedelta(hours=1)
    for endpoint in (first, second):
        done = worked(order(endpoint, "all", since=since))
        assert (done.delivered, done.missing, done.sent) == (1, 0, 1)
    run()
    assert Delivery.objects.filter(event=other).count() == 4
    # and a second time does no harm
    assert api.post(f"/api/v1/deliveries/{delivery.public_id}/expunge").json() == {"deliveries": 2}


def test_only_who_may_delete_expunges(organization, endpoint_at, receiver, client_of):
    endpoint_at(receiver.url)
    publish(organization)
    run()
    path = f"/api/v1/deliveries/{Delivery.objects.get().public_id}/expunge"
    assert client_of(organization, "webhooks:read", "webhooks:write").post(path).status_code == 403
    assert Payload.objects.count() == 1


def test_what_waits_is_cancelled_and_the_next_in_its_order_goes(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, ordering="fifo")
    publish(organization, subject="a", name=WORD)
    publish(organization, subject="a", name="next")
    fanout.sweep()
    waiting, after = Delivery.objects.filter(endpoint=endpoint).order_by("id")

    forgetting.expunge(delivery=waiting, actor=ADA)

    waiting.refresh_from_db()
    assert (waiting.status, waiting.last_error) == (DeliveryStatus.CANCELLED, forgetting.EXPUNGED)
    run()
    after.refresh_from_db()
    assert after.status == DeliveryStatus.DELIVERED
    assert WORD.encode() not in b"".join(arrival.body for arrival in receiver.arrivals)


def test_what_was_not_handed_out_yet_never_is(organization, endpoint_at, receiver):
    first = endpoint_at(receiver.url)
    event = publish(organization, name=WORD)
    fanout.sweep()
    Event.objects.filter(pk=event.pk).update(fanned_out_at=None)
    forgetting.expunge(delivery=only_delivery(first), actor=ADA)
    run()
    assert receiver.arrivals == []


def test_under_way_it_is_refused(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization, name=WORD)
    fanout.sweep()
    Delivery.objects.update(status=DeliveryStatus.DELIVERING)
    with pytest.raises(Conflict):
        forgetting.expunge(delivery=only_delivery(endpoint), actor=ADA)
    assert kept_anywhere()


def test_a_batch_that_waits_goes_without_it(organization, endpoint_at, receiver):
    single = endpoint_at(receiver.url + "/single")
    batched = endpoint_at(
        receiver.url + "/batch", name="B", batch_delivery=True, batch_size=10, batch_window=60
    )
    event = publish(organization, name=WORD)
    publish(organization, name="stays")
    fanout.sweep()
    forgetting.expunge(delivery=Delivery.objects.get(endpoint=single, event=event), actor=ADA)
    batch = only_delivery(batched)
    assert batch.items == BatchItem.objects.filter(delivery=batch).count() == 1
    Delivery.objects.filter(pk=batch.pk).update(next_attempt_at=timezone.now())
    run()
    sent = b"".join(arrival.body for arrival in receiver.arrivals if "batch" in arrival.path)
    assert b"stays" in sent
    assert WORD.encode() not in sent
    batch.refresh_from_db()
    assert batch.status == DeliveryStatus.DELIVERED


def test_a_person_confirms_it_in_the_admin(organization, endpoint_at, receiver):
    from tests.webhooks.test_admin import staff

    endpoint_at(receiver.url)
    publish(organization, name=WORD)
    run()
    delivery = Delivery.objects.get()
    client = staff(organization)
    detail = reverse("admin:webhooks_delivery_change", args=[delivery.public_id])
    assert WORD in client.get(detail).content.decode()
    path = reverse("admin:webhooks_delivery_expunge", args=[delivery.public_id])
    assert "cannot be taken back" in client.get(path).content.decode()
    assert kept_anywhere()  # asking does nothing

    assert client.post(path, {"_confirmed": "1", "reason": "asked"}).status_code == 302

    assert not kept_anywhere()
    assert AuditEntry.objects.filter(action="delivery.expunged").count() == 1
    text = client.get(detail).content.decode()
    assert "The hub has it no more" in text
    assert WORD not in text
    event = reverse("admin:events_event_change", args=[Event.objects.get(pk=delivery.event_id).public_id])
    assert "It was expunged" in client.get(event).content.decode()
    viewer = staff(organization, role="viewer")
    assert viewer.post(path, {"_confirmed": "1"}).status_code in (302, 403)
    assert AuditEntry.objects.filter(action="delivery.expunged").count() == 1


def test_old_messages_go_and_what_is_owed_stays(organization, endpoint_at, receiver, settings):
    endpoint_at(receiver.url)
    receiver.usual = say(500, b"sorry")
    publish(organization, name="owed")
    run()
    receiver.usual = say(200, b"thanks")
    for _ in range(5):
        publish(organization, name="done")
    run()
    settings.WEBHOOK_BODY_DAYS, settings.WEBHOOK_ATTEMPT_DAYS = 10, 20
    now = timezone.now()

    assert forgetting.forget_old(now=now + timedelta(days=9), batch=2) == {
        "messages": 0, "answers": 0, "attempts": 0, "replays": 0}  # fmt: skip
    assert forgetting.forget_old(now=now + timedelta(days=11), batch=2) == {
        "messages": 5, "answers": 6, "attempts": 0, "replays": 0}  # fmt: skip
    assert Payload.objects.count() == 1
    assert forgetting.forget_old(now=now + timedelta(days=21), batch=2)["attempts"] == 0  # not counted yet
    settled, tallying.SETTLED = tallying.SETTLED, timedelta(hours=-1)
    tallying.fold()
    tallying.SETTLED = settled
    assert forgetting.forget_old(now=now + timedelta(days=21), batch=2)["attempts"] == 5
    assert DeliveryAttempt.objects.get().delivery.status == DeliveryStatus.RETRYING
    assert Delivery.objects.count() == 6
    Delivery.objects.filter(status=DeliveryStatus.RETRYING).update(next_attempt_at=now)
    run()
    assert receiver.arrivals[-1].body == receiver.arrivals[0].body  # the same bytes, weeks later


def test_nothing_is_forgotten_with_zero_days(organization, endpoint_at, receiver, settings):
    endpoint_at(receiver.url)
    publish(organization)
    run()
    settings.WEBHOOK_BODY_DAYS = settings.WEBHOOK_ATTEMPT_DAYS = 0
    forgetting.forget_old(now=timezone.now() + timedelta(days=9999))
    assert Payload.objects.count() == DeliveryAttempt.objects.count() == 1
    retention()


def test_replays_that_were_over_long_ago_are_forgotten_and_others_are_not(
    organization, endpoint_at, receiver, settings
):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    *over, late = [worked(order(endpoint)) for _ in range(4)]
    paused = order(endpoint)
    replays.pause(replay=paused, actor=ADA)
    run()
    sent = Delivery.objects.count()
    settings.WEBHOOK_ATTEMPT_DAYS = 20
    now = timezone.now()
    Replay.objects.filter(pk=late.pk).update(completed_at=now + timedelta(days=15))  # it took so long

    assert forgetting.forget_old(now=now + timedelta(days=19), batch=2)["replays"] == 0
    assert forgetting.forget_old(now=now + timedelta(days=21), batch=2)["replays"] == len(over)

    assert set(Replay.objects.values_list("pk", flat=True)) == {paused.pk, late.pk}
    assert Delivery.objects.count() == len(receiver.arrivals) == sent  # what they sent stays
