"""Filters of change lists that show only what belongs to the current organization."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import FieldListFilter, ModelAdmin
from django.db import models
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RelatedDropdownFilter,
)

from apps.kernel.admin.widgets import NativeDate

CHOICES_CAP = 200


class ScopedRelatedFilter(RelatedDropdownFilter):
    """A foreign key's filter: only objects of the current organization, at most 200 of them."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        from apps.kernel.admin.scoping import scoped_rows

        rows = scoped_rows(request, field.remote_field.model, model_admin.admin_site)
        return [(str(row.pk), str(row)) for row in rows[:CHOICES_CAP]]


class DayRangeFilter(FieldListFilter):
    """From one day to another, both included, in the current time zone; for dates and for moments."""

    template = "hub/admin/filter.html"

    def __init__(
        self,
        field: Any,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[models.Model],
        model_admin: ModelAdmin[Any],
        field_path: str,
    ) -> None:
        self.names = (f"{field_path}_from", f"{field_path}_to")
        self.given: dict[str, str] = {}
        for name in self.names:
            found = params.pop(name, None)
            text = found[-1] if isinstance(found, list) and found else found
            if text:
                self.given[name] = str(text)
        super().__init__(field, request, params, model, model_admin, field_path)

    def expected_parameters(self) -> list[str | None]:
        return [*self.names]

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        path = self.field_path
        for name, lookup in zip(self.names, ("gte", "lt"), strict=True):
            if name not in self.given:
                continue
            try:
                day = dt.date.fromisoformat(self.given[name])
                day += dt.timedelta(days=1 if lookup == "lt" else 0)
            except (ValueError, OverflowError):
                messages.error(request, f"“{self.given[name][:20]}” is not a date: use YYYY-MM-DD.")
                return queryset.none()
            moment = isinstance(self.field, models.DateTimeField)
            bound = dt.datetime.combine(day, dt.time(), timezone.get_current_timezone()) if moment else day
            queryset = queryset.filter(**{f"{path}__{lookup}": bound})
        return queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        inputs = {
            name: forms.CharField(required=False, widget=NativeDate({"aria-label": label}))
            for name, label in zip(self.names, ("from", "to"), strict=True)
        }
        yield {"form": FilterForm(inputs, self.given)}


class FilterForm(forms.Form):
    """A form whose fields are given when it is made."""

    def __init__(self, fields: Mapping[str, forms.Field], data: dict[str, str]) -> None:
        super().__init__(data or None)
        self.fields = dict(fields)


class WordsFilter(DropdownFilter):
    """A filter over a plain text field whose words a registry decides: subclass with `choices_for`."""

    field_name = ""

    def choices_for(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
        return ()

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        return list(self.choices_for(request))

    def has_output(self) -> bool:
        return bool(self.lookup_choices)

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.field_name or self.parameter_name: value}) if value else queryset


def words_filter(field: str, words: Sequence[tuple[str, str]] | Any, *, title: str = "") -> type[WordsFilter]:
    """A `WordsFilter` for `field`; `words` are (value, label) pairs or a callable of the request."""

    class Filter(WordsFilter):
        parameter_name = field
        field_name = field

        def choices_for(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
            return words(request) if callable(words) else words

    Filter.title = title or field.replace("_", " ")
    Filter.__name__ = f"{field.title().replace('_', '')}Filter"
    return Filter


def filter_for(model: type[models.Model], name: Any) -> Any:
    """Unfold's fitting filter for a field named in `list_filter`; anything else as it is."""
    if not isinstance(name, str) or "__" in name:
        return name
    try:
        field = model._meta.get_field(name)
    except LookupError:
        return name
    if isinstance(field, models.ForeignKey):
        return (name, ScopedRelatedFilter)
    if isinstance(field, models.BooleanField):
        return (name, BooleanRadioFilter)
    if isinstance(field, models.DateField):
        return (name, DayRangeFilter)
    if getattr(field, "choices", None):
        return (name, ChoicesDropdownFilter)
    return name
