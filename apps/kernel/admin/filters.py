"""Filters of change lists that show only what belongs to the current organization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db import models
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    BooleanRadioFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
    RangeDateFilter,
    RangeDateTimeFilter,
    RelatedDropdownFilter,
)

CHOICES_CAP = 200


class ScopedRelatedFilter(RelatedDropdownFilter):
    """A foreign key's filter: only objects of the current organization, at most 200 of them."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        from apps.kernel.admin.scoping import scoped_rows

        rows = scoped_rows(request, field.remote_field.model, model_admin.admin_site)
        return [(str(row.pk), str(row)) for row in rows[:CHOICES_CAP]]


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
    if isinstance(field, models.DateTimeField):
        return (name, RangeDateTimeFilter)
    if isinstance(field, models.DateField):
        return (name, RangeDateFilter)
    if getattr(field, "choices", None):
        return (name, ChoicesDropdownFilter)
    return name
