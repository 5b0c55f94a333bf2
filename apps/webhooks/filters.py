"""Conditions on the data of an event that decide whether an endpoint gets it: pure, no tables.

    {"status": "paid", "total.amount": {"gte": "100.00"},
     "or": [{"tags": "urgent"}, {"not": {"region": {"in": ["eu"]}}}]}

Names are paths into the event's data; all conditions of an object must hold. A value alone means `eq`. Where
a path leads to a list, or through one, it is enough that one element fits; `ne` and `nin` want that none
equals. `gt gte lt lte` compare numbers (also decimals written as text), times by their moment, and texts by
their letters. What is missing fits only `ne`, `nin`, `not` and `{"exists": false}`.

Everything is bounded: conditions, depth, values and the time of a pattern (see `kernel.patterns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from apps.kernel.errors import FieldError
from apps.kernel.patterns import PatternRefused, compile_pattern

MAX_CONDITIONS = 100
MAX_DEPTH = 8
MAX_VALUES = 500
MAX_TEXT = 1000
MAX_PATH = 200
MAX_REACHED = 10_000  # values that one path may lead to

LOGIC = ("and", "or", "not")
OPERATORS = (
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "exists", "startswith", "regex",
)  # fmt: skip
_ORDERS = frozenset({"gt", "gte", "lt", "lte"})

Test = Callable[[Any], bool]


class FilterInvalid(ValueError):
    """The filter cannot be understood; `errors` say where and why, with pointers below the filter."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(errors[0].detail if errors else "The filter is not valid.")
        self.errors = list(errors)


def compile_filter(source: Any) -> Test:
    """The test that the filter describes, of an event's data. Raises FilterInvalid."""
    reader = _Reader()
    test = reader.object(source, "", 1)
    if reader.errors:
        raise FilterInvalid(reader.errors)
    return test


