"""Filters of a dataset's list: one for each indexed field, fitting its type, answered by an index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from django import forms
from django.contrib.admin import ListFilter
from django.db import connection, models
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from apps.kernel.admin.filters import FilterForm
from apps.kernel.admin.widgets import NativeDate, NativeDateTime
from apps.records.fields import FIELD_TYPES, Field, ValueProblem
from apps.records.models import Dataset, Record

COUNT_CAP = 1000
COUNTED = 24  # choices of all filters together whose rows are counted
TAKEN = frozenset({"q", "o", "p", "e", "all", "deleted"})
RANGES = ("integer", "decimal", "money", "date", "datetime")


class FieldFilter(ListFilter, ABC):
    """Reads `name`, `name__gte` and so on from the address, as the API does."""

    template = "hub/admin/filter.html"
    field: ClassVar[Field]
    lookups: ClassVar[tuple[str, ...]] = ("",)

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[models.Model],
        model_admin: Any,
    ) -> None:
        self.title = self.field.title
        super().__init__(request, params, model, model_admin)
        self.request = request
        self.values: dict[str, str] = {}
        for parameter in self.parameters():
            if parameter in params:
                found = params.pop(parameter)
                text = found[-1] if isinstance(found, list) else found
                if text:
                    self.values[parameter] = text

    def expected_parameters(self) -> list[str | None]:
        return [*self.parameters()]

    @classmethod
    def parameters(cls) -> list[str]:
        """The names in the address."""
        return [cls.field.name + lookup for lookup in cls.lookups]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        return queryset  # the list hands all values to the selector at once

    @abstractmethod
    def form(self) -> forms.Form:
        """The inputs, named as the parameters."""

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form()}


class ChoiceFilter(FieldFilter):
    """One of a few values, each with the number of its records."""

    def options(self) -> list[tuple[str, str]]:
        if self.field.type == "boolean":
            return [("true", "Yes"), ("false", "No")]
        return list(self.field.choices)

    def form(self) -> forms.Form:
        counts: dict[tuple[str, str], str] = getattr(self.request, "hub_facets", {})
        options = [("", "All")]
        for value, label in self.options():
            count = counts.get((self.field.name, value))
            options.append((value, f"{label} ({count})" if count is not None else label))
        chosen = forms.ChoiceField(choices=options, required=False, widget=UnfoldAdminSelectWidget)
        return FilterForm({self.field.name: chosen}, self.values)


class TextFilter(FieldFilter):
    """The beginning of a text."""

    lookups = ("__startswith",)

    def form(self) -> forms.Form:
        widget = UnfoldAdminTextInputWidget({"placeholder": "begins with …"})
        return FilterForm(
            {f"{self.field.name}__startswith": forms.CharField(required=False, widget=widget)}, self.values
        )


class ReferenceFilter(FieldFilter):
    """The key of the record that is referred to, with suggestions."""

    def form(self) -> forms.Form:
        attributes = {"placeholder": "key", "autocomplete": "off", "data-options": self.field.reference or ""}
        widget = UnfoldAdminTextInputWidget(attributes)
        return FilterForm({self.field.name: forms.CharField(required=False, widget=widget)}, self.values)


class RangeFilter(FieldFilter):
    """From and to, both included."""

    lookups = ("__gte", "__lte")

    def form(self) -> forms.Form:
        found: dict[str, forms.Field] = {}
        for lookup, label in (("__gte", "from"), ("__lte", "to")):
            widget: forms.Widget
            if self.field.type == "date":
                widget = NativeDate({"aria-label": label})
            elif self.field.type == "datetime":
                widget = NativeDateTime({"aria-label": label})
            elif self.field.type == "money":
                hint = f"{label}, such as 100 {self.field.currency or 'EUR'}"
                widget = UnfoldAdminTextInputWidget({"placeholder": hint})
            else:
                widget = UnfoldAdminDecimalFieldWidget({"placeholder": label, "step": "any"})
            found[self.field.name + lookup] = forms.CharField(required=False, widget=widget)
        return FilterForm(found, self.values)


def filters_of(dataset: Dataset) -> list[type[FieldFilter]]:
    """A filter class for each field that an index answers; built for each request, as datasets differ."""
    found = []
    for name in dataset.slots:
        field = dataset.fields_by_name[name]
        if name in TAKEN:
            continue
        if field.type in ("choice", "boolean"):
            base: type[FieldFilter] = ChoiceFilter
        elif field.type == "reference":
            base = ReferenceFilter
        elif field.type in RANGES:
            base = RangeFilter
        else:
            base = TextFilter
        found.append(type(f"{base.__name__}Of{name}", (base,), {"field": field}))
    return found


def facets(dataset: Dataset, filters: Sequence[type[FieldFilter]]) -> dict[tuple[str, str], str]:
    """How many records each choice has, in one query that stops counting at a thousand each."""
    wanted: list[tuple[str, str, str, str]] = []
    for made in filters:
        if not issubclass(made, ChoiceFilter):
            continue
        field = made.field
        options = ["true", "false"] if field.type == "boolean" else [value for value, _ in field.choices]
        for option in options:
            try:
                canonical = FIELD_TYPES[field.type].parse(option, field)
            except ValueProblem:
                continue
            text = FIELD_TYPES[field.type].sort_text(canonical, field)
            wanted.append((field.name, option, dataset.slots[field.name], text))
    wanted = wanted[:COUNTED]
    if not wanted:
        return {}
    quote = connection.ops.quote_name
    table = quote(Record._meta.db_table)
    key = Record._meta.get_field("dataset").get_db_prep_value(dataset.pk, connection)
    parts, values = [], []
    for _, _, slot, text in wanted:
        # Names are the model's own and quoted; values are parameters.
        parts.append(
            f"(SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE dataset_id = %s AND {quote(slot)} = %s"  # noqa: S608
            f" AND deleted_at IS NULL LIMIT {COUNT_CAP + 1}) AS counted)"
        )
        values += [key, text]
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", values)
        counts = cursor.fetchone()
    return {
        (name, option): f"{COUNT_CAP:,}+" if count > COUNT_CAP else f"{count:,}"
        for (name, option, _, _), count in zip(wanted, counts, strict=True)
    }
