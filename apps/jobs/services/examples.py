"""The example row of a template, which people forget to overwrite: it is recognized and passed over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apps.jobs.models import Job
from apps.jobs.services.plans import Plan
from apps.jobs.services.templates import sample_of
from apps.records.fields import ValueProblem, clean, is_blank
from apps.records.mapping import MappedBatch, RowProblem

CODE = "template_example"
FEWEST_FIELDS = 2
"""Below so many filled fields a row may well be like the example by chance."""

Examine = Callable[[MappedBatch], None]


def examiner(job: Job, planned: Plan, then: Examine | None) -> Examine | None:
    """What passes over the first row if it is the template's example, and then does `then`."""
    example = _example(job, planned)
    if len(example) < FEWEST_FIELDS:
        return then

    def examine(mapped: MappedBatch) -> None:
        if mapped.rows and mapped.rows[0] == 1:
            filled = {name: value for name, value in mapped.values[0].items() if value is not None}
            if filled == example:
                message = "This is the example row of the template; it is passed over."
                mapped.skipped.append(RowProblem(1, "", "", "", CODE, message))
                mapped.leave_out({1})
        if then is not None:
            then(mapped)

    return examine


def _example(job: Job, planned: Plan) -> dict[str, Any]:
    """The example's values as they are stored, of the fields that the file fills."""
    example = {}
    for item in planned.spec.fields:
        field = job.dataset.fields_by_name.get(item.target)
        sample = None if field is None else sample_of(field)
        if field is None or is_blank(sample):
            continue
        try:
            example[field.name] = clean(sample, field)
        except ValueProblem:
            return {}
    return example
