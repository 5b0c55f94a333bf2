"""Transforms of numbers. Results are plain digits without exponent; nothing passes through binary floats."""

from __future__ import annotations

import decimal
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.records.fields import FIELD_TYPES, Field
from apps.records.fields.base import is_blank
from apps.records.fields.problems import ValueProblem
from apps.records.mapping.transforms.base import (
    EXACT,
    Apply,
    Parameter,
    as_number,
    failed,
    number_text,
    on_number,
    transform,
)

_SPACES = " \u00a0\u202f\u2009"


@dataclass(frozen=True, slots=True)
class Convention:
    """How a country writes numbers."""

    decimal: str
    thousands: str
    indian: bool = False


_ENGLISH = Convention(".", ",")
_GERMAN = Convention(",", ".")
_FRENCH = Convention(",", _SPACES)
LOCALES: dict[str, Convention] = {
    "en": _ENGLISH,
    "de": _GERMAN,
    "fr": _FRENCH,
    "ch": Convention(".", "'’´`"),
    "in": Convention(".", ",", indian=True),
    "es": _GERMAN,
    "it": _GERMAN,
    "nl": _GERMAN,
    "pt": _GERMAN,
    "da": _GERMAN,
    "tr": _GERMAN,
    "pl": _FRENCH,
    "cs": _FRENCH,
    "sv": _FRENCH,
    "nb": _FRENCH,
    "fi": _FRENCH,
    "ru": _FRENCH,
}


def number_pattern(convention: Convention) -> re.Pattern[str]:
    """What the convention accepts: groups of the right size, or none at all."""
    point = re.escape(convention.decimal)
    plain = "[0-9]++"
    if convention.thousands:
        mark = f"[{re.escape(convention.thousands)}]"
        first, middle = ("[0-9]{1,2}", "[0-9]{2}") if convention.indian else ("[0-9]{1,3}", "[0-9]{3}")
        grouped = rf"{first}(?P<mark>{mark})(?:{middle}(?P=mark))*[0-9]{{3}}(?![0-9])"
        plain = f"{grouped}|{plain}"
    return re.compile(rf"(?P<whole>{plain})?(?:{point}(?P<fraction>[0-9]*))?")


def read_number(text: str, pattern: re.Pattern[str], *, percent: bool) -> Decimal | None:
    """The number, or None if it is not written by the convention. Takes (12) and 12- as negative."""
    body = text.strip().replace("\u2212", "-")
    negative = False
    if percent:
        if not body.endswith("%"):
            percent = False
        body = body.removesuffix("%").rstrip()
    if body.startswith("(") and body.endswith(")"):
        negative, body = True, body[1:-1].strip()
    elif body.endswith("-"):
        negative, body = True, body[:-1].rstrip()
    elif body.startswith(("-", "+")):
        negative, body = body[0] == "-", body[1:].lstrip()
    found = pattern.fullmatch(body) if len(body) <= 100 else None
    if found is None or not (found["whole"] or found["fraction"]):
        return None
    whole = "".join(c for c in found["whole"] or "0" if c.isdigit())
    number = Decimal(f"{'-' if negative else ''}{whole}.{found['fraction'] or ''}")
    return number.scaleb(-2, EXACT) if percent else number


@transform(
    "number",
    "Reads a number as a country writes it; brackets or a minus behind make it negative.",
    ("number('de')", "1.234,50", "1234.50"),
    Parameter("locale", "text", f"One of {', '.join(LOCALES)}.", "en"),
    Parameter("decimal", "text", "The decimal mark, if no locale fits."),
    Parameter("thousands", "text", "The mark between groups of three digits, if no locale fits."),
    Parameter("percent", "boolean", "Whether “12%” is read as 0.12.", False),
)
def number(locale: str, decimal: str | None, thousands: str | None, percent: bool) -> Apply:
    if locale not in LOCALES:
        raise ValueError(f"“{locale[:20]}” is not a number locale; known are {', '.join(LOCALES)}.")
    convention = LOCALES[locale]
    if decimal is not None or thousands is not None:
        point = convention.decimal if decimal is None else decimal
        marks = thousands if thousands is not None else convention.thousands.replace(point, "")
        convention = Convention(point, marks)
    if len(convention.decimal) != 1 or convention.decimal in convention.thousands:
        raise ValueError("The decimal mark must be one character, other than the mark between thousands.")
    pattern = number_pattern(convention)

    def apply(value: Any) -> Any:
        if not isinstance(value, str):
            return _native(value)
        if is_blank(value):
            return None
        read = read_number(value, pattern, percent=percent)
        if read is None:
            written = number_text(Decimal("1234.5")).replace(".", convention.decimal)
            raise ValueProblem(
                "not_a_number", failed(value, f"is not a number as it is written here ({written}).").message
            )
        return number_text(read)

    return apply


