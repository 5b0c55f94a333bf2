"""Handing events to subscribers: each due event once, in order within its organization.

An organization is worked on by one sweep at a time and in small batches, so that its events keep their order
and a flood of one organization does not hold up the others. An event that a subscriber cannot take is put
aside for that subscriber alone and tried again with growing pauses.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from apps.events.catalog import Subscriber, matches, subscribers
from apps.events.models import Event, StalledEvent
from apps.kernel.redaction import redact_text

logger = logging.getLogger(__name__)

SHARE = 500  # events of one organization per transaction: some tenths of a second
ORGANIZATIONS = 50  # organizations per round
MAX_ATTEMPTS = 30
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)

# Failures of the database are nobody's poison: the whole batch is tried again by the next sweep.
_NOT_POISON = (OperationalError, InterfaceError)


def sweep(*, seconds: float = 20.0, limit: int | None = None) -> int:
    """Hand out what is due until nothing is left, `seconds` have passed or `limit` events are done.

    Returns how many events were handed out. Safe to run many times at once.
    """
    deadline = time.monotonic() + seconds
    done = 0
    after: UUID | None = None
    while time.monotonic() < deadline and (limit is None or done < limit):
        waiting = _organizations_with_due(after)
        if not waiting and after is None:
            break
        taken = 0
        for organization_id in waiting:
            share = SHARE if limit is None else min(SHARE, limit - done)
            if share <= 0 or time.monotonic() >= deadline:
                break
            count = _hand_out(organization_id, share)
            taken += count
            done += count
        if after is None and not taken:
            break  # others are at work on all of them
        after = waiting[-1] if len(waiting) == ORGANIZATIONS else None
    if time.monotonic() < deadline:
        retry_stalled()
    return done


def _organizations_with_due(after: UUID | None) -> list[UUID]:
    """Some organizations with due events, by id, beyond `after`: jumps along the index, however many are
    due.
    """
    field = Event._meta.get_field("organization")
    floor = after if after is not None else UUID(int=0)
    table = connection.ops.quote_name(Event._meta.db_table)
    sql = f"""
        WITH RECURSIVE due(organization_id) AS (
            SELECT * FROM (
                SELECT organization_id FROM {table}
                WHERE fanned_out_at IS NULL AND organization_id > %s ORDER BY organization_id LIMIT 1
            ) AS first
            UNION ALL
            SELECT (
                SELECT e.organization_id FROM {table} e
                WHERE e.fanned_out_at IS NULL AND e.organization_id > due.organization_id
                ORDER BY e.organization_id LIMIT 1
            ) FROM due WHERE due.organization_id IS NOT NULL
        )
        SELECT organization_id FROM due WHERE organization_id IS NOT NULL LIMIT {ORGANIZATIONS}
    """  # noqa: S608 (the only text put in is the table's name)
    with connection.cursor() as cursor:
        cursor.execute(sql, [field.get_db_prep_value(floor, connection)])
        return [row[0] if isinstance(row[0], UUID) else UUID(row[0]) for row in cursor.fetchall()]


def _hand_out(organization_id: UUID, share: int) -> int:
    """Give the oldest due events of an organization to the subscribers, in one transaction."""
    with transaction.atomic():
        if not _lock(organization_id):
            return 0
        due = Event.objects.filter(organization_id=organization_id, fanned_out_at=None).order_by("id")
        if connection.features.has_select_for_update_skip_locked:
            due = due.select_for_update(skip_locked=True, of=("self",))
        events = list(due[:share])
        if not events:
            return 0
        for subscriber in subscribers:
            _give(subscriber, organization_id, events)
        Event.objects.filter(pk__in=[event.pk for event in events]).update(fanned_out_at=timezone.now())
    return len(events)


def _lock(organization_id: UUID) -> bool:
    """Whether this transaction may work on the organization; a second sweep passes on to the next."""
    if connection.vendor != "postgresql":
        return True  # immediate transactions are alone by nature
    key = int.from_bytes(
        hashlib.blake2b(b"events.fanout" + organization_id.bytes, digest_size=8).digest(), signed=True
    )
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def _give(subscriber: Subscriber, organization_id: UUID, events: Sequence[Event]) -> None:
    """Let a subscriber take the events it wants; those that it chokes on are put aside one by one."""
    try:
        with transaction.atomic():
            patterns = subscriber.wants(organization_id)
            kinds = {event.type for event in events}
            heard = {kind for kind in kinds if any(matches(pattern, kind) for pattern in patterns)}
            wanted = [event for event in events if event.type in heard]
            if wanted:
                subscriber.take(wanted)
        return
    except _NOT_POISON:
        raise
    except Exception:
        logger.exception("%s could not take a batch of events; trying them one by one.", subscriber.name)
    for event in events:
        problem = _give_one(subscriber, event)
        if problem is not None:
            StalledEvent.objects.create(
                organization_id=organization_id,
                event=event,
                subscriber=subscriber.name,
                next_attempt_at=timezone.now() + FIRST_PAUSE,
                last_error=problem,
            )


def _give_one(subscriber: Subscriber, event: Event) -> str | None:
    """What went wrong when the subscriber took this one event; None if nothing did."""
    try:
        with transaction.atomic():
            if any(matches(pattern, event.type) for pattern in subscriber.wants(event.organization_id)):
                subscriber.take([event])
        return None
    except _NOT_POISON:
        raise
    except Exception as error:
        logger.exception("%s could not take %s.", subscriber.name, event)
        return redact_text(f"{type(error).__name__}: {error}")[:2000]


def retry_stalled(*, limit: int = 100) -> int:
    """Try the events again that were put aside and whose pause is over; returns how many went through."""
    passed = 0
    due = StalledEvent.objects.filter(next_attempt_at__lte=timezone.now()).order_by("next_attempt_at")
    for pk in list(due.values_list("pk", flat=True)[:limit]):
        with transaction.atomic():
            rows = StalledEvent.objects.select_related("event").filter(
                pk=pk, next_attempt_at__lte=timezone.now()
            )
            if connection.features.has_select_for_update_skip_locked:
                rows = rows.select_for_update(skip_locked=True, of=("self",))
            stalled = rows.first()
            if stalled is None:
                continue
            subscriber = subscribers.get(stalled.subscriber)
            problem = (
                f"No subscriber is called {stalled.subscriber}."
                if subscriber is None
                else _give_one(subscriber, stalled.event)
            )
            if problem is None:
                stalled.delete()
                passed += 1
                continue
            stalled.attempts += 1
            stalled.last_error = problem
            pause = min(FIRST_PAUSE * 2 ** (stalled.attempts - 1), LONGEST_PAUSE)
            stalled.next_attempt_at = None if stalled.attempts >= MAX_ATTEMPTS else timezone.now() + pause
            stalled.save(update_fields=["attempts", "last_error", "next_attempt_at"])
    return passed
