"""What values of a column mean: each distinct one that a field refuses is matched once, for all rows.

The matches become a step of the mapping (`map`), first in its pipe, and are remembered with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from apps.jobs.models import Cause, Job
from apps.jobs.services import imports
from apps.kernel.errors import FieldError, InvalidInput
from apps.records.fields import FIELD_TYPES, Field, ValueProblem, is_blank
from apps.records.mapping import MappingSpec
from apps.records.mapping.pipes import Pipe, Step
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.tenants.principals import Actor

OF_TYPES = ("choice", "boolean", "reference")
BLANK = "\0blank"
"""What a value becomes that shall count as none."""


def field_of(job: Job, cause: Cause) -> Field | None:
    """The field whose values can be matched, if the cause is about such a one."""
    field = job.dataset.fields_by_name.get(cause.field)
    if field is None or field.type not in OF_TYPES or field.sensitive or not cause.column:
        return None
    return field if any(value for value, _ in cause.values) else None


def choices_of(field: Field) -> list[tuple[str, str]]:
    """What can be chosen for such a field; empty where any key of a record can be."""
    if field.type == "choice":
        return list(field.choices)
    return [("true", "Yes"), ("false", "No")] if field.type == "boolean" else []


def match(*, job: Job, actor: Actor, cause: Cause, meant: Mapping[str, str]) -> Job:
    """Let values of the cause's column mean others from now on; BLANK lets one mean nothing.

    Raises InvalidInput if a meaning does not fit the field, NotReady once the import was started.
    """
    field = field_of(job, cause)
    if field is None:
        raise InvalidInput("The values of this column cannot be matched.")
    errors = [
        FieldError(f"/values/{value[:60]}", problem.code, f"“{value[:60]}”: {problem.message}")
        for value, meaning in meant.items()
        if meaning != BLANK and (problem := _problem(meaning, field)) is not None
    ]
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    spec = MappingSpec.from_dict(job.field_mapping)
    values = {value: "" if meaning == BLANK else meaning for value, meaning in meant.items() if value}
    fields = [
        replace(item, transforms=with_meanings(item.transforms, values))
        if item.source.removeprefix(COLUMN_PREFIX) == cause.column and item.target == cause.field
        else item
        for item in spec.fields
    ]
    return imports.configure(job=job, actor=actor, mapping=replace(spec, fields=tuple(fields)))


def with_meanings(pipe: Pipe, values: Mapping[str, str]) -> Pipe:
    """The pipe, with these meanings added to those that it knows."""
    if not values:
        return pipe
    known: dict[str, str] = {}
    if pipe and pipe[0].name == "map" and pipe[0].parameters.get("keep"):
        known, pipe = dict(pipe[0].parameters["values"]), pipe[1:]
    return (Step("map", {"values": {**known, **values}, "keep": True}), *pipe)


def _problem(meaning: str, field: Field) -> ValueProblem | None:
    if is_blank(meaning):
        return None
    try:
        FIELD_TYPES[field.type].parse(meaning, field)
    except ValueProblem as problem:
        return problem
    return None
