"""Transforms that replace, combine and look up values."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from apps.records.fields import FIELD_TYPES, Field
from apps.records.fields.base import check_characters, is_blank
from apps.records.fields.currencies import MINOR_UNITS
from apps.records.fields.problems import ValueProblem
from apps.records.mapping.transforms.base import (
    Apply,
    Parameter,
    Role,
    RowApply,
    SourceReader,
    as_text,
    failed,
    transform,
)
from apps.records.mapping.transforms.countries import COUNTRIES, folded


@transform(
    "default",
    "Puts a value where there is none.",
    ("default('unknown')", " ", "unknown"),
    Parameter("value", "any", "The value.", required=True),
    takes_null=True,
)
def default(value: Any) -> Apply:
    return lambda given: value if is_blank(given) else given


@transform(
    "null_if",
    "Makes certain texts blank, without regard to case.",
    ("null_if('n/a', '-')", "N/A", None),
    Parameter(
        "markers",
        "text",
        "The texts; by default the usual ones.",
        ("", "null", "none", "nil", "n/a", "na", "#n/a", "nan", "-", "--", "\\n"),
        rest=True,
    ),
)
def null_if(markers: list[str]) -> Apply:
    known = frozenset(marker.strip().casefold() for marker in markers)

    def apply(value: Any) -> Any:
        return None if isinstance(value, str) and value.strip().casefold() in known else value

    return apply


@transform(
    "map",
    "Replaces values by others. A value that is not listed becomes `else`; without it, it is an error, or "
    "with `keep` stays as it is.",
    ("map({'Deutschland': 'DE'}, else='XX')", "Deutschland", "DE"),
    Parameter("values", "map", "What becomes what.", required=True),
    Parameter("else", "any", "What everything else becomes."),
    Parameter("keep", "boolean", "Whether everything else stays.", False),
    Parameter("ignore_case", "boolean", "Whether capital and small letters are the same.", False),
)
def map_(values: dict[str, Any], else_: Any, keep: bool, ignore_case: bool) -> Apply:
    if not values:
        raise ValueError("The transform map needs at least one value to replace.")

    def form(text: str) -> str:
        return text.strip().casefold() if ignore_case else text.strip()

    table = {form(key): value for key, value in values.items()}

    def apply(value: Any) -> Any:
        if is_blank(value):
            return None
        text = form(as_text(value))
        if text in table:
            return table[text]
        if else_ is None and not keep:
            raise ValueProblem("not_mapped", failed(value, "is not among the values to replace.").message)
        return value if keep else else_

    return apply


_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


def _template(text: str, read: SourceReader) -> Callable[[Any, Any], tuple[str, bool]]:
    """Compile a text with {source} placeholders; it answers the text and whether any part had a value."""
    parts: list[str | Callable[[Any], Any] | None] = []
    position = 0
    for found in _PLACEHOLDER.finditer(text):
        parts.append(text[position : found.start()])
        name = found[1]
        if name is None:
            parts.append(found[0][0])
        else:
            parts.append(read(name.strip()) if name.strip() else None)
        position = found.end()
    parts.append(text[position:])
    plain = all(isinstance(part, str) for part in parts)

    def fill(value: Any, row: Any) -> tuple[str, bool]:
        written: list[str] = []
        filled = plain
        for part in parts:
            if isinstance(part, str):
                written.append(part)
                continue
            piece = value if part is None else part(row)
            if not is_blank(piece):
                filled = True
                written.append(as_text(piece))
        return "".join(written), filled

    return fill


@transform(
    "concat",
    "Puts texts together; {name} stands for a source of the row, {} for the value itself. Parts whose "
    "sources are all blank are left out.",
    ("concat('{} km')", "7", "7 km"),
    Parameter("parts", "text", "Texts with placeholders.", required=True, rest=True),
    Parameter("separator", "text", "What stands between parts.", ""),
    role=Role.ROW,
    takes_null=True,
)
def concat(parts: list[str], separator: str, read: SourceReader) -> RowApply:
    templates = [_template(part, read) for part in parts]

    def apply(value: Any, row: Any) -> Any:
        pieces = [text for text, filled in (fill(value, row) for fill in templates) if filled]
        return separator.join(piece for piece in pieces if piece) or None

    return apply


@transform(
    "coalesce",
    "The value, or if it is blank the first of other sources that is not.",
    ("coalesce('mobile', 'phone')", "0301", "0301"),
    Parameter("sources", "text", "Columns or JMESPath expressions.", required=True, rest=True),
    role=Role.ROW,
    takes_null=True,
)
def coalesce(sources: list[str], read: SourceReader) -> RowApply:
    readers = [read(source) for source in sources]

    def apply(value: Any, row: Any) -> Any:
        if not is_blank(value):
            return value
        for reader in readers:
            other = reader(row)
            if not is_blank(other):
                return other
        return value

    return apply


@transform(
    "currency",
    "Money from an amount. The currency is a code, or {name} for the source that holds it.",
    ("currency('EUR')", "12.30", {"amount": "12.30", "currency": "EUR"}),
    Parameter("code", "text", "An ISO 4217 code, or a source in braces.", required=True),
    role=Role.ROW,
)
def currency(code: str, read: SourceReader) -> RowApply:
    if "{" not in code and code.strip().upper() not in MINOR_UNITS:
        raise ValueError(f"“{code[:20]}” is not an ISO 4217 currency code.")
    fill = _template(code, read)

    def apply(value: Any, row: Any) -> Any:
        if is_blank(value):
            return None
        written = fill(value, row)[0].strip().upper()
        return {"amount": value, "currency": written} if written else value

    return apply


def lookup_key(value: Any) -> str | None:
    """What a value is looked up by; None for blank ones."""
    return None if is_blank(value) else as_text(value).strip()


@transform(
    "lookup",
    "The key of the record of another dataset whose field has this value.",
    ("lookup('clients', 'email')", "ann@example.com", "ann@example.com"),
    Parameter("dataset", "text", "The slug of the dataset.", required=True),
    Parameter("field", "text", "The field to look in.", required=True),
    Parameter("missing", "text", "What happens if there is none: error, null, keep or create.", "error"),
    role=Role.LOOKUP,
)
def lookup(dataset: str, field: str, missing: str, table: dict[str, Any]) -> Apply:
    if missing not in ("error", "null", "keep", "create"):
        raise ValueError(
            "The parameter “missing” of the transform lookup must be error, null, keep or create."
        )

    def apply(value: Any) -> Any:
        key = lookup_key(value)
        if key is None:
            return None
        if key in table:
            if isinstance(table[key], ValueProblem):
                raise table[key]
            return table[key]
        if missing in ("error", "create"):
            raise ValueProblem(
                "lookup_failed", failed(value, f"is the {field} of no record in {dataset}.").message
            )
        return value if missing == "keep" else None

    return apply


@transform("json_parse", "Reads a text as JSON.", ("json_parse", '{"a": [1]}', {"a": [1]}))
def json_parse() -> Apply:
    def apply(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if is_blank(value):
            return None
        try:
            return orjson.loads(value)
        except ValueError as problem:
            raise ValueProblem("not_json", failed(value, f"is not JSON: {problem}.").message) from None

    return apply


@transform("json_dump", "Writes a value as JSON text.", ("json_dump", {"b": 1, "a": [2]}, '{"a":[2],"b":1}'))
def json_dump() -> Apply:
    field = Field("value", "json")
    plain = FIELD_TYPES["json"].parse

    def apply(value: Any) -> Any:
        if isinstance(value, str):
            check_characters(value, field)
        content = value if isinstance(value, str) else plain(value, field)
        return orjson.dumps(content, option=orjson.OPT_SORT_KEYS).decode()

    return apply


@transform(
    "country", "The ISO 3166 code of a country from its name or code.", ("country", "Deutschland", "DE")
)
def country() -> Apply:
    def apply(value: Any) -> Any:
        if is_blank(value):
            return None
        code = COUNTRIES.get(folded(as_text(value)))
        if code is None:
            raise ValueProblem("not_a_country", failed(value, "is not a country known by ISO 3166.").message)
        return code

    return apply