class _Reader:
    """Reads a filter into one function and notes what is wrong with it."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self.conditions = 0

    def refuse(self, pointer: str, detail: str, code: str = "filter") -> Test:
        if len(self.errors) < 20:
            self.errors.append(FieldError(pointer, code, detail))
        return _never

    def object(self, source: Any, pointer: str, depth: int) -> Test:
        if depth > MAX_DEPTH:
            return self.refuse(pointer, f"Conditions are nested at most {MAX_DEPTH} deep.", "too_deep")
        if not isinstance(source, Mapping):
            return self.refuse(pointer, "Conditions are an object: a path, and what it must be.", "type")
        tests = [
            self._logic(name, value, f"{pointer}/{_escaped(name)}", depth)
            if name in LOGIC
            else self._path(str(name), value, f"{pointer}/{_escaped(name)}")
            for name, value in source.items()
        ]
        return tests[0] if len(tests) == 1 else lambda data: all(test(data) for test in tests)

    def _logic(self, name: str, value: Any, pointer: str, depth: int) -> Test:
        if name == "not":
            inner = self.object(value, pointer, depth + 1)
            return lambda data: not inner(data)
        if not isinstance(value, list) or not value:
            return self.refuse(pointer, f"“{name}” takes a list of objects with conditions.", "type")
        if len(value) > MAX_CONDITIONS:
            return self.refuse(pointer, f"At most {MAX_CONDITIONS} conditions.", "too_many")
        tests = [self.object(one, f"{pointer}/{n}", depth + 1) for n, one in enumerate(value)]
        if name == "and":
            return lambda data: all(test(data) for test in tests)
        return lambda data: any(test(data) for test in tests)

    def _path(self, path: str, value: Any, pointer: str) -> Test:
        steps = tuple(path.split("."))
        if len(path) > MAX_PATH or not all(steps):
            return self.refuse(pointer, "A path reads like customer.country or lines.0.sku.", "path")
        if not isinstance(value, Mapping):
            value = {"in": value} if isinstance(value, list) else {"eq": value}
        tests = [
            self._operator(str(name), wanted, steps, f"{pointer}/{_escaped(name)}")
            for name, wanted in value.items()
        ]
        if not tests:
            return self.refuse(pointer, f"Say what {path} must be: one of {', '.join(OPERATORS)}.")
        return tests[0] if len(tests) == 1 else lambda data: all(test(data) for test in tests)

    def _operator(self, name: str, wanted: Any, steps: tuple[str, ...], pointer: str) -> Test:
        self.conditions += 1
        if self.conditions > MAX_CONDITIONS:
            return self.refuse(pointer, f"At most {MAX_CONDITIONS} conditions.", "too_many")
        make = _MAKERS.get(name)
        if make is None:
            return self.refuse(
                pointer, f"There is no operator {name[:40]!r}; there are {', '.join(OPERATORS)}.", "operator"
            )
        try:
            return make(steps, wanted)
        except FilterInvalid as error:
            return self.refuse(pointer, error.errors[0].detail, error.errors[0].code)


def _escaped(name: Any) -> str:
    return str(name)[:60].replace("~", "~0").replace("/", "~1")


def _never(data: Any) -> bool:
    return False


def _wrong(detail: str, code: str = "value") -> FilterInvalid:
    return FilterInvalid([FieldError("", code, detail)])


def reached(data: Any, steps: Sequence[str]) -> Iterator[Any]:
    """The values that a path leads to: by keys, by positions, and through every element of a list."""
    found = [data]
    for step in steps:
        onward: list[Any] = []
        for value in found:
            if isinstance(value, Mapping):
                if step in value:
                    onward.append(value[step])
            elif isinstance(value, list):
                if step.isascii() and step.isdigit() and len(step) < 7:
                    onward += value[int(step) : int(step) + 1]
                else:
                    onward += [one[step] for one in value if isinstance(one, Mapping) and step in one]
        found = onward[:MAX_REACHED]
    for value in found:
        if isinstance(value, list):
            yield from value[:MAX_REACHED]
        else:
            yield value


def _scalar(wanted: Any) -> Any:
    if wanted is not None and not isinstance(wanted, (str, int, float, bool)):
        raise _wrong("Compare with a text, a number, true, false or null.", "type")
    if isinstance(wanted, str) and len(wanted) > MAX_TEXT:
        raise _wrong(f"A text to compare with has at most {MAX_TEXT:,} characters.", "too_long")
    return wanted


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(wanted, (int, float)) and isinstance(value, str):
        return number_of(value) == number_of(wanted)
    return type(value) in (int, float, str, type(None)) and bool(value == wanted)


def _equals(steps: tuple[str, ...], wanted: Any) -> Test:
    wanted = _scalar(wanted)
    return lambda data: any(_same(value, wanted) for value in reached(data, steps))


def _differs(steps: tuple[str, ...], wanted: Any) -> Test:
    equals = _equals(steps, wanted)
    return lambda data: not equals(data)


def _among(steps: tuple[str, ...], wanted: Any) -> Test:
    if not isinstance(wanted, list) or not wanted or len(wanted) > MAX_VALUES:
        raise _wrong(f"Give a list of 1 to {MAX_VALUES} values.", "type")
    values = [_scalar(one) for one in wanted]
    texts = frozenset(one for one in values if isinstance(one, str))
    others = [one for one in values if not isinstance(one, str)]

    def test(data: Any) -> bool:
        for value in reached(data, steps):
            if (isinstance(value, str) and value in texts) or any(_same(value, one) for one in others):
                return True
        return False

    return test


def _not_among(steps: tuple[str, ...], wanted: Any) -> Test:
    among = _among(steps, wanted)
    return lambda data: not among(data)


def _exists(steps: tuple[str, ...], wanted: Any) -> Test:
    if not isinstance(wanted, bool):
        raise _wrong("“exists” takes true or false.", "type")

    def there(data: Any) -> bool:
        *way, last = steps
        for value in reached(data, way) if way else (data,):
            if isinstance(value, Mapping) and last in value and value[last] is not None:
                return True
        return any(value is not None for value in reached(data, steps))

    return lambda data: there(data) is wanted


def _starts(steps: tuple[str, ...], wanted: Any) -> Test:
    if not isinstance(wanted, str) or not wanted or len(wanted) > MAX_TEXT:
        raise _wrong(f"“startswith” takes a text of 1 to {MAX_TEXT:,} characters.", "type")
    return lambda data: any(isinstance(v, str) and v.startswith(wanted) for v in reached(data, steps))


def _regex(steps: tuple[str, ...], wanted: Any) -> Test:
    if not isinstance(wanted, str):
        raise _wrong("“regex” takes a regular expression as text.", "type")
    try:
        pattern = compile_pattern(wanted, search=True)
    except PatternRefused as error:
        raise _wrong(str(error), "pattern") from None

    def test(data: Any) -> bool:
        # Longer texts than the pattern takes in bounded time do not fit; the texts of a list share it.
        left = 20 * pattern.max_input
        for value in reached(data, steps):
            if not isinstance(value, str) or len(value) > pattern.max_input:
                continue
            left -= len(value) + 1
            if left < 0:
                return False
            if pattern.regex.search(value):
                return True
        return False

    return test


def number_of(value: Any) -> Decimal | None:
    """A number, or one written as text, exactly; None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str) and (len(value) > 60 or value.strip("+-0123456789.eE")):
        return None
    try:
        number = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() else None


def _moment(value: str) -> datetime | None:
    if not 8 <= len(value) <= 40 or not value[:4].isdigit():
        return None
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
}


def _ordered(name: str) -> Callable[[tuple[str, ...], Any], Test]:
    compare = _COMPARE[name]

    def make(steps: tuple[str, ...], wanted: Any) -> Test:
        wanted = _scalar(wanted)
        if isinstance(wanted, bool) or wanted is None:
            raise _wrong(f"“{name}” compares with a number, a time or a text.", "type")
        number = number_of(wanted)
        moment = _moment(wanted) if isinstance(wanted, str) and number is None else None

        def fits(value: Any) -> bool:
            if number is not None:
                given = number_of(value)
                return given is not None and compare(given, number)
            if not isinstance(value, str):
                return False
            if moment is not None:
                at = _moment(value)
                return at is not None and compare(at, moment)
            return compare(value, wanted)

        return lambda data: any(fits(value) for value in reached(data, steps))

    return make


_MAKERS: dict[str, Callable[[tuple[str, ...], Any], Test]] = {
    "eq": _equals,
    "ne": _differs,
    "in": _among,
    "nin": _not_among,
    "exists": _exists,
    "startswith": _starts,
    "regex": _regex,
    **{name: _ordered(name) for name in _ORDERS},
}
