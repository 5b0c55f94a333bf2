"""Integer and decimal. Nothing is rounded and nothing becomes binary floating point on the way."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.records.fields.base import (
    Bind,
    FieldType,
    Inline,
    check_characters,
    kind_of,
    nullable,
    register,
)
from apps.records.fields.definition import Bound, Field
from apps.records.fields.problems import ValueProblem, refuse

INTEGER_MAX = 2**63 - 1
MAX_WHOLE = 30
"""Digits before the decimal point at most."""
MAX_DECIMALS = 18
"""Digits after the decimal point at most."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}(?:\.0*)?")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_SORT_OFFSET = 10 ** (MAX_WHOLE + MAX_DECIMALS)


def number_bound(bound: Bound) -> Decimal:
    """A minimum or maximum as a number. Raises ValueError."""
    try:
        number = Decimal(bound)
    except InvalidOperation:
        raise ValueError(f"{bound!r} is not a number") from None
    if not number.is_finite():
        raise ValueError(f"{bound!r} is not a finite number")
    return number


def check_range(number: Decimal | int, value: Any, field: Field) -> None:
    """Raises ValueProblem if the number lies outside the field's minimum and maximum."""
    if field.minimum is not None and number < number_bound(field.minimum):
        raise refuse("too_small", value, field, f"is too small; the minimum is {field.minimum}.")
    if field.maximum is not None and number > number_bound(field.maximum):
        raise refuse("too_large", value, field, f"is too large; the maximum is {field.maximum}.")


@register
class Integer(FieldType):
    """A whole number of 64 bits. 12.0 is one (spreadsheets know no integers), 12.5 and true are not."""

    name = "integer"
    label = "Integer"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> int:
        number = self._whole(value, field)
        if not -INTEGER_MAX - 1 <= number <= INTEGER_MAX:
            code = "too_large" if number > 0 else "too_small"
            raise refuse(code, value, field, "does not fit into an integer of 64 bits.")
        check_range(number, value, field)
        return number

    def _whole(self, value: Any, field: Field) -> int:
        if isinstance(value, bool):
            pass
        elif isinstance(value, int):
            return value
        elif isinstance(value, str):
            check_characters(value, field)
            text = value.strip()
            if _INTEGER.fullmatch(text):
                return int(text.partition(".")[0])
        elif isinstance(value, float):
            if value.is_integer():
                return int(value)
        elif isinstance(value, Decimal):
            if value.is_finite() and value.adjusted() <= 40 and value == value.to_integral_value():
                return int(value)
        else:
            raise ValueProblem(
                "not_an_integer", f"A {kind_of(value)} was given where a whole number is expected."
            )
        raise refuse("not_an_integer", value, field, "is not a whole number; expected digits such as 1250.")

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        low, high = -INTEGER_MAX - 1, INTEGER_MAX
        if field.minimum is not None:
            low = max(low, int(number_bound(field.minimum).to_integral_value("ROUND_CEILING")))
        if field.maximum is not None:
            high = min(high, int(number_bound(field.maximum).to_integral_value("ROUND_FLOOR")))
        return Inline(
            "(v.__class__ is str and v.isdigit() and v.isascii() and len(v) < 19 and (v := int(v)) >= 0"
            f" or v.__class__ is int) and {low} <= v <= {high}"
        )

    def json_schema(self, field: Field) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "integer"}
        schema["minimum"] = -INTEGER_MAX - 1
        schema["maximum"] = INTEGER_MAX
        if field.minimum is not None:
            schema["minimum"] = int(number_bound(field.minimum).to_integral_value("ROUND_CEILING"))
        if field.maximum is not None:
            schema["maximum"] = int(number_bound(field.maximum).to_integral_value("ROUND_FLOOR"))
        return nullable(schema, field)

    def sort_text(self, value: Any, field: Field) -> str:
        return f"{value + INTEGER_MAX + 1:020d}"


def plain_decimal(value: Any, field: Field) -> str:
    """The number as sign and digits without exponent, nothing rounded. Raises ValueProblem."""
    number: Decimal | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, str):
        check_characters(value, field)
        text = value.strip()
        if len(text) > 200:
            raise refuse("too_many_digits", value, field, "has more digits than any number here may have.")
        if _DECIMAL.fullmatch(text):
            number = Decimal(text)
    elif isinstance(value, Decimal):
        number = value if value.is_finite() else None
    elif isinstance(value, int):
        if abs(value) >= 10**MAX_WHOLE:
            raise refuse("too_many_digits", value, field, _too_many(MAX_WHOLE))
        return str(value)
    elif isinstance(value, float):
        number = Decimal(repr(value))
        if not number.is_finite():
            number = None
        elif number == number.to_integral_value():  # 12.0 is how floats write 12
            number = number.to_integral_value() if number.adjusted() <= MAX_WHOLE else number
    else:
        raise ValueProblem("not_a_number", f"A {kind_of(value)} was given where a number is expected.")
    if number is None:
        raise refuse("not_a_number", value, field, "is not a number; expected one such as 1250.75.")
    if not number:
        return format(abs(number), "f") if number.as_tuple().exponent in range(-MAX_DECIMALS, 1) else "0"
    if number.adjusted() >= MAX_WHOLE:
        raise refuse("too_many_digits", value, field, _too_many(MAX_WHOLE))
    if number.adjusted() < -200:
        raise refuse("too_many_decimals", value, field, _too_many_decimals(MAX_DECIMALS))
    return format(number, "f")


