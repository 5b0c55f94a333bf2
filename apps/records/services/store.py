"""The one place that writes records: rows, their keys, their changes, the count and the events, in bulk."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson
from django.db import connection
from django.utils import timezone

from apps.events.catalog import is_wanted
from apps.events.services import outbox
from apps.kernel import ids
from apps.records import events
from apps.records.fields import sorter
from apps.records.models import KEY_LENGTH, Change, Dataset, DatasetCount, Origin, Record, RecordKey
from apps.records.services import bulk
from apps.records.services.bulk import Column

Data = dict[str, Any]
CREATED, UPDATED = Change.Operation.CREATED.value, Change.Operation.UPDATED.value
DELETED, RESTORED = Change.Operation.DELETED.value, Change.Operation.RESTORED.value


@dataclass(slots=True)
class Write:
    """One record as it will be: what `apply` needs to know of it."""

    operation: str
    record: str  # 32 hexadecimal digits
    key: str | None
    data: Data
    body: bytes  # canonical JSON of `data`
    hash: bytes
    version: int
    before: Data | None = None
    after: Data | None = None


@dataclass(slots=True)
class Creates:
    """New records, as parallel lists: at this speed an object per row is what costs."""

    keys: list[str | None] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # canonical JSON of `data`
    hashes: list[bytes] = field(default_factory=list)
    records: list[str] = field(default_factory=list)  # given by `number`
    slots: list[Column] | None = None  # where they were prepared for exactly these rows

    def add(self, key: str | None, data: Data, text: str, digest: bytes) -> None:
        self.keys.append(key)
        self.data.append(data)
        self.texts.append(text)
        self.hashes.append(digest)
        self.slots = None

    def number(self) -> list[str]:
        """Give ids to those that have none yet; returns these ids."""
        fresh = ids.uuid7_hexes(len(self.keys) - len(self.records))
        self.records += fresh
        return fresh

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(slots=True)
class Batch:
    """The writes of one transaction to one dataset by one origin."""

    dataset: Dataset
    origin: Origin
    creates: Creates = field(default_factory=Creates)
    changes: list[Write] = field(default_factory=list)  # updated, restored, deleted

    def __len__(self) -> int:
        return len(self.creates) + len(self.changes)


def stamp(now: dt.datetime) -> str:
    """A time as both databases take it in text."""
    if bulk.is_postgres():
        return now.isoformat()
    return str(connection.ops.adapt_datetimefield_value(now))


def slot_columns(dataset: Dataset, rows: Sequence[Data]) -> list[Column]:
    """The sortable texts of the indexed fields; a missing value sorts first, as the empty text."""
    columns = []
    for name, slot in dataset.slots.items():
        sort = sorter(dataset.fields_by_name[name])
        columns.append(
            Column(slot, [sort(row[name]) or "" if name in row else "" for row in rows], text=True)
        )
    return columns


def unique_names(dataset: Dataset) -> list[str]:
    """The unique fields other than the key: their values are held in `RecordKey`."""
    return [f.name for f in dataset.fields if f.unique and f.name != dataset.key_field]


def unique_text(value: Any) -> str | None:
    """The text under which a unique value is held; a digest stands in for the end of a long one."""
    if value is None:
        return None
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if len(text) <= KEY_LENGTH:
        return text
    return f"{text[:120]}#{blake2b(text.encode(), digest_size=32).hexdigest()}"


def apply(batch: Batch, *, journal: bool = True) -> None:
    """Write the batch. Call it in a transaction that holds the dataset's lock.

    Without `journal` (a dry run, rolled back afterwards) only what later rows of the same run can see is
    written: neither changes nor events.
    """
    now = timezone.now()
    at = stamp(now)
    _create(batch, at)
    _change(batch, at)
    _count(batch)
    if journal:
        _journal(batch, at)
        _publish(batch)


def _create(batch: Batch, at: str) -> None:
    creates = batch.creates
    if not len(creates):
        return
    creates.number()
    dataset = batch.dataset
    columns = [
        Column("id", creates.records),
        Column("organization_id", bulk.hex_of(dataset.organization_id)),
        Column("dataset_id", bulk.hex_of(dataset.pk)),
        Column("key", creates.keys, text=True),
        Column("data", creates.texts, text=True),
        Column("content_hash", creates.hashes),
        Column("version", 1),
        Column("created_at", at),
        Column("updated_at", at),
        *(slot_columns(dataset, creates.data) if creates.slots is None else creates.slots),
    ]
    bulk.insert(Record, columns, len(creates))
    _hold_keys(dataset, zip(creates.records, creates.data, strict=True))


def _hold_keys(dataset: Dataset, rows: Iterable[tuple[str, Data]]) -> None:
    names = unique_names(dataset)
    if not names:
        return
    held = [
        (name, text, record)
        for record, data in rows
        for name in names
        if (text := unique_text(data.get(name))) is not None
    ]
    if held:
        columns = [
            Column("id", ids.uuid7_hexes(len(held))),
            Column("dataset_id", bulk.hex_of(dataset.pk)),
            Column("field", [h[0] for h in held], text=True),
            Column("value", [h[1] for h in held], text=True),
            Column("record_id", [h[2] for h in held]),
        ]
        bulk.insert(RecordKey, columns, len(held))


def _release_keys(dataset: Dataset, writes: Sequence[Write]) -> None:
    if unique_names(dataset):
        records = [uuid.UUID(hex=w.record) for w in writes]
        for start in range(0, len(records), bulk.CHUNK):
            RecordKey.objects.filter(record_id__in=records[start : start + bulk.CHUNK]).delete()


def _change(batch: Batch, at: str) -> None:
    for gone in (False, True):
        writes = [w for w in batch.changes if (w.operation == DELETED) is gone]
        if not writes:
            continue
        _release_keys(batch.dataset, writes)
        records = [w.record for w in writes]
        if gone:
            columns = [
                Column("version", [w.version for w in writes]),
                Column("updated_at", at),
                Column("deleted_at", at),
            ]
        else:
            columns = [
                Column("key", [w.key for w in writes], text=True),
                Column("data", [w.body.decode() for w in writes], text=True),
                Column("content_hash", [w.hash for w in writes]),
                Column("version", [w.version for w in writes]),
                Column("updated_at", at),
                Column("deleted_at", None),
                *slot_columns(batch.dataset, [w.data for w in writes]),
            ]
        bulk.update(Record, records, columns)
        if not gone:
            _hold_keys(batch.dataset, ((w.record, w.data) for w in writes))


def _count(batch: Batch) -> None:
    delta = len(batch.creates)
    for write in batch.changes:
        delta += (write.operation == RESTORED) - (write.operation == DELETED)
    if delta:
        DatasetCount.objects.create(dataset=batch.dataset, delta=delta)


def _json(value: Data | None) -> str | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _journal(batch: Batch, at: str) -> None:
    """Write the changes. A creation's change has its record's id, which no other change can have."""
    shared = [
        Column("organization_id", bulk.hex_of(batch.dataset.organization_id)),
        Column("dataset_id", bulk.hex_of(batch.dataset.pk)),
        Column("origin_id", bulk.hex_of(batch.origin.pk)),
        Column("created_at", at),
    ]
    creates, writes = batch.creates, batch.changes
    if len(creates):
        columns = [
            Column("id", creates.records),
            Column("record_id", creates.records),
            Column("operation", CREATED),
            Column("version", 1),
            Column("before", None),
            Column("after", creates.texts, text=True),
        ]
        bulk.insert(Change, [*columns, *shared], len(creates))
    if writes:
        columns = [
            Column("id", ids.uuid7_hexes(len(writes))),
            Column("record_id", [w.record for w in writes]),
            Column("operation", [w.operation for w in writes]),
            Column("version", [w.version for w in writes]),
            Column("before", [_json(w.before) for w in writes], text=True),
            Column("after", [_json(w.after) for w in writes], text=True),
        ]
        bulk.insert(Change, [*columns, *shared], len(writes))


def _publish(batch: Batch) -> None:
    dataset = batch.dataset
    heard = {
        operation
        for operation in (CREATED, UPDATED, DELETED, RESTORED)
        if is_wanted(dataset.organization_id, f"{dataset.slug}.{operation}")
    }
    if heard:
        outbox.publish_many(organization=dataset.organization, drafts=_drafts(batch, heard))


def _drafts(batch: Batch, heard: set[str]) -> Iterable[outbox.Draft]:
    origin = {"kind": batch.origin.kind, "ref": batch.origin.ref}
    slug = batch.dataset.slug

    def draft(
        operation: str,
        record: str,
        key: str | None,
        version: int,
        data: Data,
        before: Data | None,
        after: Data | None,
    ) -> outbox.Draft:
        public_id = ids.public(Record.PREFIX, int(record, 16))
        return outbox.Draft(
            type=f"{slug}.{operation}",
            subject=public_id,
            ordering_key=public_id,
            data=events.data_of(
                dataset=slug,
                public_id=public_id,
                key=key,
                version=version,
                record=data,
                before=before,
                after=after,
                origin=origin,
            ),
        )

    if CREATED in heard:
        creates = batch.creates
        for record, key, data in zip(creates.records, creates.keys, creates.data, strict=True):
            yield draft(CREATED, record, key, 1, data, None, data)
    for w in batch.changes:
        if w.operation in heard:
            yield draft(w.operation, w.record, w.key, w.version, w.data, w.before, w.after)


def origin_of(dataset: Dataset, *, kind: str, ref: str, label: str) -> Origin:
    """The organization's origin row for this writer, made at its first write."""
    origin, _ = Origin.objects.get_or_create(
        organization_id=dataset.organization_id, kind=kind, ref=ref[:120], defaults={"label": label[:200]}
    )
    return origin
