"""One row judged against the records that there are, without a lock: for a person who edits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.records.mapping import MappedBatch, RowProblem
from apps.records.models import Dataset, Origin
from apps.records.services.outcomes import BatchOutcome, Mode
from apps.records.services.planning import Guard, Plan, Row, key_text
from apps.records.services.store import Batch
from apps.records.services.stored import by_keys


def problems_of(
    dataset: Dataset, mapped: MappedBatch, *, mode: Mode, overwrite: bool, defaults: Mapping[str, Any]
) -> list[RowProblem]:
    """What `upsert` would refuse about one mapped row, beside what other rows of its file say.

    It is decided as `upsert` decides it, and written nowhere. A few queries, no lock.
    """
    outcome = BatchOutcome(first_row=mapped.rows[0], rows=1)
    plan = Plan(Batch(dataset, Origin()), outcome, mode=mode, overwrite=overwrite, defaults=defaults)
    row = Row(mapped.rows[0], mapped.values[0], mapped.missing[0])
    if dataset.key_field:
        row.key = key_text(row.values.get(dataset.key_field))
        if row.key is None:
            plan.refuse_without_key(row)
            return outcome.problems
    existing = by_keys(dataset, [row.key]).get(row.key) if row.key is not None else None
    plan.place(Guard(dataset).check(plan, [(row, existing)]))
    return outcome.problems