def scaled(text: str, value: Any, field: Field, places: int | None) -> str:
    """The plain number with exactly `places` decimals, or as many as it has. Raises ValueProblem."""
    whole, _, fraction = text.partition(".")
    allowed = MAX_DECIMALS if places is None else places
    if len(fraction) > allowed:
        if fraction[allowed:].strip("0"):
            raise refuse("too_many_decimals", value, field, _too_many_decimals(allowed))
        fraction = fraction[:allowed]
    if places is not None:
        fraction = fraction.ljust(places, "0")
    if field.max_digits is not None:
        digits = len(whole.lstrip("-0"))
        if digits > field.max_digits - (places or 0) or digits + len(fraction) > field.max_digits:
            raise refuse("too_many_digits", value, field, _too_many(field.max_digits))
    if whole[0] == "-" and not whole.strip("-0") and not fraction.strip("0"):
        whole = "0"
    return f"{whole}.{fraction}" if fraction else whole


def _too_many(digits: int) -> str:
    return f"has too many digits; at most {digits} are allowed."


def _too_many_decimals(places: int) -> str:
    return f"has too many decimals; at most {places} are allowed." if places else "must have no decimals."


def decimal_fast(field: Field, places: int | None, bind: Bind) -> str:
    """Condition under which the text `v` is a canonical decimal of this field."""
    whole = MAX_WHOLE
    if field.max_digits is not None and places is not None:
        whole = max(1, field.max_digits - places)
    sign = r"(?:-(?=[0-9.]*[1-9]))?"
    low = None if field.minimum is None else number_bound(field.minimum)
    high = None if field.maximum is None else number_bound(field.maximum)
    if low is not None and low >= 0:
        sign = ""
    pattern = f"{sign}(?:0|[1-9][0-9]{{0,{whole - 1}}})"
    if places is None:
        pattern += rf"(?:\.[0-9]{{1,{MAX_DECIMALS}}})?"
    elif places:
        pattern += rf"\.[0-9]{{{places}}}"
    condition = f"v.__class__ is str and {bind(re.compile(pattern).fullmatch)}(v)"
    if field.max_digits is not None:
        # The text is never shorter than its digits, so this lets nothing through that has too many.
        condition += f" and len(v) <= {int(field.max_digits) + (1 if places else 0)}"
    if low is not None and low != 0:
        condition += f" and {bind(Decimal)}(v) >= {bind(low)}"
    if high is not None:
        condition += f" and {bind(Decimal)}(v) <= {bind(high)}"
    return condition


def decimal_sort_text(value: str) -> str:
    """The number offset to be positive, as 49 digits: the order of the texts is the order of the numbers."""
    whole, _, fraction = value.partition(".")
    return f"{int(whole + fraction.ljust(MAX_DECIMALS, '0')) + _SORT_OFFSET:049d}"


def decimal_pattern(places: int | None, whole: int = MAX_WHOLE) -> str:
    """Regular expression (ECMA-262) of a canonical decimal."""
    if places is None:
        return rf"^-?[0-9]{{1,{whole}}}(\.[0-9]{{1,{MAX_DECIMALS}}})?$"
    return rf"^-?[0-9]{{1,{whole}}}" + (rf"\.[0-9]{{{places}}}$" if places else "$")


@register
class DecimalNumber(FieldType):
    """A decimal number, kept as text with the field's number of decimals, or as given if it sets none."""

    name = "decimal"
    label = "Decimal"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        text = scaled(plain_decimal(value, field), value, field, field.decimal_places)
        if field.minimum is not None or field.maximum is not None:
            check_range(Decimal(text), value, field)
        return text

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        return Inline(decimal_fast(field, field.decimal_places, bind))

    def to_python(self, value: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def json_schema(self, field: Field) -> dict[str, Any]:
        return nullable({"type": "string", "pattern": decimal_pattern(field.decimal_places)}, field)

    def sort_text(self, value: Any, field: Field) -> str:
        return decimal_sort_text(value)
