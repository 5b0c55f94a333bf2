"""From checked rows to writes: which record each row means, what it changes, and what stands against it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any

import orjson
from django.utils import timezone

from apps.records.mapping import MappedBatch, RowProblem, canonical_json, content_hash, present
from apps.records.models import Dataset, Origin
from apps.records.services import bulk
from apps.records.services.outcomes import KEPT_SAMPLES, BatchOutcome, Mode, Sample
from apps.records.services.store import (
    CREATED,
    RESTORED,
    UPDATED,
    Batch,
    Creates,
    Write,
    pack,
    unique_names,
    unique_text,
)
from apps.records.services.stored import Existing, beyond_all, bodies, ids_by_keys, stored_hashes

Data = dict[str, Any]


@dataclass(slots=True)
class Row:
    """One checked row. `missing` names required fields that the source did not have at all."""

    number: int
    values: Data
    missing: Sequence[str] = ()
    remote_id: str | None = None
    remote_version: str = ""
    key: str | None = None
    data: Data | None = (
        None  # the values without nulls, where that is known already, with their JSON and hash
    )
    body: bytes = b""
    hash: bytes = b""
    mark: bytes = b""

    def digest(self) -> bytes:
        """The content hash of the values."""
        if not self.hash:
            self.data = present(self.values)
            self.body = canonical_json(self.data)
            self.hash = content_hash(self.body)
        return self.hash


def key_text(value: Any) -> str | None:
    """The text of a key field's canonical value."""
    if value is None:
        return None
    return value if isinstance(value, str) else str(value)


@dataclass(slots=True)
class Prepared:
    """A mapped batch, with what its rows would store: data without nulls, its canonical JSON and hash.

    `keys` are given where no two rows have the same key and none lacks one. `creates` are all rows as new
    records, packed already, where they can only be that or what is stored already. `marks` are those of the
    rows, as many as `data`. `is_examined` is false where the caller's `examine` has yet to see the rows.
    """

    mapped: MappedBatch = field(default_factory=MappedBatch)
    data: list[Data] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    marks: list[bytes] = field(default_factory=list)
    keys: list[str] | None = None
    creates: Creates | None = None
    is_examined: bool = True

    def extend(self, piece: Prepared) -> None:
        """Take in the next rows. Call `settle_keys` after the last."""
        if not self.data:
            self.keys, self.creates = piece.keys, piece.creates
        elif piece.data:
            self.keys = None if self.keys is None or piece.keys is None else self.keys + piece.keys
            if self.creates is not None and piece.creates is not None:
                self.creates.extend(piece.creates)
            else:
                self.creates = None
        self.mapped.extend(piece.mapped)
        self.data += piece.data
        self.bodies += piece.bodies
        self.hashes += piece.hashes
        self.marks += piece.marks

    def settle_keys(self) -> None:
        """Keep the keys, and what was packed, only if no two rows have the same key."""
        if self.keys is None or len(set(self.keys)) != len(self.keys):
            self.keys = self.creates = None


def prepare(
    mapped: MappedBatch,
    dataset: Dataset,
    marks: Sequence[bytes] = (),
    *,
    first: int = 1,
    in_order: bool = False,
) -> Prepared:
    """The costly part that needs no database: done ahead, while it writes the batch before.

    `marks` are those of all rows from number `first` on, if rows are marked. `in_order` says that the values
    have their keys in order on every level.
    """
    data = mapped.present
    bodies = list(map(orjson.dumps if in_order else canonical_json, data))
    hashes = list(map(content_hash, bodies))
    of_rows = [marks[number - first] for number in mapped.rows] if marks else [b""] * len(data)
    return Prepared(mapped, data, bodies, hashes, of_rows, _keys(dataset, mapped.values))


def _keys(dataset: Dataset, rows: Sequence[Data]) -> list[str] | None:
    """The keys of the rows, if each has one."""
    name = dataset.key_field
    if not name:
        return None
    keys = [values.get(name) for values in rows]
    if None in keys:
        return None
    return [key if isinstance(key, str) else str(key) for key in keys]


