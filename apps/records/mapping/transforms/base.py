"""What a transform is, and the registry of transforms."""

from __future__ import annotations

import datetime as dt
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from enum import Enum
from typing import Any

from apps.records.fields.base import is_blank, text_of
from apps.records.fields.definition import Field
from apps.records.fields.problems import ValueProblem, shown

Apply = Callable[[Any], Any]
RowApply = Callable[[Any, Any], Any]
SourceReader = Callable[[str], Callable[[Any], Any]]
"""Compiles the text of a source and returns what reads it from a row (MISSING becomes null)."""

EXACT = Context(prec=60)
"""Decimal arithmetic that keeps every digit of the numbers that fields take."""
_ANY_FIELD = Field("value", "text")


class Role(Enum):
    """How a transform works: on the value; on value and row; or on a table looked up for the whole batch."""

    VALUE = "value"
    ROW = "row"
    LOOKUP = "lookup"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `kind` is text, integer, number, boolean, map or any; with `many`, one or a list; with
    `rest`, a list that takes all further values without a name in the text form."""

    name: str
    kind: str
    doc: str
    default: Any = None
    required: bool = False
    many: bool = False
    rest: bool = False

    @property
    def argument(self) -> str:
        return f"{self.name}_" if keyword.iskeyword(self.name) else self.name


@dataclass(frozen=True, slots=True)
class Transform:
    """A named, pure step of a pipe. `example` is (pipe, value given, value that comes out).

    Null passes by unless `takes_null`. `build` takes the parameters by keyword and returns what is applied;
    it raises ValueError, with a sentence, for parameters that make no sense.
    """

    name: str
    doc: str
    example: tuple[str, Any, Any]
    build: Callable[..., Any]
    parameters: tuple[Parameter, ...] = ()
    role: Role = Role.VALUE
    takes_null: bool = False

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters as `build` takes them. Raises ValueError, naming the one that is wrong."""
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise ValueError(f"The transform {self.name} has no parameter “{name}”; it has {listed}.")
        arguments = {}
        for parameter in self.parameters:
            if given.get(parameter.name) is not None:
                value = _checked(self.name, parameter, given[parameter.name])
            elif parameter.required:
                raise ValueError(f"The transform {self.name} needs the parameter “{parameter.name}”.")
            else:
                value = parameter.default
            arguments[parameter.argument] = value
        return arguments


TRANSFORMS: dict[str, Transform] = {}


def transform(
    name: str,
    doc: str,
    example: tuple[str, Any, Any],
    *parameters: Parameter,
    role: Role = Role.VALUE,
    takes_null: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: register the builder of a transform."""

    def add(build: Callable[..., Any]) -> Callable[..., Any]:
        TRANSFORMS[name] = Transform(name, doc, example, build, parameters, role, takes_null)
        return build

    return add


def _checked(owner: str, parameter: Parameter, value: Any) -> Any:
    if parameter.many or parameter.rest:
        values = list(value) if isinstance(value, list | tuple) else [value]
        return [_one(owner, parameter, item) for item in values]
    return _one(owner, parameter, value)


def _one(owner: str, parameter: Parameter, value: Any) -> Any:
    kinds: dict[str, tuple[type, ...]] = {
        "text": (str,),
        "integer": (int,),
        "number": (int, float, Decimal),
        "boolean": (bool,),
        "map": (dict,),
    }
    wanted = kinds.get(parameter.kind)
    fits = wanted is None or isinstance(value, wanted)
    if isinstance(value, bool) and parameter.kind in ("integer", "number"):
        fits = False
    if not fits:
        expected = {"integer": "a whole number", "boolean": "true or false", "map": "an object"}
        raise ValueError(
            f"The parameter “{parameter.name}” of the transform {owner} must be "
            f"{expected.get(parameter.kind, f'a {parameter.kind}')}."
        )
    if isinstance(value, str) and len(value) > 10_000:
        raise ValueError(f"The parameter “{parameter.name}” of the transform {owner} is too long.")
    return value


def failed(value: Any, expected: str) -> ValueProblem:
    """What a transform raises: “value” followed by what is wrong with it."""
    return ValueProblem("transform_failed", f"“{shown(value)}” {expected}")


def as_text(value: Any) -> str:
    """The text that a value stands for. Raises ValueProblem for lists and objects."""
    return value if isinstance(value, str) else text_of(value, _ANY_FIELD)


def as_number(value: Any) -> Decimal | None:
    """The number that a value stands for, None for a blank one. Raises ValueProblem."""
    if is_blank(value):
        return None
    number: Decimal | None = None
    if isinstance(value, bool):
        pass
    elif isinstance(value, int | Decimal):
        number = Decimal(value)
    elif isinstance(value, float):
        number = Decimal(repr(value))
    elif isinstance(value, str) and len(value) <= 200:
        text = value.strip()
        try:
            number = Decimal(text) if text.isascii() and "_" not in text else None
        except InvalidOperation:
            number = None
    if number is None or not number.is_finite() or abs(number.adjusted()) > 100:
        raise failed(value, "is not a number.")
    return number


def number_text(number: Decimal) -> str:
    """A number as digits without exponent."""
    if not number:
        number = abs(number)
    return format(number, "f")


def on_text(change: Callable[[str], Any]) -> Apply:
    """Apply to the text that the value stands for."""

    def apply(value: Any) -> Any:
        return change(value if value.__class__ is str else as_text(value))

    return apply


def on_number(change: Callable[[Decimal], Decimal]) -> Apply:
    """Apply to the number that the value stands for; blank becomes null."""

    def apply(value: Any) -> Any:
        number = as_number(value)
        return None if number is None else number_text(change(number))

    return apply


def is_native_time(value: Any) -> bool:
    """Whether it is a date or a datetime already."""
    return isinstance(value, dt.date)
