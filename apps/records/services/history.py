"""Taking back: one change, or everything that an origin wrote."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.errors import Conflict
from apps.records.mapping import canonical_json, content_hash
from apps.records.models import Change, Dataset, LaterChange, Origin, Record
from apps.records.models.history import taken_back
from apps.records.services import bulk
from apps.records.services.bulk import Column
from apps.records.services.planning import difference
from apps.records.services.store import CREATED, DELETED, RESTORED, UPDATED, Batch, Write, apply, origin_of
from apps.records.services.stored import by_keys
from apps.tenants.principals import Actor

PAGE = 10_000
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
    """How many changes were taken back, how many were in the way, and the first of those.

    `in_background` says that it goes on, and that these are the numbers so far, of `total`.
    """

    reverted: int = 0
    refused: int = 0
    conflicts: list[UndoConflict] = field(default_factory=list)
    in_background: bool = False
    total: int = 0


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
        finish(origin, actor, result)
    return result


def finish(origin: Origin, actor: Actor, result: UndoResult) -> None:
    """Note what was taken back, in the caller's transaction, and tell those to whom the origin belongs."""
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


class Taken(NamedTuple):
    """A change about to be taken back; its ids are 32 hexadecimal digits."""

    id: str
    record: str
    origin: str
    operation: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @classmethod
    def of(cls, change: Change) -> Taken:
        return cls(
            change.pk.hex, change.record_id.hex, change.origin_id.hex, change.operation, change.before,
            change.written,
        )  # fmt: skip


@dataclass(slots=True)
class _Held:
    """A record as it is now."""

    key: str | None
    data: dict[str, Any]
    hash: bytes
    version: int
    deleted: bool


def _undo_all(origin: Origin, actor: Actor, result: UndoResult, *, journal: bool) -> None:
    last: uuid.UUID | None = None
    undoers: dict[Any, Origin] = {}
    while True:
        with transaction.atomic():
            last = undo_page(origin, last, result, undoers, journal=journal)
        if last is None:
            return


def undo_page(
    origin: Origin,
    last: uuid.UUID | None,
    result: UndoResult,
    undoers: dict[Any, Origin],
    *,
    journal: bool = True,
) -> uuid.UUID | None:
    """Take back the next page before `last`, in the caller's transaction; returns where it ended, or None."""
    before = "" if last is None else "AND id < %s "
    with bulk.by_index():
        page = bulk.rows_of(
            "SELECT dataset_id, id, record_id, operation, before, after FROM records_changes "  # noqa: S608
            f"WHERE origin_id = %s AND undone_by IS NULL {before}ORDER BY id DESC LIMIT {PAGE}",
            [bulk.hex_of(origin.pk), *([] if last is None else [bulk.hex_of(last)])],
        )
    if not page:
        return None
    of: dict[str, list[Taken]] = {}
    writer = bulk.hex_of(origin.pk)
    for dataset_id, pk, record, operation, was, becomes in page:
        of.setdefault(bulk.hex_of(dataset_id), []).append(
            Taken(
                bulk.hex_of(pk), bulk.hex_of(record), writer, operation,
                was and orjson.loads(was), becomes and orjson.loads(becomes),
            )
        )  # fmt: skip
    datasets = Dataset.objects.select_related("organization").filter(pk__in=list(of))
    for dataset in datasets.order_by("pk"):
        undoer = undoers.get(dataset.pk)
        if undoer is None:
            undoer = undoers[dataset.pk] = origin_of(
                dataset, kind=UNDO, ref=str(origin.public_id), label=f"Undo of {origin}"
            )
        _undo_some(dataset, origin, undoer, of[dataset.pk.hex], result, journal=journal)
    return uuid.UUID(bulk.hex_of(page[-1][1]))


def undo_change(*, change: Change, actor: Actor) -> Record:
    """Take back one change, if it is the record's latest. Raises Conflict otherwise."""
    dataset = change.dataset
    with transaction.atomic():
        undoer = origin_of(dataset, kind=actor.kind, ref=actor.ref, label=actor.label)
        result = UndoResult()
        _undo_some(dataset, None, undoer, [Taken.of(change)], result, journal=True)
        if result.conflicts:
            raise Conflict(result.conflicts[0].reason)
    return Record.objects.select_related("dataset__organization").get(pk=change.record_id)


def _later(origin: Origin | None, undoer: Origin, changes: Sequence[Taken]) -> dict[str, str]:
    """The newest change of each record that was made by others and still stands.

    What was taken back does not count, nor does the taking back itself: together they changed nothing. The
    creation of a record is never later than another change of it.
    """
    mine = "" if origin is None else "AND c.origin_id NOT IN (%s, %s) "
    found = bulk.rows_in(
        "SELECT c.record_id, c.id FROM records_change c JOIN records_origin o ON o.id = c.origin_id "  # noqa: S608
        f"WHERE c.undone_by IS NULL AND o.kind <> %s {mine}AND c.record_id {{keys}}",
        [UNDO, *([] if origin is None else [bulk.hex_of(origin.pk), bulk.hex_of(undoer.pk)])],
        list({c.record for c in changes}),
        cast="uuid",
    )
    newest: dict[str, str] = {}
    for record, change in found:
        record, change = bulk.hex_of(record), bulk.hex_of(change)
        if change > newest.get(record, ""):
            newest[record] = change
    return newest


