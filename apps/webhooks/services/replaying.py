"""Working replays off: page after page, each one transaction with what it owes and how far it is."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import DatabaseError, connection, models, transaction
from django.db.models import F
from django.utils import timezone

from apps.events.models import Event
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError, RaceLost
from apps.kernel.leases import Heartbeat, LeaseLost, claim, fenced_update, free, owner_name, release
from apps.kernel.states import move
from apps.webhooks.choices import PAGE, Choice
from apps.webhooks.models import Delivery, Replay, WebhookEndpoint
from apps.webhooks.services import claims, fifo, pausing, replays
from apps.webhooks.services.intake import delivery_row, hears, insert_deliveries, owe, render_again
from apps.webhooks.statuses import REPLAY_TRANSITIONS, WAITING, Cause, DeliveryStatus, ReplayStatus
from apps.webhooks.templating import TemplateFailed, TemplateInvalid

logger = logging.getLogger(__name__)

LEASE = 60.0
BUDGET = 600.0
MAX_ATTEMPTS = 5
RING_AGAIN = 30
_ENDED = (DeliveryStatus.FAILED, DeliveryStatus.CANCELLED)


def sweep() -> int:
    """Ring for every replay that nobody works on; returns how many bells."""
    rung = 0
    waiting = Replay.objects.filter(free(), status=ReplayStatus.RUNNING).order_by("id")
    for pk in waiting.values_list("pk", flat=True)[:200]:
        if cache.add(f"webhooks:replay:{pk.hex}", 1, RING_AGAIN):
            enqueue("webhooks.replay", str(pk), queue="jobs")
            rung += 1
    return rung


def take(*, replay_id: UUID | str, budget: float = BUDGET) -> bool:
    """Work on a replay from where it is; false if there is nothing to do or somebody else is at it."""
    due = Replay.objects.select_related("endpoint__organization").filter(
        pk=replay_id, status=ReplayStatus.RUNNING
    )
    claimed = claim(due, owner=owner_name(), seconds=LEASE)
    if not claimed:
        return False
    row = claimed[0]
    again = False
    with Heartbeat(row, LEASE) as heartbeat:
        try:
            fenced_update(row, attempts=F("attempts") + 1)
            row.refresh_from_db(fields=["attempts"])
            if row.attempts > MAX_ATTEMPTS:
                _end(row, ReplayStatus.FAILED, f"It was interrupted {MAX_ATTEMPTS} times in a row.")
            else:
                again = not _work(row, heartbeat, time.monotonic() + budget)
        except (LeaseLost, RaceLost) as lost:
            logger.info("%s was left: %s", row, lost.detail)
        except DatabaseError as error:
            logger.warning("%s is interrupted by the database: %s", row, type(error).__name__)
        except HubError as error:
            _end(row, ReplayStatus.FAILED, error.detail)
    release(row)
    if again:
        enqueue("webhooks.replay", str(row.pk), queue="jobs")
    return True


def _work(row: Replay, heartbeat: Heartbeat, until: float) -> bool:
    """Page after page; true when it is over, or was paused or cancelled."""
    choice = replays.choice_of(row)
    if row.total is None:
        found = replays.count(choice, at_most=None)
        fenced_update(row, total=found.total, missing=found.missing)
    while time.monotonic() < until:
        heartbeat.check()
        started = time.monotonic()
        page = _Page.after(choice, row.checkpoint)
        if page is None:
            _end(row, ReplayStatus.COMPLETED, "")
            return True
        with transaction.atomic():
            if page.moves_waiting:
                claims.hold()
            if not _is_still_wanted(row):
                return True
            sent = page.owe(choice)
            fenced_update(
                row,
                checkpoint=page.checkpoint,
                sent=row.sent + sent,
                work_seconds=row.work_seconds + time.monotonic() - started,
                attempts=0,
            )
    return False


def _is_still_wanted(row: Replay) -> bool:
    """Whether it was neither paused nor cancelled; the row stays locked, so that neither happens meanwhile.

    Raises EndpointNotSending if its endpoint was removed or switched off.
    """
    mine = Replay.objects.filter(pk=row.pk)
    if connection.features.has_select_for_update:
        mine = mine.select_for_update(no_key=True)
    if mine.values_list("status", flat=True).first() != ReplayStatus.RUNNING:
        return False
    if row.endpoint_id is not None:
        pausing.refuse_unless_sending(WebhookEndpoint.objects.get(pk=row.endpoint_id))
    return True


def _end(row: Replay, status: str, reason: str) -> None:
    with transaction.atomic():
        fenced_update(row, status_reason=reason[:500], attempts=0)
        move(row, status, REPLAY_TRANSITIONS, completed_at=timezone.now())


class _Page:
    """A stretch of the past: deliveries, or events of which some were missed."""

    def __init__(
        self, checkpoint: dict[str, str], rows: Sequence[Mapping[str, Any]] = (), events: Sequence[Event] = ()
    ) -> None:
        self.checkpoint, self.rows, self.events = checkpoint, rows, events

    @classmethod
    def after(cls, choice: Choice, checkpoint: Mapping[str, str]) -> _Page | None:
        """What comes after a checkpoint: first the deliveries, then the events. None at the end."""
        phase = checkpoint.get("phase", "deliveries")
        at = UUID(checkpoint["after"]) if checkpoint.get("after") else None
        if phase == "deliveries":
            rows = choice.page(at)
            if rows:
                full = len(rows) == PAGE
                reached = {"phase": phase, "after": str(rows[-1]["id"])} if full else {"phase": "events"}
                return cls(reached, rows=rows)
            at = None
        elif phase == "end":
            return None
        events = choice.event_page(at)
        if not events:
            return None
        last = {"phase": "events", "after": str(events[-1].pk)}
        return cls(last if len(events) == PAGE else {"phase": "end"}, events=events)

    @property
    def moves_waiting(self) -> bool:
        """Whether it changes deliveries that a dispatcher may be claiming at this moment."""
        return any(row["status"] != DeliveryStatus.DELIVERED for row in self.rows)

    def owe(self, choice: Choice) -> int:
        """Owe the page again, in the caller's transaction; returns how many deliveries."""
        if self.events:
            return _missing(choice, self.events)
        return (
            _ended([row for row in self.rows if row["status"] in _ENDED])
            + _waiting([row["id"] for row in self.rows if row["status"] in WAITING])
            + _delivered(
                choice.organization_id,
                [row for row in self.rows if row["status"] == DeliveryStatus.DELIVERED],
            )
        )