def _native(value: Any) -> Any:
    number = as_number(value)
    return None if number is None else number_text(number)


@transform("integer", "A whole number; 12.0 is one, 12.5 is an error.", ("integer", "12.0", 12))
def integer() -> Apply:
    return _parsed(Field("value", "integer"))


@transform(
    "boolean",
    "True or false; words of your own come on top of true, yes, on, 1 and their opposites.",
    ("boolean(true=['ja'], false=['nein'])", "Ja", True),
    Parameter("true", "text", "Words that mean true.", (), many=True),
    Parameter("false", "text", "Words that mean false.", (), many=True),
)
def boolean(true: list[str], false: list[str]) -> Apply:
    words = {word.strip().casefold(): False for word in false} | {w.strip().casefold(): True for w in true}
    standard = _parsed(Field("value", "boolean"))

    def apply(value: Any) -> Any:
        if isinstance(value, str) and (known := words.get(value.strip().casefold())) is not None:
            return known
        return standard(value)

    return apply


def _parsed(field: Field) -> Apply:
    parse = FIELD_TYPES[field.type].parse
    return lambda value: None if is_blank(value) else parse(value, field)


def _constant(by: Any) -> Decimal:
    constant = as_number(by)
    if constant is None:
        raise ValueError("A number is needed.")
    return constant


@transform(
    "multiply",
    "Multiplies by a number.",
    ("multiply(100)", "1.19", "119.00"),
    Parameter("by", "number", "The number.", required=True),
)
def multiply(by: Any) -> Apply:
    factor = _constant(by)
    return on_number(lambda value: EXACT.multiply(value, factor))


@transform(
    "divide",
    "Divides by a number; the result has at most so many decimals, rounded half up.",
    ("divide(100)", "1999", "19.99"),
    Parameter("by", "number", "The number.", required=True),
    Parameter("places", "integer", "Decimals at most.", 12),
)
def divide(by: Any, places: int) -> Apply:
    divisor = _constant(by)
    if not divisor:
        raise ValueError("One cannot divide by zero.")
    step = _step(places)

    def change(value: Decimal) -> Decimal:
        result = _rounded(EXACT.divide(value, divisor), step, decimal.ROUND_HALF_UP)
        text = number_text(result)
        return Decimal(text.rstrip("0").rstrip(".")) if "." in text else result

    return on_number(change)


_ROUNDINGS = {
    "half_up": decimal.ROUND_HALF_UP,
    "half_even": decimal.ROUND_HALF_EVEN,
    "up": decimal.ROUND_UP,
    "down": decimal.ROUND_DOWN,
}


def _step(places: int) -> Decimal:
    if not 0 <= places <= 18:
        raise ValueError("A number has between 0 and 18 decimals.")
    return Decimal(1).scaleb(-places)


def _rounded(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    if value.adjusted() > 35:
        raise failed(value, "is too large a number to be rounded.")
    return value.quantize(step, rounding=rounding, context=EXACT)


@transform(
    "round",
    "Rounds to a number of decimals.",
    ("round(1)", "2.25", "2.3"),
    Parameter("places", "integer", "How many decimals.", 0),
    Parameter("mode", "text", f"One of {', '.join(_ROUNDINGS)}.", "half_up"),
)
def round_(places: int, mode: str) -> Apply:
    if mode not in _ROUNDINGS:
        raise ValueError(f"“{mode[:20]}” is no way of rounding; known are {', '.join(_ROUNDINGS)}.")
    step = _step(places)
    return on_number(lambda value: _rounded(value, step, _ROUNDINGS[mode]))


@transform("abs", "The number without its sign.", ("abs", "-5.50", "5.50"))
def abs_() -> Apply:
    return on_number(lambda value: value.copy_abs())


@transform("negate", "The number with the other sign.", ("negate", "5", "-5"))
def negate() -> Apply:
    return on_number(lambda value: value.copy_negate())
