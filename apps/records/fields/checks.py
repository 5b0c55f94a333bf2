"""Whether the definition of a dataset's fields makes sense, before any value is read by it."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence

from apps.kernel.errors import FieldError
from apps.kernel.patterns import PatternRefused, compile_pattern
from apps.records.fields.base import FIELD_TYPES, MAX_TEXT, is_blank
from apps.records.fields.currencies import MINOR_UNITS
from apps.records.fields.definition import Field
from apps.records.fields.numbers import MAX_DECIMALS, MAX_WHOLE, number_bound
from apps.records.fields.problems import ValueProblem
from apps.records.fields.text import KEY_LENGTH
from apps.records.fields.times import read_datetime

MAX_FIELDS = 200
MAX_INDEXED = 6
MAX_CHOICES = 1_000
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
RESERVED_NAMES = frozenset(
    {
        "id", "pk", "key", "version", "public_id", "organization", "project", "dataset", "values", "hash",
        "origin",
        "created_at", "updated_at", "deleted_at", "changes", "links", "errors", "row",
        "cursor", "limit", "ordering", "search", "fields", "deleted",
    }
)  # fmt: skip
"""Names that records, their API and its query parameters use themselves."""

_TEXTS = frozenset({"text", "email", "url", "phone", "reference"})
_NUMBERS = frozenset({"integer", "decimal", "money"})
_DECIMALS = frozenset({"decimal", "money"})
_TIMES = frozenset({"date", "datetime"})
_OPTION_OF = {
    "max_length": _TEXTS,
    "min_length": _TEXTS,
    "pattern": _TEXTS,
    "minimum": _NUMBERS | _TIMES,
    "maximum": _NUMBERS | _TIMES,
    "max_digits": _DECIMALS,
    "decimal_places": _DECIMALS,
    "currency": frozenset({"money"}),
    "format": _TIMES | {"phone"},
    "reference_field": frozenset({"reference"}),
}
_Found = Iterator[tuple[str, str, str]]


def validate_definition(fields: Sequence[Field]) -> list[FieldError]:
    """Everything wrong with the fields of a custom dataset; pointers are `/fields/<position>/<option>`."""
    errors: list[FieldError] = []
    if not fields:
        errors.append(FieldError("/fields", "required", "A dataset needs at least one field."))
    if len(fields) > MAX_FIELDS:
        errors.append(FieldError("/fields", "too_many_fields", f"A dataset has at most {MAX_FIELDS} fields."))
    if sum(field.indexed for field in fields) > MAX_INDEXED:
        errors.append(
            FieldError("/fields", "too_many_indexed", f"At most {MAX_INDEXED} fields can be indexed.")
        )
    seen: set[str] = set()
    for position, field in enumerate(fields):
        for option, code, detail in _problems(field, seen):
            errors.append(FieldError(f"/fields/{position}/{option}", code, detail))
        seen.add(field.name)
    return errors


def _problems(field: Field, seen: set[str]) -> _Found:
    yield from _name(field, seen)
    if field.type not in FIELD_TYPES:
        known = ", ".join(FIELD_TYPES)
        yield "type", "unknown_type", f"“{field.type}” is no field type; known types are {known}."
        return
    for option, types in _OPTION_OF.items():
        if getattr(field, option) is not None and field.type not in types:
            yield option, "not_applicable", f"“{option}” does not apply to fields of type {field.type}."
    found = False
    for problem in (*_lengths(field), *_ranges(field), *_digits(field), *_kinds(field)):
        found = True
        yield problem
    if not found:
        yield from _default(field)


def _name(field: Field, seen: set[str]) -> _Found:
    if not NAME.fullmatch(field.name):
        yield (
            "name",
            "invalid_name",
            f"“{field.name[:80]}” is not a field name: use up to 60 small letters, digits and underscores, "
            "with a letter first.",
        )
    elif "__" in field.name:
        yield "name", "invalid_name", f"“{field.name}” has two underscores in a row, which filters use."
    elif field.name in RESERVED_NAMES:
        yield "name", "reserved_name", f"“{field.name}” is a name that records use themselves."
    if field.name in seen:
        yield "name", "duplicate_name", f"There are two fields named “{field.name[:80]}”."


def _lengths(field: Field) -> _Found:
    top = KEY_LENGTH if field.type == "reference" else MAX_TEXT
    for option in ("max_length", "min_length"):
        value = getattr(field, option)
        if value is not None and not (option == "max_length") <= value <= top:
            yield option, "out_of_range", f"“{option}” must lie between 1 and {top}."
    if field.min_length is not None and field.max_length is not None and field.min_length > field.max_length:
        yield "min_length", "range_empty", "The minimum length is greater than the maximum length."
    if field.pattern is not None:
        try:
            compile_pattern(field.pattern)
        except PatternRefused as problem:
            yield "pattern", "invalid_pattern", str(problem)


def _ranges(field: Field) -> _Found:
    if field.type not in _NUMBERS | _TIMES:
        return
    bounds = []
    for option in ("minimum", "maximum"):
        value = getattr(field, option)
        if value is None:
            continue
        if field.type in _NUMBERS:
            try:
                bounds.append(number_bound(value))
            except ValueError:
                yield option, "not_a_number", f"“{option}” must be a number."
        else:
            moment = read_datetime(value) if isinstance(value, str) else None
            if moment is None or (field.type == "date" and len(str(value)) != 10):
                kind = "date (YYYY-MM-DD)" if field.type == "date" else "date and time (YYYY-MM-DDTHH:MM:SSZ)"
                yield option, f"not_a_{field.type}", f"“{option}” must be a {kind}."
            else:
                bounds.append(moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC))  # type: ignore[arg-type]
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        yield "minimum", "range_empty", "The minimum is greater than the maximum."


def _digits(field: Field) -> _Found:
    if field.max_digits is not None and not 1 <= field.max_digits <= MAX_WHOLE + MAX_DECIMALS:
        yield "max_digits", "out_of_range", f"“max_digits” must lie between 1 and {MAX_WHOLE + MAX_DECIMALS}."
    if field.decimal_places is not None:
        if not 0 <= field.decimal_places <= MAX_DECIMALS:
            yield "decimal_places", "out_of_range", f"“decimal_places” must lie between 0 and {MAX_DECIMALS}."
        elif field.max_digits is not None and field.decimal_places > field.max_digits:
            yield "decimal_places", "range_empty", "There are more decimals than digits."


def _kinds(field: Field) -> _Found:
    if field.type == "choice":
        yield from _choices(field)
    elif field.choices:
        yield "choices", "not_applicable", f"“choices” do not apply to fields of type {field.type}."
    if field.type == "reference" and not field.reference:
        yield "reference", "required", "A reference needs the slug of the dataset that it points to."
    if field.type != "reference" and field.reference is not None:
        yield "reference", "not_applicable", f"“reference” does not apply to fields of type {field.type}."
    if field.currency is not None and field.currency not in MINOR_UNITS:
        yield "currency", "not_a_currency", f"“{field.currency[:80]}” is not an ISO 4217 currency code."
    if field.type == "json" and (field.indexed or field.unique):
        option = "indexed" if field.indexed else "unique"
        yield option, "not_applicable", "JSON values have no order and cannot be indexed or unique."
    if (
        field.format is not None
        and field.type == "phone"
        and not re.fullmatch(r"\+[1-9]\d{0,3}", field.format)
    ):
        yield (
            "format",
            "invalid_format",
            "The format of a phone number is a country calling code such as +49.",
        )
    if field.format is not None and field.type in _TIMES and not _reads(field.format):
        yield "format", "invalid_format", "The format must have a day, month and year, such as %d.%m.%Y."


def _reads(form: str) -> bool:
    """Whether what the format writes can be read back by it."""
    moment = dt.datetime(2024, 12, 31, tzinfo=dt.UTC)
    try:
        return dt.datetime.strptime(moment.strftime(form), form).date() == moment.date()  # noqa: DTZ007
    except (ValueError, re.error):
        return False


def _choices(field: Field) -> _Found:
    if not field.choices:
        yield "choices", "required", "A choice needs at least one value to choose from."
    if len(field.choices) > MAX_CHOICES:
        yield "choices", "too_many_choices", f"A field has at most {MAX_CHOICES} choices."
    owners: dict[str, str] = {}
    for value, label in field.choices:
        if is_blank(value) or value != value.strip() or len(value) > KEY_LENGTH or "\0" in value + label:
            yield (
                "choices",
                "invalid_choice",
                f"“{value[:80]}” cannot be a choice: it is empty, too long, or has white space around it.",
            )
        for written in {value.casefold(), label.strip().casefold()} - {""}:
            if owners.setdefault(written, value) != value:
                yield "choices", "duplicate_choice", f"“{written[:80]}” stands for two choices."
    if len({value for value, _ in field.choices}) != len(field.choices):
        yield "choices", "duplicate_choice", "Two choices have the same value."


def _default(field: Field) -> _Found:
    if is_blank(field.default):
        return
    try:
        FIELD_TYPES[field.type].parse(field.default, field)
    except ValueProblem as problem:
        yield "default", problem.code, f"The default {problem.message}"
