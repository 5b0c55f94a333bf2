"""Field types: how single values of records are read, checked, kept, shown and sorted. Plain Python."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from apps.records.fields import money, numbers, structure, text, times  # noqa: F401 - they register types
from apps.records.fields.base import FIELD_TYPES, SORT_LENGTH, FieldType, is_blank
from apps.records.fields.checks import RESERVED_NAMES, validate_definition
from apps.records.fields.definition import Field, from_dict, to_dict
from apps.records.fields.problems import ValueProblem, shown
from apps.records.fields.schema import json_schema

__all__ = [
    "FIELD_TYPES",
    "RESERVED_NAMES",
    "SORT_LENGTH",
    "Field",
    "FieldType",
    "ValueProblem",
    "clean",
    "display",
    "from_dict",
    "is_blank",
    "json_schema",
    "shown",
    "sort_text",
    "sorter",
    "to_dict",
    "to_python",
    "validate_definition",
]


def clean(value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> Any:
    """The canonical form of any value, blank ones included: the field's default, else null.

    Raises ValueProblem, with the code `required` for a blank value that may not be.
    """
    if is_blank(value):
        if not is_blank(field.default):
            value = field.default
        elif field.required:
            raise ValueProblem("required", f"{field.title} is required.")
        else:
            return None
    return FIELD_TYPES[field.type].parse(value, field, timezone=timezone)


def to_python(value: Any, field: Field) -> Any:
    """A canonical value as the Python type to calculate with."""
    return FIELD_TYPES[field.type].to_python(value)


def display(value: Any, field: Field) -> str:
    """A canonical value as a person reads it; empty for null."""
    return FIELD_TYPES[field.type].display(value, field)


def sort_text(value: Any, field: Field) -> str:
    """A text of at most 190 characters that sorts by code point as the canonical value does. Not for null."""
    return FIELD_TYPES[field.type].sort_text(value, field)


def sorter(field: Field) -> Callable[[Any], str | None]:
    """`sort_text` for one field, with null for null, to call for many values."""
    encode = FIELD_TYPES[field.type].sort_text

    def sort(value: Any) -> str | None:
        return None if value is None else encode(value, field)

    return sort
