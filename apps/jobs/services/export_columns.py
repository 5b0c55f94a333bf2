"""The columns of an export: fields, fields of records that are referred to, what the hub knows besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from apps.jobs.formats.outputs import OutColumn
from apps.kernel.errors import FieldError, NotFound
from apps.records import selectors
from apps.records.fields import Field
from apps.records.models import Dataset

METADATA = {
    "_id": ("Id", "id"),
    "_version": ("Version", "integer"),
    "_created_at": ("Created", "datetime"),
    "_updated_at": ("Changed", "datetime"),
    "_deleted_at": ("Deleted", "datetime"),
}
CHANGES = OutColumn("_changes", "Changes", "changes", ("meta", len(METADATA)))
HISTORY = tuple(
    OutColumn(name, title, kind, ("data", name))
    for name, title, kind in (
        ("record", "Record", "id"), ("key", "Key", "text"), ("version", "Version", "integer"),
        ("operation", "What happened", "text"), ("at", "When", "datetime"), ("by", "By", "text"),
        ("field", "Field", "text"), ("before", "Before", "text"), ("after", "After", "text"),
    )
)  # fmt: skip
"""The columns of the history beside a table: a line for each value that was changed."""


@dataclass(frozen=True)
class Join:
    """Records of another dataset whose values are shown: found by what `field` refers to."""

    field: str
    dataset: Dataset


@dataclass(frozen=True)
class Layout:
    """What is written of each record, and what is read for it."""

    columns: tuple[OutColumn, ...]
    joins: tuple[Join, ...]

    @property
    def needs_meta(self) -> bool:
        return any(column.source[0] == "meta" for column in self.columns)


class UnknownColumn(Exception):
    """No such column; the text says why."""


def layout_of(dataset: Dataset, settings: Mapping[str, Any]) -> Layout:
    """The columns that the settings of an export ask for, in order. Raises UnknownColumn."""
    names: Sequence[str] = settings.get("columns") or [field.name for field in dataset.fields]
    wanted = [*names]
    if settings.get("include_related"):
        wanted += [f"{field.name}.{_title_field(dataset, field)}" for field in _references(dataset, names)]
    if settings.get("include_metadata"):
        wanted += [name for name in METADATA if name != "_deleted_at"]
    if settings.get("include_deleted"):
        wanted.append("_deleted_at")
    headers: Mapping[str, str] = settings.get("headers") or {}
    joins: dict[str, Join] = {}
    columns = []
    for name in dict.fromkeys(wanted):
        column = column_of(dataset, name, joins)
        columns.append(replace(column, title=headers[name]) if headers.get(name) else column)
    return Layout(tuple(columns), tuple(joins.values()))


def column_of(dataset: Dataset, name: str, joins: dict[str, Join]) -> OutColumn:
    """One column by its name; what it joins is noted in `joins`. Raises UnknownColumn."""
    if name in METADATA:
        title, kind = METADATA[name]
        return OutColumn(name, title, kind, ("meta", list(METADATA).index(name)))
    field = dataset.fields_by_name.get(name)
    if field is not None:
        return OutColumn(name, field.title, _kind(field), ("data", name), _places(field))
    through, _, shown = name.partition(".")
    reference = dataset.fields_by_name.get(through)
    if reference is None or not shown:
        raise UnknownColumn(f"“{name[:60]}” is no field of “{dataset.slug}”.")
    if reference.type != "reference" or not reference.reference:
        raise UnknownColumn(f"“{through}” refers to no other record, so that there is no “{name[:60]}”.")
    join = joins.get(through)
    if join is None:
        try:
            join = Join(through, selectors.dataset_of(dataset.organization, reference.reference))
        except NotFound as error:
            raise UnknownColumn(error.detail) from None
    found = join.dataset.fields_by_name.get(shown)
    if found is None:
        raise UnknownColumn(f"“{shown[:60]}” is no field of “{join.dataset.slug}”.")
    joins.setdefault(through, join)
    title = f"{reference.title}: {found.title}"
    where = ("related", list(joins).index(through), through, shown)
    return OutColumn(name, title, _kind(found), where, _places(found))


def problems_of(dataset: Dataset, columns: Sequence[str]) -> list[FieldError]:
    """What is wrong with each of these columns."""
    found = []
    for n, name in enumerate(columns):
        try:
            column_of(dataset, name, {})
        except UnknownColumn as error:
            found.append(FieldError(f"/columns/{n}", "unknown_field", str(error)))
    return found


def choices_of(dataset: Dataset) -> list[tuple[str, str]]:
    """All columns that an export of the dataset can have, with what they are called."""
    found = [(field.name, field.title) for field in dataset.fields]
    for field in _references(dataset, [field.name for field in dataset.fields]):
        try:
            other = selectors.dataset_of(dataset.organization, field.reference or "")
        except NotFound:
            continue
        found += [(f"{field.name}.{one.name}", f"{field.title}: {one.title}") for one in other.fields]
    return found + [(name, title) for name, (title, _) in METADATA.items()]


def _references(dataset: Dataset, names: Sequence[str]) -> list[Field]:
    return [
        field
        for field in dataset.fields
        if field.type == "reference"
        and field.reference
        and field.name in names
        and _title_field(dataset, field)
    ]


def _title_field(dataset: Dataset, field: Field) -> str:
    try:
        return selectors.dataset_of(dataset.organization, field.reference or "").title_field
    except NotFound:
        return ""


def _kind(field: Field) -> str:
    """The kind of cell; the values of all other types are texts."""
    known = ("integer", "decimal", "boolean", "date", "datetime", "money", "json")
    return field.type if field.type in known else "text"


def _places(field: Field) -> int | None:
    return field.decimal_places if field.type == "decimal" else None
