"""Boolean and JSON."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import orjson

from apps.records.fields.base import (
    SORT_LENGTH,
    Bind,
    FieldType,
    Inline,
    check_characters,
    clean_text,
    nullable,
    register,
)
from apps.records.fields.definition import Field
from apps.records.fields.problems import ValueProblem, refuse

_TRUE = ("true", "1", "yes", "y", "on", "enabled")
_FALSE = ("false", "0", "no", "n", "off", "disabled")
_BOOLEANS = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_NUMBERS: dict[Any, bool] = {0: False, 1: True}
_BOOLEANS_WRITTEN = {form(text): v for text, v in _BOOLEANS.items() for form in (str, str.upper, str.title)}


@register
class Boolean(FieldType):
    """True or false. Everything that is not clearly one of them is an error, never false."""

    name = "boolean"
    label = "Yes or no"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> bool:
        if isinstance(value, bool):
            return value
        found: bool | None = None
        if isinstance(value, str):
            check_characters(value, field)
            found = _BOOLEANS.get(value.strip().lower())
        elif isinstance(value, int | float) or (isinstance(value, Decimal) and value.is_finite()):
            found = _NUMBERS.get(value)
        if found is None:
            raise refuse("not_a_boolean", value, field, "is neither yes nor no; expected true or false.")
        return found

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        known = bind(_BOOLEANS_WRITTEN)
        return Inline(
            f"v.__class__ is bool or v.__class__ is str and (v := {known}.get(v, v)).__class__ is bool"
        )

    def json_schema(self, field: Field) -> dict[str, Any]:
        return nullable({"type": "boolean"}, field)

    def display(self, value: Any, field: Field | None = None) -> str:
        return "" if value is None else "Yes" if value else "No"

    def sort_text(self, value: Any, field: Field) -> str:
        return "1" if value else "0"


MAX_DEPTH = 32
MAX_JSON = 1_000_000


@register
class Json(FieldType):
    """Any JSON value. A text that begins with { or [ is read as JSON (that is how spreadsheets carry it); any
    other text is itself the value."""

    name = "json"
    label = "JSON"
    sortable = False
    is_free = True

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> Any:
        if isinstance(value, str):
            value = clean_text(value, field)
            if len(value) > MAX_JSON:
                raise refuse("too_long", value, field, f"is longer than {MAX_JSON} characters.")
            if value[:1] in ("{", "["):
                try:
                    value = json.loads(value, parse_constant=_no_constant, parse_int=int)
                except (ValueError, RecursionError) as problem:
                    raise refuse("not_json", value, field, f"is not JSON: {problem}.") from None
        return _plain(value, field, 0)

    def json_schema(self, field: Field) -> dict[str, Any]:
        return {"not": {"type": "null"}} if field.required else {}

    def display(self, value: Any, field: Field | None = None) -> str:
        if value is None:
            return ""
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    def sort_text(self, value: Any, field: Field) -> str:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()[:SORT_LENGTH]


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _plain(value: Any, field: Field, depth: int) -> Any:
    """The value built of JSON types only, with nothing that JSON or a database cannot hold."""
    if depth > MAX_DEPTH:
        raise ValueProblem("not_json", f"The value is nested more than {MAX_DEPTH} levels deep.")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        check_characters(value, field)
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise refuse("too_large", value, field, "does not fit into an integer of 64 bits.")
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise refuse("not_json", value, field, "is not a JSON number.")
        return value
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise refuse("not_json", value, field, "is not a JSON number.")
        return str(value)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(item, field, depth + 1) for item in value]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise refuse("not_json", key, field, "is not a text, as a JSON object's key must be.")
            check_characters(key, field)
        return {key: _plain(item, field, depth + 1) for key, item in value.items()}
    raise ValueProblem("not_json", f"A {type(value).__name__} is not a JSON value.")
