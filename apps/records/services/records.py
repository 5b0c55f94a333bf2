"""Writing single records: for forms and for the API. The same checks and the same writer as in bulk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.kernel.errors import Conflict, FieldError, InvalidInput, NotFound, RaceLost
from apps.records.mapping import CompiledMapper, RowProblem, compile_mapping
from apps.records.models import Dataset, Record
from apps.records.services import bulk
from apps.records.services.marks import HASH_BYTES
from apps.records.services.outcomes import BatchOutcome, Mode
from apps.records.services.planning import Guard, Plan, Row, key_text
from apps.records.services.store import Batch, apply, origin_of
from apps.records.services.stored import Existing, by_keys
from apps.records.services.upsert import removals
from apps.tenants.principals import Actor


def create(*, dataset: Dataset, values: Mapping[str, Any], actor: Actor) -> Record:
    """Add a record. Raises InvalidInput with a pointer for each wrong field, Conflict if the key is taken."""
    with transaction.atomic():
        bulk.lock_dataset(dataset.pk)
        row = _checked(dataset, values)
        if dataset.key_field and row.key is None:
            _refuse([_missing_key(dataset)])
        existing = by_keys(dataset, [row.key]).get(row.key) if row.key is not None else None
        if existing is not None and not existing.deleted:
            raise Conflict(
                f"There is a record with the {dataset.key_field} “{row.key}” already.", code="already_exists"
            )
        return _write(dataset, row, existing, actor, Mode.UPSERT)


def update(
    *, record: Record, values: Mapping[str, Any], actor: Actor, expected_version: int | None = None
) -> Record:
    """Change the given fields (null removes a value). Returns the record as it is now.

    Raises InvalidInput, NotFound for a deleted record, RaceLost if it is not at `expected_version`.
    """
    return _save(record, values, actor, expected_version, whole=False)


def replace(
    *, record: Record, values: Mapping[str, Any], actor: Actor, expected_version: int | None = None
) -> Record:
    """Make the record consist of exactly these fields. Raises as `update`."""
    return _save(record, values, actor, expected_version, whole=True)


def _save(
    record: Record, values: Mapping[str, Any], actor: Actor, expected_version: int | None, *, whole: bool
) -> Record:
    dataset = record.dataset
    with transaction.atomic():
        bulk.lock_dataset(dataset.pk)
        current = (
            Record.objects.filter(pk=record.pk)
            .values_list("key", "content_hash", "version", "deleted_at")
            .first()
        )
        if current is None or current[3] is not None:
            raise NotFound("The record has been deleted.")
        if expected_version is not None and current[2] != expected_version:
            raise RaceLost(
                f"The record was changed meanwhile: it is at version {current[2]}, you edited version "
                f"{expected_version}. Load it again and repeat your change."
            )
        if whole:
            values = {**{f.name: None for f in dataset.fields}, **values}
        row = _checked(dataset, values)
        if dataset.key_field and dataset.key_field in row.values and row.key is None:
            _refuse([_missing_key(dataset)])
        existing = Existing(record.pk.hex, current[0], bytes(current[1])[:HASH_BYTES], current[2], False)
        if row.key is not None and row.key != existing.key:
            holder = by_keys(dataset, [row.key]).get(row.key)
            if holder is not None and holder.record != existing.record:
                raise Conflict(
                    f"There is a record with the {dataset.key_field} “{row.key}” already.",
                    code="already_exists",
                )
        return _write(dataset, row, existing, actor, Mode.UPDATE)


def delete(*, dataset: Dataset, ids: Sequence[UUID], actor: Actor) -> int:
    """Delete records; they stay as tombstones with their history. Returns how many were there to delete."""
    deleted = 0
    origin = None
    for start in range(0, len(ids), bulk.CHUNK):
        with transaction.atomic():
            bulk.lock_dataset(dataset.pk)
            rows = list(
                Record.objects.filter(
                    dataset=dataset, deleted_at=None, id__in=ids[start : start + bulk.CHUNK]
                )
            )
            if rows:
                origin = origin or origin_of(dataset, kind=actor.kind, ref=actor.ref, label=actor.label)
                apply(Batch(dataset, origin, changes=removals(rows)))
                deleted += len(rows)
    return deleted


def _mapper(dataset: Dataset) -> CompiledMapper:
    return compile_mapping(dataset.fields, None, timezone=dataset.organization.timezone)


def _checked(dataset: Dataset, values: Mapping[str, Any]) -> Row:
    mapped = _mapper(dataset).map_rows([values], 1)
    if mapped.problems:
        _refuse(mapped.problems)
    row = Row(1, mapped.values[0], mapped.missing[0])
    row.key = key_text(row.values.get(dataset.key_field)) if dataset.key_field else None
    return row


def _missing_key(dataset: Dataset) -> RowProblem:
    label = dataset.fields_by_name[dataset.key_field].title
    return RowProblem(1, dataset.key_field, dataset.key_field, "", "required", f"“{label}” is required.")


def _write(dataset: Dataset, row: Row, existing: Existing | None, actor: Actor, mode: Mode) -> Record:
    origin = origin_of(dataset, kind=actor.kind, ref=actor.ref, label=actor.label)
    outcome = BatchOutcome(first_row=1, rows=1)
    batch = Batch(dataset, origin)
    plan = Plan(batch, outcome, mode=mode, overwrite=True, defaults=_mapper(dataset).defaults)
    plan.place(Guard(dataset).check(plan, [(row, existing)]))
    if outcome.problems:
        _refuse(outcome.problems)
    apply(batch)
    return Record.objects.select_related("dataset__organization").get(pk=plan.touched[0][1])


def _refuse(problems: Sequence[RowProblem]) -> None:
    raise InvalidInput(
        "The record is not valid: " + " ".join(p.message for p in problems[:3]),
        errors=[FieldError(f"/{p.field or p.column}", p.code, p.message) for p in problems],
    )