def pack_ahead(
    prepared: Prepared,
    dataset: Dataset,
    origin: Origin,
    defaults: Mapping[str, Any],
    *,
    journal: bool,
    slots: bool,
) -> None:
    """Pack all rows as new records, if each would be one as it stands."""
    mapped = prepared.mapped
    if prepared.keys is None or not mapped.values or any(mapped.missing):
        return
    if defaults and not all(defaults.keys() <= values.keys() for values in mapped.values):
        return
    keys: list[str | None] = list(prepared.keys)
    hashes = list(map(add, prepared.hashes, prepared.marks))
    creates = Creates(keys, prepared.data, prepared.bodies, hashes)
    creates.number()
    creates.packed.append(pack(creates, dataset, origin, timezone.now(), journal=journal, slots=slots))
    prepared.creates = creates


class Plan:
    """Turns the rows of one batch into writes and problems."""

    def __init__(
        self,
        batch: Batch,
        outcome: BatchOutcome,
        *,
        mode: Mode,
        overwrite: bool,
        defaults: Mapping[str, Any],
    ) -> None:
        self.batch = batch
        self.dataset = batch.dataset
        self.outcome = outcome
        self.mode = mode
        self.overwrite = overwrite
        self.defaults = dict(defaults)
        self.touched: list[tuple[Row, str]] = []  # each row that stands, with its record
        self.met: list[str] = []  # the records of the rows that `swift` settled

    def refuse(self, row: Row, field: str, value: Any, code: str, message: str) -> None:
        spec = self.dataset.fields_by_name.get(field)
        if spec is not None and spec.sensitive:
            value = "***"
        text = "" if value is None else str(value)
        self.outcome.problems.append(RowProblem(row.number, field, field, text[:80], code, message))

    def refuse_without_key(self, row: Row) -> None:
        name = self.dataset.key_field
        label = self.dataset.fields_by_name[name].title
        self.refuse(row, name, None, "required", f"“{label}” is required: it tells records apart.")

    def place(self, pairs: Iterable[tuple[Row, Existing | None]]) -> None:
        """Decide each row: new, changed, the same, or wrong."""
        pending: list[tuple[Row, Existing]] = []
        creates: list[Row] = []
        for row, existing in pairs:
            if existing is None or (existing.deleted and self.mode is Mode.UPDATE):
                if self.mode is Mode.UPDATE:
                    self.refuse(
                        row,
                        self.dataset.key_field,
                        row.key,
                        "not_found",
                        self._sentence(row, "does not exist"),
                    )
                else:
                    creates.append(row)
            elif self.mode is Mode.CREATE and not existing.deleted:
                self.refuse(
                    row,
                    self.dataset.key_field,
                    row.key,
                    "already_exists",
                    self._sentence(row, "exists already"),
                )
            elif not existing.deleted and row.digest() == existing.hash:
                self.outcome.unchanged += 1
                self.touched.append((row, existing.record))
            else:
                pending.append((row, existing))
        self._create(creates)
        self._modify(pending)

    def _sentence(self, row: Row, what: str) -> str:
        name = self.dataset.singular or self.dataset.name
        return f"{name} “{row.key}” {what}." if row.key else f"The {name.lower()} {what}."

    def _create(self, rows: Sequence[Row]) -> None:
        defaults = self.defaults
        creates, before = self.batch.creates, len(self.batch.creates)
        kept = []
        for row in rows:
            missing = [name for name in row.missing if name not in defaults]
            if missing:
                self._refuse_missing(row, missing)
                continue
            data = present({**defaults, **row.values} if defaults else row.values)
            body = canonical_json(data)
            creates.add(row.key, data, body, content_hash(body) + row.mark)
            kept.append(row)
        for row, record, data in zip(kept, creates.number(), creates.data[before:], strict=True):
            self.touched.append((row, record))
            self.sample(row.number, CREATED, row.key, {}, data)
        self.outcome.created += len(kept)

    def _refuse_missing(self, row: Row, names: Sequence[str]) -> None:
        for name in names:
            label = self.dataset.fields_by_name[name].title
            self.refuse(row, name, None, "required", f"“{label}” is required and was not given.")

    def sample(self, number: int, operation: str, key: str | None, before: Data, after: Data) -> None:
        """Keep the fate of the first rows, for the report."""
        # New records leave room for changed ones, which one rather wants to see.
        if len(self.outcome.samples) < (KEPT_SAMPLES // 2 if operation == CREATED else KEPT_SAMPLES):
            self.outcome.samples.append(Sample(number, operation, key, before, after))

    def swift(self, rows: Prepared, keys: Sequence[str]) -> list[Row]:
        """Settle all rows that are new or the same, a column at a time; returns the others.

        For rows with distinct keys, which only their own values can stand against.
        """
        replacing = self.mode is Mode.REPLACE
        nothing: Sequence[bytes | None] = [None] * len(keys)
        stored = nothing if beyond_all(self.dataset, keys) else stored_hashes(self.dataset, keys)
        is_new = stored == nothing
        ids = ids_by_keys(self.dataset, keys) if replacing and not is_new else {}
        if self.mode is not Mode.CREATE and stored == rows.hashes:
            self.met += ids.values()
            self.outcome.unchanged += len(keys)
            return []
        if is_new and rows.creates is not None and self.mode is not Mode.UPDATE:
            self._swift_all(rows, rows.creates)
            return []
        numbers, values, missing = rows.mapped.rows, rows.mapped.values, rows.mapped.missing
        data, bodies, digests, marks = rows.data, rows.bodies, rows.hashes, rows.marks
        creates, defaults = self.batch.creates, self.defaults
        may_create = self.mode is not Mode.UPDATE
        others = []
        same = 0
        for n, key in enumerate(keys):
            held = stored[n]
            if held is None:
                if may_create and not missing[n]:
                    if defaults and not defaults.keys() <= values[n].keys():
                        whole = present({**defaults, **values[n]})
                        body = canonical_json(whole)
                        creates.add(key, whole, body, content_hash(body) + marks[n])
                    else:
                        creates.add(key, data[n], bodies[n], digests[n] + marks[n])
                    self.sample(numbers[n], CREATED, key, {}, creates.data[-1])
                    continue
            elif held == digests[n] and self.mode is not Mode.CREATE:
                same += 1
                if replacing:
                    self.met.append(ids[key])
                continue
            others.append(
                Row(
                    numbers[n], values[n], missing[n], None, "", key, data[n], bodies[n], digests[n], marks[n]
                )
            )
        self.met += creates.number()
        self.outcome.unchanged += same
        self.outcome.created += len(creates)
        return others

    def _swift_all(self, rows: Prepared, creates: Creates) -> None:
        """Every row is a new record, as packed ahead."""
        self.batch.creates = creates
        if self.mode is Mode.REPLACE:
            self.met += creates.records()
        self.outcome.created += len(creates)
        for n in range(min(len(creates), KEPT_SAMPLES)):
            self.sample(rows.mapped.rows[n], CREATED, creates.keys[n], {}, creates.data[n])

    def _modify(self, pairs: Sequence[tuple[Row, Existing]]) -> None:
        if not pairs:
            return
        stored = bodies([existing.record for _, existing in pairs if existing.text is None])
        for row, existing in pairs:
            text = existing.text
            held = stored[existing.record] if text is None else orjson.loads(text)
            old = {} if existing.deleted else held
            new = {**old, **row.values} if self.overwrite else {**row.values, **old}
            if self.overwrite and row.data is not None and len(new) == len(row.values):
                data, body, digest = row.data, row.body, row.hash  # the row says all that there is
            else:
                data, body = present(new), b""
            before, after = difference(held, data)
            if not (before or after or existing.deleted):
                self.outcome.unchanged += 1
                self.touched.append((row, existing.record))
                continue
            missing = [n for n in row.missing if n not in data and n not in self.defaults]
            if existing.deleted and missing:
                self._refuse_missing(row, missing)
                continue
            if not body:
                body = canonical_json(data)
                digest = content_hash(body)
            operation = RESTORED if existing.deleted else UPDATED
            key = row.key if self.dataset.key_field in row.values else existing.key
            self.batch.changes.append(
                Write(
                    operation,
                    existing.record,
                    key,
                    data,
                    body,
                    digest + row.mark,
                    existing.version + 1,
                    before,
                    after,
                )
            )
            self.touched.append((row, existing.record))
            if operation == RESTORED:
                self.outcome.restored += 1
            else:
                self.outcome.updated += 1
            self.sample(row.number, operation, key, before, after)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Data, Data]:
    """The changed fields: their former values, and their new ones (null where the value was removed).

    Neither side holds nulls. 1, 1.0 and true are equal in Python, but not the same JSON.
    """
    get = new.get
    before = {
        name: value
        for name, value in old.items()
        if (now := get(name)) is not value and (now != value or now.__class__ is not value.__class__)
    }
    if not before and len(old) == len(new):
        return before, {}
    after = {name: value for name, value in new.items() if name in before or name not in old}
    for name in before:
        if name not in new:
            after[name] = None
    return before, after


