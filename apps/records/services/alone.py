"""One row judged against the records that there are, without a lock: for a person who edits it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from apps.records.mapping import RowProblem
from apps.records.models import Dataset, Record
from apps.records.models.records import RecordKey
from apps.records.services.outcomes import Mode
from apps.records.services.planning import key_text
from apps.records.services.store import unique_text


def problems_of(
    dataset: Dataset, values: Mapping[str, Any], *, mode: Mode, number: int = 1
) -> list[RowProblem]:
    """What `upsert` would refuse about a row of canonical values, beside what other rows of its file say.

    The key that is there already or is not, unique values that another record has, references to nothing,
    and what a new record lacks. A few queries, no lock.
    """
    found = _Alone(dataset, values, number)
    return [*found.of_key(mode), *found.of_unique_fields(), *found.of_references()]


class _Alone:
    def __init__(self, dataset: Dataset, values: Mapping[str, Any], number: int) -> None:
        self.dataset, self.values, self.number = dataset, values, number
        self.key = key_text(values.get(dataset.key_field)) if dataset.key_field else None
        rows = Record.objects.filter(dataset=dataset, deleted_at=None)
        self.record = (
            None if self.key is None else rows.filter(key=self.key).values_list("pk", flat=True).first()
        )

    def _wrong(self, field: str, value: Any, code: str, message: str) -> RowProblem:
        spec = self.dataset.fields_by_name.get(field)
        shown = "***" if spec is not None and spec.sensitive else "" if value is None else str(value)[:80]
        return RowProblem(self.number, field, field, shown, code, message)

    def of_key(self, mode: Mode) -> Iterator[RowProblem]:
        name = self.dataset.singular or self.dataset.name
        field = self.dataset.key_field
        if self.record is not None and mode is Mode.CREATE:
            yield self._wrong(field, self.key, "already_exists", f"{name} “{self.key}” exists already.")
        elif self.record is None and mode is Mode.UPDATE:
            yield self._wrong(field, self.key, "not_found", f"{name} “{self.key}” does not exist.")
        elif self.record is None:
            for spec in self.dataset.fields:
                if spec.required and spec.default is None and self.values.get(spec.name) is None:
                    detail = f"“{spec.title}” is required and was not given."
                    yield self._wrong(spec.name, None, "required", detail)

    def of_unique_fields(self) -> Iterator[RowProblem]:
        for spec in self.dataset.fields:
            text = unique_text(self.values.get(spec.name)) if spec.unique else None
            if text is None or spec.name == self.dataset.key_field:
                continue
            held = RecordKey.objects.filter(dataset=self.dataset, field=spec.name, value=text)
            if held.exclude(record=self.record).exists():
                detail = f"“{spec.title}” must be unique; another record has this value."
                yield self._wrong(spec.name, text, "not_unique", detail)

    def of_references(self) -> Iterator[RowProblem]:
        for spec in self.dataset.fields:
            value = self.values.get(spec.name)
            if not spec.reference or value is None:
                continue
            if spec.reference == self.dataset.slug and value == self.key:
                continue
            there = Record.objects.filter(
                dataset__organization_id=self.dataset.organization_id,
                dataset__slug=spec.reference,
                key=value,
                deleted_at=None,
            )
            if not there.exists():
                detail = f"There is no record “{value}” in “{spec.reference}”; import it first."
                yield self._wrong(spec.name, value, "unknown_reference", detail)
