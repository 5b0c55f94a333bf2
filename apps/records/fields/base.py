"""What every field type answers, and the registry of types."""

from __future__ import annotations

import datetime as dt
import unicodedata
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from apps.records.fields.definition import Field
from apps.records.fields.problems import ValueProblem, refuse

SORT_LENGTH = 190
"""Characters of a sort text at most: what fits into an index slot."""

MAX_TEXT = 1_000_000
"""Characters of a text at most where the field sets no limit of its own."""

Bind = Callable[[object], str]
"""Puts an object into the namespace of a generated function and returns the name that it has there."""


@dataclass(frozen=True, slots=True)
class Inline:
    """Source of a fast path over the local variable `v`.

    If `condition` holds, the value is fine and `convert` (default: `v` itself, which the condition may have
    rebound) is its canonical form. Everything else is left to `FieldType.parse`. Written from constants,
    integers and bound names only: never from anyone's text.
    """

    condition: str
    convert: str = ""


class FieldType(ABC):
    """How values of one type are read, checked, kept, shown and sorted. Stateless; one instance per type.

    The canonical form is what is stored, as JSON. `parse(parse(x)) == parse(x)` for every accepted x.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    sortable: ClassVar[bool] = True
    is_free: ClassVar[bool] = False  # whether a value may be an object with keys in any order

    @abstractmethod
    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> Any:
        """The canonical form of a value that is not blank. Raises ValueProblem."""

    def to_python(self, value: Any) -> Any:
        """The canonical value as the Python type to calculate with (Decimal, date, aware datetime…)."""
        return value

    def json_schema(self, field: Field) -> dict[str, Any]:
        """JSON Schema 2020-12 of the canonical form."""
        return {}

    def display(self, value: Any, field: Field | None = None) -> str:
        """The canonical value as a person reads it; empty for null."""
        return "" if value is None else str(value)

    def sort_text(self, value: Any, field: Field) -> str:
        """A text whose order by code point is the order of the values; at most 190 characters."""
        return str(value)[:SORT_LENGTH]

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        """The fast path for values that are clean already, if the type has one."""
        return None


FIELD_TYPES: dict[str, FieldType] = {}


def register(field_type: type[FieldType]) -> type[FieldType]:
    """Class decorator: make the type known under its name."""
    FIELD_TYPES[field_type.name] = field_type()
    return field_type


def is_blank(value: Any) -> bool:
    """Whether there is no value: null, or a text of white space only."""
    return value is None or (isinstance(value, str) and (not value or value.isspace()))


def check_characters(text: str, field: Field) -> None:
    """Raises ValueProblem for characters that no database can hold: NUL and halves of surrogate pairs."""
    if "\0" in text:
        raise refuse("nul_character", text, field, "contains a NUL character, which cannot be stored.")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise refuse(
                "invalid_character", text, field, "contains half of a surrogate pair, which is no character."
            ) from None


def clean_text(text: str, field: Field) -> str:
    """The text without outer white space, in Unicode normalization form C. Raises ValueProblem."""
    text = text.strip()
    check_characters(text, field)
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def text_of(value: Any, field: Field) -> str:
    """The text for a native value: 501.0, a spreadsheet's integer, is "501". Raises ValueProblem."""
    if isinstance(value, str):
        return clean_text(value, field)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        value = Decimal(repr(value))
        if value.is_finite() and value == value.to_integral_value():
            value = value.to_integral_value()
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > 100:
            raise refuse("not_text", value, field, "is not a number that can be kept as text.")
        return format(value, "f")
    if isinstance(value, int):
        if abs(value) >= 10**100:
            raise refuse("not_text", value, field, "is too large a number to be kept as text.")
        return str(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise ValueProblem("not_text", f"A {kind_of(value)} was given where a text is expected.")


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words."""
    if isinstance(value, dict):
        return "JSON object"
    if isinstance(value, list | tuple):
        return "list"
    return type(value).__name__


def nullable(schema: dict[str, Any], field: Field) -> dict[str, Any]:
    """The schema, allowing null unless the field is required."""
    if field.required or not schema:
        return schema
    schema = dict(schema)
    if isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    if "enum" in schema:
        schema["enum"] = [*schema["enum"], None]
    return schema
