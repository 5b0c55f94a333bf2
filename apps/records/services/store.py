"""The one place that writes records: rows, their keys, their changes, the count and the events, in bulk."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import orjson
from django.utils import timezone

from apps.events.catalog import is_wanted
from apps.events.services import outbox
from apps.kernel import ids
from apps.records import events
from apps.records.fields import sorter
from apps.records.models import (
    KEY_LENGTH,
    Change,
    Dataset,
    DatasetCount,
    LaterChange,
    Origin,
    Record,
    RecordKey,
)
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
    hash: bytes  # of the content, with the row's mark if it has one
    version: int
    before: Data | None = None
    after: Data | None = None


@dataclass(slots=True)
class Creates:
    """New records, as parallel lists: at this speed an object per row is what costs."""

    keys: list[str | None] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # canonical JSON of `data`
    hashes: list[bytes] = field(default_factory=list)  # of the content, with the row's mark if it has one
    ids: list[bytes] = field(default_factory=list)  # given by `number`
    packed: list[bulk.Packed] = field(default_factory=list)  # where exactly these rows were packed ahead

    def add(self, key: str | None, data: Data, body: bytes, digest: bytes) -> None:
        self.keys.append(key)
        self.data.append(data)
        self.bodies.append(body)
        self.hashes.append(digest)

    def extend(self, more: Creates) -> None:
        """Take in others, with what was packed of them."""
        self.keys += more.keys
        self.data += more.data
        self.bodies += more.bodies
        self.hashes += more.hashes
        self.ids += more.ids
        self.packed += more.packed

    def number(self) -> list[str]:
        """Give ids to those that have none yet; returns these ids, as 32 hexadecimal digits."""
        fresh = ids.uuid7_bytes(len(self.keys) - len(self.ids))
        self.ids += fresh
        return [value.hex() for value in fresh]

    def records(self) -> list[str]:
        """The ids, as 32 hexadecimal digits."""
        return [value.hex() for value in self.ids]

    def __len__(self) -> int:
        return len(self.keys)


@dataclass(slots=True)
class Batch:
    """The writes of one transaction to one dataset by one origin."""

    dataset: Dataset
    origin: Origin
    creates: Creates = field(default_factory=Creates)
    changes: list[Write] = field(default_factory=list)  # updated, restored, deleted
    slots: bool = True  # off where nothing will search by them: a dry run

    def __len__(self) -> int:
        return len(self.creates) + len(self.changes)


def slot_columns(dataset: Dataset, rows: Sequence[Data]) -> list[Column]:
    """The sortable texts of the indexed fields; a missing value sorts first, as the empty text."""
    columns = []
    for name, slot in dataset.slots.items():
        sort = sorter(dataset.fields_by_name[name])
        columns.append(Column(slot, [sort(row[name]) or "" if name in row else "" for row in rows]))
    return columns


def pack(
    creates: Creates,
    dataset: Dataset,
    origin: Origin,
    now: dt.datetime,
    *,
    journal: bool,
    slots: bool = True,
) -> bulk.Packed:
    """New records as rows, made where no database is needed. They must be numbered.

    The `journal` of a creation is its record's origin (ADR 0016).
    """
    columns = [
        Column("id", creates.ids),
        Column("organization_id", bulk.hex_of(dataset.organization_id)),
        Column("dataset_id", bulk.hex_of(dataset.pk)),
        Column("key", creates.keys),
        Column("data", creates.bodies),
        Column("content_hash", creates.hashes),
        Column("version", 1),
        Column("created_at", now),
        Column("updated_at", now),
        *([Column("origin_id", bulk.hex_of(origin.pk))] if journal else ()),
        *(slot_columns(dataset, creates.data) if slots else ()),
    ]
    return bulk.pack(Record, columns, len(creates))


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
    creates = batch.creates
    if len(creates):
        creates.number()
        packed = creates.packed or [
            pack(creates, batch.dataset, batch.origin, now, journal=journal, slots=batch.slots)
        ]
        bulk.send(packed)
        _hold_keys(batch.dataset, creates.ids, creates.data)
    _change(batch, now)
    _count(batch)
    if journal:
        _journal(batch, now)
        _publish(batch)


def _hold_keys(dataset: Dataset, records: Sequence[str | bytes], rows: Sequence[Data]) -> None:
    names = unique_names(dataset)
    if not names:
        return
    held = [
        (name, text, record)
        for record, data in zip(records, rows, strict=True)
        for name in names
        if (text := unique_text(data.get(name))) is not None
    ]
    if held:
        columns = [
            Column("id", ids.uuid7_bytes(len(held))),
            Column("dataset_id", bulk.hex_of(dataset.pk)),
            Column("field", [h[0] for h in held]),
            Column("value", [h[1] for h in held]),
            Column("record_id", [h[2] for h in held]),
        ]
        bulk.insert(RecordKey, columns, len(held))


def _release_keys(dataset: Dataset, writes: Sequence[Write]) -> None:
    if unique_names(dataset):
        records = [uuid.UUID(hex=w.record) for w in writes]
        for start in range(0, len(records), bulk.CHUNK):
            RecordKey.objects.filter(record_id__in=records[start : start + bulk.CHUNK]).delete()


def _change(batch: Batch, now: dt.datetime) -> None:
    for gone in (False, True):
        writes = [w for w in batch.changes if (w.operation == DELETED) is gone]
        if not writes:
            continue
        _release_keys(batch.dataset, writes)
        records = [w.record for w in writes]
        if gone:
            columns = [
                Column("version", [w.version for w in writes]),
                Column("updated_at", now),
                Column("deleted_at", now),
            ]
        else:
            columns = [
                Column("key", [w.key for w in writes]),
                Column("data", [w.body for w in writes]),
                Column("content_hash", [w.hash for w in writes]),
                Column("version", [w.version for w in writes]),
                Column("updated_at", now),
                Column("deleted_at", None),
                *(slot_columns(batch.dataset, [w.data for w in writes]) if batch.slots else ()),
            ]
        bulk.update(Record, records, columns)
        if not gone:
            _hold_keys(batch.dataset, records, [w.data for w in writes])


def _count(batch: Batch) -> None:
    delta = len(batch.creates)
    for write in batch.changes:
        delta += (write.operation == RESTORED) - (write.operation == DELETED)
    if delta:
        DatasetCount.objects.create(dataset=batch.dataset, delta=delta)


def _json(value: Data | None) -> bytes | None:
    return None if value is None else orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _journal(batch: Batch, now: dt.datetime) -> None:
    """Write the changes other than creations."""
    writes = batch.changes
    columns = [
        Column("id", ids.uuid7_bytes(len(writes))),
        Column("record_id", [w.record for w in writes]),
        Column("operation", [w.operation for w in writes]),
        Column("version", [w.version for w in writes]),
        Column("before", [_json(w.before) for w in writes]),
        Column("after", [_json(w.after) for w in writes]),
        Column("organization_id", bulk.hex_of(batch.dataset.organization_id)),
        Column("dataset_id", bulk.hex_of(batch.dataset.pk)),
        Column("origin_id", bulk.hex_of(batch.origin.pk)),
        Column("created_at", now),
    ]
    bulk.insert(LaterChange, columns, len(writes))


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
        for record, key, data in zip(creates.records(), creates.keys, creates.data, strict=True):
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
