"""Taking back: one change, or everything that an origin wrote."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.errors import Conflict
from apps.records.mapping import canonical_json, content_hash
from apps.records.models import Change, Dataset, Origin, Record
from apps.records.models.history import taken_back
from apps.records.services import bulk
from apps.records.services.planning import by_keys, difference
from apps.records.services.store import CREATED, DELETED, RESTORED, UPDATED, Batch, Write, apply, origin_of
from apps.tenants.principals import Actor

PAGE = 2000
KEPT_CONFLICTS = 1000
UNDO = "undo"  # the kind of the origins that take back


@dataclass(frozen=True, slots=True)
class UndoConflict:
    """A record that cannot be taken back, because somebody else changed it later."""

    record_id: uuid.UUID
    key: str | None
    reason: str


@dataclass(slots=True)
class UndoResult:
    """How many changes were taken back, how many were in the way, and the first of those."""

    reverted: int = 0
    refused: int = 0
    conflicts: list[UndoConflict] = field(default_factory=list)


class _DryRunDone(Exception):
    """Leaves the transaction of a dry run."""


def undo(*, origin: Origin, actor: Actor, dry_run: bool = False) -> UndoResult:
    """Take back all changes of an origin, newest first.

    A record that somebody else changed later stays as it is and is listed. With `dry_run` nothing is written
    and the result foretells. Taking back is itself a change, by an origin of its own, and can be undone.
    """
    result = UndoResult()
    try:
        if dry_run:
            with transaction.atomic():
                _undo_all(origin, actor, result, journal=False)
                raise _DryRunDone
        _undo_all(origin, actor, result, journal=True)
    except _DryRunDone:
        return result
    with transaction.atomic():
        if not result.refused:
            Origin.objects.filter(pk=origin.pk).update(undone_at=timezone.now())
        entries.record(
            organization=origin.organization,
            actor=actor,
            action="records.undone",
            object_type="origin",
            object_ref=f"{origin.kind}:{origin.ref}",
            object_label=str(origin),
            changes={"reverted": [None, result.reverted], "refused": [None, result.refused]},
        )
    return result


def _undo_all(origin: Origin, actor: Actor, result: UndoResult, *, journal: bool) -> None:
    undoers: dict[Any, Origin] = {}
    last: uuid.UUID | None = None
    while True:
        with transaction.atomic():
            changes = Change.objects.filter(origin=origin, undone_by=None).order_by("-id")
            if last is not None:
                changes = changes.filter(id__lt=last)
            page = list(changes[:PAGE])
            if not page:
                return
            last = page[-1].id
            for dataset in (
                Dataset.objects.select_related("organization")
                .filter(pk__in={c.dataset_id for c in page})
                .order_by("pk")
            ):
                undoer = undoers.get(dataset.pk)
                if undoer is None:
                    undoer = undoers[dataset.pk] = origin_of(
                        dataset, kind=UNDO, ref=str(origin.public_id), label=f"Undo of {origin}"
                    )
                mine = [c for c in page if c.dataset_id == dataset.pk]
                _undo_page(dataset, origin, undoer, mine, result, journal=journal)


def undo_change(*, change: Change, actor: Actor) -> Record:
    """Take back one change, if it is the record's latest. Raises Conflict otherwise."""
    dataset = change.dataset
    with transaction.atomic():
        undoer = origin_of(dataset, kind=actor.kind, ref=actor.ref, label=actor.label)
        result = UndoResult()
        _undo_page(dataset, None, undoer, [change], result, journal=True)
        if result.conflicts:
            raise Conflict(result.conflicts[0].reason)
    return Record.objects.select_related("dataset__organization").get(pk=change.record_id)


def _later(origin: Origin | None, undoer: Origin, changes: Sequence[Change]) -> dict[Any, Any]:
    """The newest change of each record that was made by others and still stands.

    What was taken back does not count, nor does the taking back itself: together they changed nothing.
    """
    others = Change.objects.filter(
        record_id__in=[c.record_id for c in changes], version__gt=1, undone_by=None
    )
    if origin is not None:
        others = others.exclude(origin__in=[origin.pk, undoer.pk])
    others = others.exclude(origin__kind=UNDO)
    newest: dict[Any, Any] = {}
    for record, change in others.order_by("id").values_list("record_id", "id"):
        newest[record] = change
    return newest