def _ended(found: Sequence[Mapping[str, Any]]) -> int:
    """Start the schedule of failed and cancelled deliveries over."""
    if not found:
        return 0
    now = timezone.now()
    rows = Delivery.objects.filter(pk__in=[row["id"] for row in found], status__in=_ENDED)
    _render_missing(rows)
    rows = rows.exclude(payload=None, items=0)  # those whose template still fails stay as they are
    keys = set(rows.exclude(ordering_key="").order_by().values_list("endpoint_id", "ordering_key"))
    fifo.lock_endpoints({endpoint_id for endpoint_id, _ in keys})
    back = {"status": DeliveryStatus.PENDING, "step": 0, "updated_at": now}
    count = rows.exclude(ordering_key="").update(next_attempt_at=None, **back)
    count += rows.filter(ordering_key="").update(next_attempt_at=now, **back)
    fifo.release(keys, now)
    enqueue("webhooks.drain", queue="webhooks")
    return count


def _waiting(found: Sequence[UUID]) -> int:
    """Let deliveries that wait for their next try go at once."""
    if not found:
        return 0
    now = timezone.now()
    rows = Delivery.objects.filter(pk__in=found, status__in=WAITING, next_attempt_at__isnull=False)
    count = rows.count()
    rows.filter(next_attempt_at__gt=now).update(
        status=DeliveryStatus.PENDING, next_attempt_at=now, updated_at=now
    )
    enqueue("webhooks.drain", queue="webhooks")
    return count


def _delivered(organization_id: UUID, found: Sequence[Mapping[str, Any]]) -> int:
    """New deliveries of what arrived, with the same ids and bytes."""
    now = timezone.now()
    queue = fifo.FifoQueue({row["endpoint_id"] for row in found if row["ordering_key"]})
    insert_deliveries(
        [
            delivery_row(
                organization_id=organization_id,
                endpoint_id=row["endpoint_id"],
                event_id=row["event_id"],
                payload_id=row["payload_id"],
                event_type=row["event_type"],
                cause=Cause.REPLAY,
                ordering_key=row["ordering_key"],
                due_at=queue.due_at(row["endpoint_id"], row["ordering_key"], now),
                now=now,
                items=row["items"],
            )
            for row in found
        ]
    )
    return len(found)


def _missing(choice: Choice, events: Sequence[Event]) -> int:
    """Deliveries of events that were never owed to the endpoint, by its settings of now."""
    endpoint = choice.endpoint
    assert endpoint is not None
    missed = choice.missed([event for event in events if hears(endpoint, event)])
    return owe(choice.organization_id, [(event, [endpoint]) for event in missed], cause=Cause.REPLAY)


def _render_missing(rows: models.QuerySet[Delivery]) -> None:
    """Give payloads to deliveries whose template failed, if it can be filled by now."""
    unmade = rows.filter(payload=None, items=0, event__isnull=False).select_related("endpoint")
    for delivery in unmade:
        try:
            payload = render_again(delivery)
        except (TemplateInvalid, TemplateFailed):
            continue
        Delivery.objects.filter(pk=delivery.pk, payload=None).update(payload=payload)