def _undo_some(
    dataset: Dataset,
    origin: Origin | None,
    undoer: Origin,
    changes: Sequence[Taken],
    result: UndoResult,
    *,
    journal: bool,
) -> None:
    """Revert changes of one dataset, given newest first. A record may occur several times."""
    bulk.lock_dataset(dataset.pk)
    waves: list[list[Taken]] = []
    depth: dict[str, int] = {}
    for change in changes:
        n = depth.get(change.record, 0)
        depth[change.record] = n + 1
        if n == len(waves):
            waves.append([])
        waves[n].append(change)
    blocked: set[str] = set()
    newest = _later(origin, undoer, changes)
    for wave in waves:
        _undo_wave(dataset, undoer, wave, newest, blocked, result, journal=journal)


def _held(records: Sequence[str]) -> dict[str, _Held]:
    found = bulk.rows_in(
        "SELECT id, key, data, content_hash, version, deleted_at IS NOT NULL "
        "FROM records_record WHERE id {keys}",
        [],
        records,
        cast="uuid",
    )
    return {
        bulk.hex_of(record): _Held(key, orjson.loads(data), bytes(digest), version, bool(deleted))
        for record, key, data, digest, version, deleted in found
    }


def _undo_wave(
    dataset: Dataset,
    undoer: Origin,
    changes: Sequence[Taken],
    newest: dict[str, str],
    blocked: set[str],
    result: UndoResult,
    *,
    journal: bool,
) -> None:
    records = _held([c.record for c in changes])
    batch = Batch(dataset, undoer)
    done: list[Taken] = []
    for change in changes:
        record = records.get(change.record)
        later = newest.get(change.record)
        if record is None or change.record in blocked or (later is not None and later > change.id):
            blocked.add(change.record)
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
    if journal:
        by = undoer.pk.hex
        created = [c.id for c in done if c.operation == CREATED]
        changed = [c.id for c in done if c.operation != CREATED]
        bulk.update(Record, created, [Column("uncreated_by", by)])
        bulk.update(LaterChange, changed, [Column("undone_by", by)])
        _stand_again(done)


def _stand_again(changes: Sequence[Taken]) -> None:
    """Where an undo was itself taken back, what it had taken back stands again."""
    for undo in Origin.objects.filter(kind=UNDO, pk__in={uuid.UUID(c.origin) for c in changes}):
        records = [uuid.UUID(c.record) for c in changes if c.origin == undo.pk.hex]
        for start in range(0, len(records), bulk.CHUNK):
            part = records[start : start + bulk.CHUNK]
            undone = Change.objects.filter(record__in=part, undone_by=undo.pk)
            Origin.objects.filter(pk__in=undone.values("origin_id")).update(undone_at=None)
            LaterChange.objects.filter(record__in=part, undone_by=undo.pk).update(undone_by=None)
            Record.objects.filter(pk__in=part, uncreated_by=undo.pk).update(uncreated_by=None)


def _conflict(result: UndoResult, change: Taken, record: _Held | None, reason: str) -> None:
    result.refused += 1
    if len(result.conflicts) < KEPT_CONFLICTS:
        key = record.key if record is not None else None
        pk = uuid.UUID(change.record)
        name = key or (Record(id=pk).public_id if record is not None else "The record")
        result.conflicts.append(UndoConflict(pk, key, f"“{name}” {reason}."))


def _reverse(dataset: Dataset, change: Taken, record: _Held) -> Write | None:
    """The write that takes a change back."""
    version = record.version + 1
    if change.operation == CREATED:
        if record.deleted:
            return None
        return Write(DELETED, change.record, record.key, record.data, b"", record.hash, version, record.data)
    before = change.before or {}
    # A restored record had been deleted before, with the values that its restoration changed.
    data = dict(before) if change.operation == DELETED else taken_back(record.data, before, change.after)
    body = canonical_json(data)
    key = data.get(dataset.key_field) if dataset.key_field else record.key
    key = key if key is None or isinstance(key, str) else str(key)
    if change.operation == RESTORED:
        return Write(DELETED, change.record, key, data, body, content_hash(body), version, record.data)
    was, becomes = difference(record.data, data)
    operation = RESTORED if change.operation == DELETED else UPDATED
    return Write(operation, change.record, key, data, body, content_hash(body), version, was, becomes)


def _free_keys(
    dataset: Dataset, batch: Batch, done: list[Taken], result: UndoResult, records: dict[str, _Held]
) -> None:
    """Leave out what would take a key that another record has by now. Its own it has always kept."""
    moved = {
        w.record: w.key
        for w in batch.changes
        if w.operation != DELETED and w.key is not None and w.key != records[w.record].key
    }
    if not moved:
        return
    holders = by_keys(dataset, list(moved.values()))
    clashing = {record for record, key in moved.items() if key in holders and holders[key].record != record}
    if clashing:
        batch.changes = [w for w in batch.changes if w.record not in clashing]
        for change in [c for c in done if c.record in clashing]:
            done.remove(change)
            _conflict(result, change, records.get(change.record), "has lost its key to another record")