def _undo_page(
    dataset: Dataset,
    origin: Origin | None,
    undoer: Origin,
    changes: Sequence[Change],
    result: UndoResult,
    *,
    journal: bool,
) -> None:
    """Revert changes of one dataset, given newest first. A record may occur several times."""
    bulk.lock_dataset(dataset.pk)
    waves: list[list[Change]] = []
    depth: dict[Any, int] = {}
    for change in changes:
        n = depth.get(change.record_id, 0)
        depth[change.record_id] = n + 1
        if n == len(waves):
            waves.append([])
        waves[n].append(change)
    blocked: set[Any] = set()
    newest: dict[Any, Any] = {}
    for start in range(0, len(changes), bulk.CHUNK):
        newest |= _later(origin, undoer, changes[start : start + bulk.CHUNK])
    for wave in waves:
        _undo_wave(dataset, undoer, wave, newest, blocked, result, journal=journal)


def _undo_wave(
    dataset: Dataset,
    undoer: Origin,
    changes: Sequence[Change],
    newest: dict[Any, Any],
    blocked: set[Any],
    result: UndoResult,
    *,
    journal: bool,
) -> None:
    records: dict[Any, Record] = {}
    wanted = [c.record_id for c in changes]
    for start in range(0, len(wanted), bulk.CHUNK):
        records.update(Record.objects.in_bulk(wanted[start : start + bulk.CHUNK]))
    batch = Batch(dataset, undoer)
    done: list[Change] = []
    for change in changes:
        record = records.get(change.record_id)
        later = newest.get(change.record_id)
        if record is None or change.record_id in blocked or (later is not None and later > change.id):
            blocked.add(change.record_id)
            _conflict(result, change, record, "was changed later by somebody else")
            continue
        write = _reverse(dataset, change, record)
        if write is None:
            continue
        batch.changes.append(write)
        done.append(change)
    _free_keys(dataset, batch, done, result, records)
    apply(batch, journal=journal)
    result.reverted += len(done)
    for start in range(0, len(done), bulk.CHUNK):
        part = [c.pk for c in done[start : start + bulk.CHUNK]]
        Change.objects.filter(pk__in=part).update(undone_by=undoer.pk)
    _stand_again(done)


def _stand_again(changes: Sequence[Change]) -> None:
    """Where an undo was itself taken back, what it had taken back stands again."""
    for undo in Origin.objects.filter(kind=UNDO, pk__in={c.origin_id for c in changes}):
        records = [c.record_id for c in changes if c.origin_id == undo.pk]
        for start in range(0, len(records), bulk.CHUNK):
            part = records[start : start + bulk.CHUNK]
            undone = Change.objects.of_records(*part).filter(undone_by=undo.pk)
            Origin.objects.filter(pk__in=undone.values("origin_id")).update(undone_at=None)
            undone.update(undone_by=None)


def _conflict(result: UndoResult, change: Change, record: Record | None, reason: str) -> None:
    result.refused += 1
    if len(result.conflicts) < KEPT_CONFLICTS:
        key = record.key if record is not None else None
        name = key or (record.public_id if record is not None else "The record")
        result.conflicts.append(UndoConflict(change.record_id, key, f"“{name}” {reason}."))


def _reverse(dataset: Dataset, change: Change, record: Record) -> Write | None:
    """The write that takes a change back."""
    version = record.version + 1
    hexed = bulk.hex_of(record.pk)
    if change.operation == CREATED:
        if record.deleted_at is not None:
            return None
        return Write(
            DELETED, hexed, record.key, record.data, b"", bytes(record.content_hash), version, record.data
        )
    before = change.before or {}
    # A restored record had been deleted before, with the values that its restoration changed.
    data = dict(before) if change.operation == DELETED else taken_back(record.data, before, change.after)
    body = canonical_json(data)
    key = data.get(dataset.key_field) if dataset.key_field else record.key
    key = key if key is None or isinstance(key, str) else str(key)
    if change.operation == RESTORED:
        return Write(DELETED, hexed, key, data, body, content_hash(body), version, record.data)
    was, becomes = difference(record.data, data)
    operation = RESTORED if change.operation == DELETED else UPDATED
    return Write(operation, hexed, key, data, body, content_hash(body), version, was, becomes)


def _free_keys(
    dataset: Dataset, batch: Batch, done: list[Change], result: UndoResult, records: dict[Any, Record]
) -> None:
    """Leave out what would take a key that another record has by now."""
    moved = [w for w in batch.changes if w.operation != DELETED and w.key is not None]
    if not moved:
        return
    holders = by_keys(dataset, [w.key for w in moved if w.key is not None])
    clashing = {
        w.record
        for w in moved
        if w.key is not None and w.key in holders and holders[w.key].record != w.record
    }
    if clashing:
        batch.changes = [w for w in batch.changes if w.record not in clashing]
        for change in [c for c in done if bulk.hex_of(c.record_id) in clashing]:
            done.remove(change)
            _conflict(result, change, records.get(change.record_id), "has lost its key to another record")
