"""Taking back in the background: what is too much for one request.

An order is a row. A worker takes its lease and goes through the origin's changes page by page; each page is
one transaction with its writes, its numbers and the position, so that whoever comes after a killed worker
goes on where it ended.
"""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError
from apps.kernel.leases import Heartbeat, LeaseLost, claim, fenced_update, free, owner_name, release
from apps.records.catalog import undone
from apps.records.models import Change, Origin, Undoing
from apps.records.services import history
from apps.records.services.history import UndoConflict, UndoResult
from apps.tenants.principals import Actor

logger = logging.getLogger(__name__)

AT_ONCE = 20_000
"""Changes that are taken back while the caller waits: some seconds. More is ordered."""
LEASE = 60.0
BUDGET = 600.0
MAX_ATTEMPTS = 5
RING_AGAIN = 30


def is_large(origin: Origin) -> bool:
    """Whether taking it back is work for the background."""
    standing = Change.objects.filter(origin=origin, undone_by=None).order_by("-id").values("pk")
    return standing[AT_ONCE : AT_ONCE + 1].exists()


def at_work(origin: Origin) -> Undoing | None:
    """The order that is not finished yet, if there is one."""
    return Undoing.objects.filter(origin=origin, finished_at=None).first()


def undo(*, origin: Origin, actor: Actor, dry_run: bool = False) -> UndoResult:
    """Take back everything that an origin wrote: at once, or if that is much in the background.

    As `history.undo`; of what is at work already, the result tells how far it is.
    """
    if not dry_run:
        known = at_work(origin)
        if known is None and is_large(origin):
            known = order(origin=origin, actor=actor)
        if known is not None:
            return result_of(known)
    return history.undo(origin=origin, actor=actor, dry_run=dry_run)


@transaction.atomic
def order(*, origin: Origin, actor: Actor) -> Undoing:
    """Have everything that an origin wrote taken back; returns the order at work if there is one already."""
    Origin.objects.select_for_update().get(pk=origin.pk)
    known = at_work(origin)
    if known is not None:
        return known
    made = Undoing.objects.create(
        organization_id=origin.organization_id,
        origin=origin,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        actor_label=actor.label,
        total=Change.objects.filter(origin=origin, undone_by=None).count(),
    )
    entries.record(
        organization=origin.organization,
        actor=actor,
        action="records.undo_ordered",
        object_type="origin",
        object_ref=f"{origin.kind}:{origin.ref}",
        object_label=str(origin),
        changes={"changes": [None, made.total]},
    )
    enqueue("records.undo", str(made.pk), queue="jobs")
    return made


def sweep() -> int:
    """Ring for every order that nobody works on; returns how many bells."""
    rung = 0
    waiting = Undoing.objects.filter(free(), finished_at=None).order_by("id").values_list("pk", flat=True)
    for pk in waiting[:200]:
        if cache.add(f"records:undo:{pk.hex}", 1, RING_AGAIN):
            enqueue("records.undo", str(pk), queue="jobs")
            rung += 1
    return rung


def take(*, undoing_id: UUID | str, budget: float = BUDGET) -> bool:
    """Work on an order from where it is; false if there is nothing to do or somebody else is at it."""
    due = Undoing.objects.select_related("origin__organization").filter(pk=undoing_id, finished_at=None)
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
                _give_up(row, f"It was interrupted {MAX_ATTEMPTS} times in a row at the same place.")
            else:
                again = not _work(row, heartbeat, time.monotonic() + budget)
        except LeaseLost as lost:
            logger.info("%s was left: %s", row, lost.detail)
        except DatabaseError as error:
            logger.warning("%s is interrupted by the database: %s", row, type(error).__name__)
        except HubError as error:
            _give_up(row, error.detail)
    release(row)
    if again:
        enqueue("records.undo", str(row.pk), queue="jobs")
    return True


def _work(row: Undoing, heartbeat: Heartbeat, until: float) -> bool:
    """Page after page; true at the end."""
    result = result_of(row)
    undoers: dict[Any, Origin] = {}
    while time.monotonic() < until:
        heartbeat.check()
        with transaction.atomic():
            position = history.undo_page(row.origin, row.position, result, undoers)
            if position is None:
                _finish(row, result)
                return True
            fenced_update(
                row,
                position=position,
                reverted=result.reverted,
                refused=result.refused,
                conflicts=[[str(c.record_id), c.key, c.reason] for c in result.conflicts],
                attempts=0,
            )
    return False


def _finish(row: Undoing, result: UndoResult) -> None:
    actor = Actor(row.actor_kind, row.actor_ref, row.actor_label)
    fenced_update(row, finished_at=timezone.now())
    history.finish(row.origin, actor, result)
    listener = undone.get(row.origin.kind)
    if listener is not None:
        listener.tell(row.origin, actor, result)


def _give_up(row: Undoing, reason: str) -> None:
    fenced_update(row, finished_at=timezone.now(), reason=reason[:500])
    logger.warning("%s was given up: %s", row, reason)


def result_of(row: Undoing) -> UndoResult:
    """What an order has come to so far."""
    conflicts = [UndoConflict(UUID(record), key, reason) for record, key, reason in row.conflicts]
    return UndoResult(row.reverted, row.refused, conflicts, row.finished_at is None, row.total)
