"""What is forgotten: old messages and tries by the clock, and one message at once when a person asks.

A message that is gone leaves its delivery, with `payload_id` pointing at nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.audit.services import entries
from apps.events.models import Event
from apps.events.selectors import first_id
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict
from apps.tenants.principals import Actor
from apps.webhooks.models import BatchItem, Delivery, DeliveryAttempt, Payload, Replay, TallyMark
from apps.webhooks.services import claims, fifo, tallying
from apps.webhooks.statuses import OPEN, UNFINISHED, WAITING, DeliveryStatus

BATCH = 1000
EXPUNGED = "Its message was expunged."
_ANSWERS = 2  # the mark of the answers that were forgotten


@transaction.atomic
def expunge(*, delivery: Delivery, actor: Actor, reason: str = "") -> int:
    """Remove what a delivery says from everywhere it is kept: its event's data, the messages made of it for
    every endpoint and batch, and what receivers answered. Returns how many deliveries that concerns.

    The deliveries stay, with their tries. Those that wait are cancelled; a batch that waits goes without the
    event. Raises Conflict while one of them is under way.
    """
    claims.hold()
    now = timezone.now()
    parts = BatchItem.objects.filter(delivery=delivery).values_list("event_id", flat=True)
    events: set[UUID] = {pk for pk in (delivery.event_id, *parts) if pk is not None}
    named = BatchItem.objects.filter(event_id__in=events)
    batches = set(named.values_list("delivery_id", flat=True))
    rows = Delivery.objects.filter(organization_id=delivery.organization_id).filter(
        Q(pk=delivery.pk) | Q(event_id__in=events) | Q(pk__in=batches)
    )
    found = list(rows.order_by("id"))
    if any(row.status == DeliveryStatus.DELIVERING for row in found):
        raise Conflict("One of its deliveries is under way at this moment. Try again in a minute.")
    payloads: set[UUID] = {row.payload_id for row in found if row.payload_id is not None}
    payloads |= set(named.values_list("payload_id", flat=True))
    waiting = [row for row in found if row.status in WAITING]
    keys = {(row.endpoint_id, row.ordering_key) for row in waiting if row.ordering_key}
    fifo.lock_endpoints({row.endpoint_id for row in waiting})
    for row in waiting:
        _stop_or_shrink(row, events, now)
    fifo.release(keys, now)
    DeliveryAttempt.objects.filter(delivery_id__in=[row.pk for row in found]).update(response_body="")
    Payload.objects.filter(pk__in=payloads).delete()
    Event.objects.filter(organization_id=delivery.organization_id, pk__in=events).update(
        data={}, expunged_at=now
    )
    enqueue("webhooks.drain", queue="webhooks")
    entries.record(
        organization=delivery.organization,
        actor=actor,
        action="delivery.expunged",
        target=delivery,
        changes={"deliveries": [0, len(found)], "reason": ["", reason[:300]]},
    )
    return len(found)


def _stop_or_shrink(row: Delivery, events: set[UUID], now: datetime) -> None:
    """Take the events out of a waiting batch, to be joined anew; cancel what has nothing left to say."""
    mine = Delivery.objects.filter(pk=row.pk, status__in=WAITING)
    if row.items:
        BatchItem.objects.filter(delivery_id=row.pk, event_id__in=events).delete()
        left = BatchItem.objects.filter(delivery_id=row.pk).count()
        if left:
            mine.update(items=left, payload_id=None, updated_at=now)
            return
    mine.update(status=DeliveryStatus.CANCELLED, next_attempt_at=None, updated_at=now, last_error=EXPUNGED)


def forget_old(*, now: datetime | None = None, batch: int = BATCH) -> dict[str, int]:
    """Forget messages and answers that are older than `WEBHOOK_BODY_DAYS`, tries and finished replays that
    are older than `WEBHOOK_ATTEMPT_DAYS`; in small transactions. What is owed still keeps its message and its
    tries.
    """
    now = now or timezone.now()
    done = {"messages": 0, "answers": 0, "attempts": 0, "replays": 0}
    if settings.WEBHOOK_BODY_DAYS:
        floor = first_id(now - timedelta(days=settings.WEBHOOK_BODY_DAYS))
        done["messages"] = _forget_messages(floor, batch)
        done["answers"] = _forget_answers(floor)
    if settings.WEBHOOK_ATTEMPT_DAYS:
        end = now - timedelta(days=settings.WEBHOOK_ATTEMPT_DAYS)
        done["attempts"] = _forget_attempts(min(first_id(end), tallying.mark()), batch)
        done["replays"] = _forget_replays(end, batch)
    return done


def _forget_messages(floor: UUID, batch: int) -> int:
    owed = Delivery.objects.filter(status__in=OPEN).exclude(status=DeliveryStatus.DELIVERED)
    kept = set(owed.filter(payload_id__lt=floor).values_list("payload_id", flat=True))
    kept |= set(
        BatchItem.objects.filter(delivery__in=owed, payload_id__lt=floor).values_list("payload_id", flat=True)
    )
    total, after = 0, UUID(int=0)
    while True:
        found = list(
            Payload.objects.filter(pk__gt=after, pk__lt=floor)
            .order_by("id")
            .values_list("pk", flat=True)[:batch]
        )
        old = [pk for pk in found if pk not in kept]
        Payload.objects.filter(pk__in=old).delete()
        total += len(old)
        if len(found) < batch:
            return total
        after = found[-1]


def _forget_answers(floor: UUID) -> int:
    """What receivers answered; a mark keeps it from looking at the same attempts every hour."""
    total = 0
    row, _ = TallyMark.objects.get_or_create(pk=_ANSWERS, defaults={"upto": UUID(int=0)})
    at = row.upto
    while at < floor:
        upto = tallying.end_of_stretch(at, floor)
        with transaction.atomic():
            total += (
                DeliveryAttempt.objects.filter(pk__gte=at, pk__lt=upto)
                .exclude(response_body="")
                .update(response_body="")
            )
            TallyMark.objects.filter(pk=_ANSWERS).update(upto=upto)
        at = upto
    return total


def _forget_attempts(floor: UUID, batch: int) -> int:
    """Only what the tallies have counted already."""
    total, after = 0, UUID(int=0)
    while True:
        found = list(
            DeliveryAttempt.objects.filter(pk__gt=after, pk__lt=floor)
            .order_by("id")
            .values_list("pk", "delivery__status")[:batch]
        )
        old = [pk for pk, status in found if status not in OPEN]
        total += DeliveryAttempt.objects.filter(pk__in=old).delete()[0]
        if len(found) < batch:
            return total
        after = found[-1][0]


def _forget_replays(end: datetime, batch: int) -> int:
    """Orders that were over before `end`; which deliveries they made is told by the deliveries."""
    total = 0
    over = Replay.objects.exclude(status__in=UNFINISHED).filter(pk__lt=first_id(end), completed_at__lt=end)
    while True:
        found = list(over.order_by("id").values_list("pk", flat=True)[:batch])
        total += Replay.objects.filter(pk__in=found).delete()[0]
        if len(found) < batch:
            return total
