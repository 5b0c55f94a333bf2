"""Rules that a mapping adds to its fields: checked on the canonical value, each with a stable code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.kernel.patterns import PatternRefused, compile_pattern
from apps.records.fields import FIELD_TYPES, Field, ValueProblem, clean
from apps.records.fields.problems import refuse
from apps.records.fields.text import check_pattern

RULES = ("pattern", "min", "max", "length", "in", "not_in", "eq")
Check = Callable[[Any], None]
"""Raises ValueProblem for a canonical value, not null, that breaks the rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; `name` is one of RULES.

    The value of `length` is a number of characters or {"min": …, "max": …}; that of `in` and `not_in` a list;
    that of `pattern` a regular expression; all others are values of the field's type.
    """

    name: str
    value: Any


def compile_rule(rule: Rule, field: Field) -> Check:
    """The check of a rule for a field. Raises ValueError, with a sentence, if it makes no sense there."""
    makers: dict[str, Callable[[Any, Field], Check]] = {
        "pattern": _pattern,
        "min": _minimum,
        "max": _maximum,
        "length": _length,
        "in": _inside,
        "not_in": _outside,
        "eq": _equal,
    }
    if rule.name not in makers:
        raise ValueError(f"“{rule.name[:40]}” is no rule; known are {', '.join(RULES)}.")
    return makers[rule.name](rule.value, field)


def _canonical(value: Any, field: Field) -> Any:
    try:
        canonical = FIELD_TYPES[field.type].parse(value, Field(field.name, field.type, choices=field.choices))
    except ValueProblem as problem:
        raise ValueError(f"The rule's value is wrong: {problem.message}") from None
    return canonical


def _pattern(value: Any, field: Field) -> Check:
    if not isinstance(value, str):
        raise ValueError("A pattern is a text.")
    try:
        compile_pattern(value)
    except PatternRefused as problem:
        raise ValueError(str(problem)) from None

    def check(given: Any) -> None:
        check_pattern(given if isinstance(given, str) else str(given), value, field)

    return check


def _orderable(value: Any, field: Field) -> str:
    if not FIELD_TYPES[field.type].sortable or field.type == "boolean":
        raise ValueError(f"Values of type {field.type} have no minimum or maximum.")
    if field.type == "money":
        raise ValueError("Amounts of money are bounded by the field's minimum and maximum.")
    return FIELD_TYPES[field.type].sort_text(_canonical(value, field), field)


def _minimum(value: Any, field: Field) -> Check:
    bound, sort_text = _orderable(value, field), FIELD_TYPES[field.type].sort_text

    def check(given: Any) -> None:
        if sort_text(given, field) < bound:
            raise refuse("too_small", given, field, f"is less than {value}.")

    return check


def _maximum(value: Any, field: Field) -> Check:
    bound, sort_text = _orderable(value, field), FIELD_TYPES[field.type].sort_text

    def check(given: Any) -> None:
        if sort_text(given, field) > bound:
            raise refuse("too_large", given, field, f"is more than {value}.")

    return check


def _length(value: Any, field: Field) -> Check:
    bounds = value if isinstance(value, Mapping) else {"min": value, "max": value}
    low, high = bounds.get("min"), bounds.get("max")
    for bound in (low, high):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, int) or bound < 0):
            raise ValueError('A length is a number of characters, or {"min": …, "max": …}.')
    if set(bounds) - {"min", "max"} or (low is None and high is None):
        raise ValueError('A length is a number of characters, or {"min": …, "max": …}.')

    def check(given: Any) -> None:
        length = len(given) if isinstance(given, str | list | dict) else len(str(given))
        if low is not None and length < low:
            raise refuse("too_short", given, field, f"has a length of {length}; at least {low} is needed.")
        if high is not None and length > high:
            raise refuse("too_long", given, field, f"has a length of {length}; at most {high} is allowed.")

    return check


def _listed(value: Any, field: Field) -> list[Any]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError("The values are a list with at least one entry.")
    return [_canonical(item, field) for item in value]


def _inside(value: Any, field: Field) -> Check:
    allowed = _listed(value, field)
    written = ", ".join(str(item) for item in value[:8])

    def check(given: Any) -> None:
        if given not in allowed:
            raise refuse("not_allowed", given, field, f"is not one of: {written}.")

    return check


def _outside(value: Any, field: Field) -> Check:
    refused = _listed(value, field)

    def check(given: Any) -> None:
        if given in refused:
            raise refuse("not_allowed", given, field, "is one of the values that are refused.")

    return check


def _equal(value: Any, field: Field) -> Check:
    wanted = _canonical(value, field)

    def check(given: Any) -> None:
        if given != wanted:
            raise refuse("not_equal", given, field, f"is not {value}.")

    return check


def constant_value(value: Any, field: Field) -> Any:
    """The canonical form of a default or constant. Raises ValueError, with a sentence."""
    try:
        return clean(value, field)
    except ValueProblem as problem:
        raise ValueError(problem.message) from None
