"""What was learned from imports: how columns were matched and what values mean; to look at and to forget."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.db import transaction

from apps.audit.services import entries
from apps.jobs.models import RememberedMapping
from apps.kernel.errors import NotFound
from apps.records.mapping import FieldMapping, MappingSpec, pipe_to_text
from apps.records.mapping.pipes import Pipe
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.tenants.principals import Actor


@dataclass(frozen=True, slots=True)
class Meaning:
    """A value of a column that stands for another; empty `meaning`: for none."""

    column: str
    target: str
    value: str
    meaning: str


def fields_of(remembered: RememberedMapping) -> tuple[FieldMapping, ...]:
    """The fields that it fills, in order."""
    return MappingSpec.from_dict(remembered.spec).fields


def column_of(item: FieldMapping) -> str:
    """The file's column that a field is taken from; empty for a fixed value."""
    return item.source.removeprefix(COLUMN_PREFIX) if item.source else ""


def further_transforms(item: FieldMapping) -> str:
    """The transforms of a field without the values that are replaced."""
    return pipe_to_text(item.transforms[1:] if _values(item.transforms) else item.transforms)


def meanings_of(remembered: RememberedMapping) -> Iterator[Meaning]:
    """The values that are replaced, column by column."""
    for item in fields_of(remembered):
        for value, meaning in _values(item.transforms).items():
            yield Meaning(column_of(item), item.target, value, meaning)


def _values(pipe: Pipe) -> dict[str, str]:
    if not pipe or pipe[0].name != "map" or not pipe[0].parameters.get("keep"):
        return {}
    return dict(pipe[0].parameters["values"])


@transaction.atomic
def forget(*, remembered: RememberedMapping, actor: Actor) -> None:
    """Match files with such a header by their names again."""
    entries.record(
        organization=remembered.organization,
        actor=actor,
        action="remembered_mapping.deleted",
        target=remembered,
        changes={"dataset": [remembered.dataset.slug, None], "columns": [remembered.columns[:50], None]},
    )
    remembered.delete()


@transaction.atomic
def forget_meaning(*, remembered: RememberedMapping, actor: Actor, target: str, value: str) -> None:
    """Let a value of a field's column stand for itself again. Raises NotFound if it does already."""
    found = RememberedMapping.objects.select_for_update().get(pk=remembered.pk)
    fields: list[FieldMapping] = []
    gone: list[str] = []
    for item in fields_of(found):
        values = _values(item.transforms)
        if item.target == target and value in values:
            gone.append(values.pop(value))
            first = (replace(item.transforms[0], parameters={"values": values, "keep": True}),)
            item = replace(item, transforms=(*(first if values else ()), *item.transforms[1:]))
        fields.append(item)
    if not gone:
        raise NotFound("This value is not replaced (any more).")
    found.spec = replace(MappingSpec.from_dict(found.spec), fields=tuple(fields)).to_dict()
    found.save(update_fields=["spec", "updated_at"])
    entries.record(
        organization=found.organization,
        actor=actor,
        action="remembered_mapping.changed",
        target=found,
        changes={f"{target}: {value}"[:200]: [gone[0], None]},
    )