class Guard:
    """What stands against rows beyond their own values: unique values taken, references to nothing."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.unique = unique_names(dataset)
        self.references = [f for f in dataset.fields if f.type == "reference" and f.reference]
        self._known: dict[str, set[str]] = {}

    def concerns(self, targets: Collection[str]) -> bool:
        """Whether anything beyond their own values can stand against rows that have these fields."""
        return any(name in targets for name in self.unique) or any(f.name in targets for f in self.references)

    def check(
        self, plan: Plan, rows: Sequence[tuple[Row, Existing | None]]
    ) -> list[tuple[Row, Existing | None]]:
        """The rows that nothing stands against; the others get a problem each."""
        wrong: set[int] = set()
        self._check_references(plan, rows, wrong)
        self._check_unique(plan, rows, wrong)
        return [pair for pair in rows if pair[0].number not in wrong] if wrong else list(rows)

    def _check_references(
        self, plan: Plan, rows: Sequence[tuple[Row, Existing | None]], wrong: set[int]
    ) -> None:
        for spec in self.references:
            wanted = {text for row, _ in rows if (text := row.values.get(spec.name)) is not None}
            if not wanted:
                continue
            slug = str(spec.reference)
            known = self._known.setdefault(slug, set())
            if len(known) > 50_000:
                known.clear()
            unknown = wanted - known
            if slug == self.dataset.slug:
                unknown -= {row.key for row, _ in rows if row.key is not None}
            if unknown:
                found = bulk.rows_in(
                    "SELECT r.key FROM records_record r JOIN records_dataset d ON d.id = r.dataset_id "
                    "WHERE d.organization_id = %s AND d.slug = %s AND r.deleted_at IS NULL AND r.key {keys}",
                    [bulk.hex_of(self.dataset.organization_id), slug],
                    sorted(unknown),
                )
                fresh = {key for (key,) in found}
                known |= fresh
                unknown -= fresh
            if not unknown:
                continue
            for row, _ in rows:
                value = row.values.get(spec.name)
                if value in unknown:
                    wrong.add(row.number)
                    plan.refuse(
                        row, spec.name, value, "unknown_reference",
                        f"There is no record “{value}” in “{slug}”; import it first.",
                    )  # fmt: skip

    def _check_unique(self, plan: Plan, rows: Sequence[tuple[Row, Existing | None]], wrong: set[int]) -> None:
        for name in self.unique:
            holders: dict[str, tuple[int, str | None]] = {}
            texts = sorted(
                {text for row, _ in rows if (text := unique_text(row.values.get(name))) is not None}
            )
            taken = {
                value: bulk.hex_of(record)
                for value, record in bulk.rows_in(
                    "SELECT value, record_id FROM records_recordkey "
                    "WHERE dataset_id = %s AND field = %s AND value {keys}",
                    [bulk.hex_of(self.dataset.pk), name],
                    texts,
                )
            }
            for row, existing in rows:
                text = unique_text(row.values.get(name))
                if text is None:
                    continue
                mine = existing.record if existing is not None else None
                if text in taken and taken[text] != mine:
                    reason = "another record has this value"
                else:
                    holder = holders.setdefault(text, (row.number, mine))
                    if holder[0] == row.number or (mine is not None and holder[1] == mine):
                        continue
                    reason = f"row {holder[0]} has the same value"
                wrong.add(row.number)
                label = self.dataset.fields_by_name[name].title
                plan.refuse(row, name, text, "not_unique", f"“{label}” must be unique; {reason}.")
