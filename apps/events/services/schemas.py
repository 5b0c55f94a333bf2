"""Checking data against JSON Schemas (2020-12) that organizations write: bounded in time, nothing is fetched.

`$ref` reaches no further than the schema itself, `pattern` must be one whose time is bounded
(`kernel.patterns`), `uniqueItems` compares canonical texts, and a check that takes too many steps is refused.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import referencing.exceptions
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from referencing import Registry

from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.patterns import PatternRefused, SafePattern, compile_pattern
from apps.kernel.safejson import dumps_canonical

MAX_PROBLEMS = 50
MAX_STEPS = 500_000
MAX_SECONDS = 2.0

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]


class Unresolvable(InvalidInput):
    """The schema cannot be used: a reference or a pattern in it leads nowhere."""

    code = "schema_invalid"


class TooComplex(InvalidInput):
    """Checking takes longer than the hub is willing to spend."""

    code = "schema_too_complex"


class _Budget(threading.local):
    steps = 0
    deadline = 0.0


_budget = _Budget()


def _bounded(keyword: Keyword) -> Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _budget.steps += 1
        if _budget.steps > MAX_STEPS or (_budget.steps % 256 == 0 and time.monotonic() > _budget.deadline):
            raise TooComplex("Checking this data against its schema takes too long: simplify the schema.")
        yield from keyword(validator, value, instance, schema) or ()

    return check


def _safe(pattern: Any) -> SafePattern:
    try:
        return compile_pattern(str(pattern), search=True)
    except PatternRefused as error:
        raise Unresolvable(f"A pattern of the schema cannot be used: {error}") from None


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(instance, str):
        return
    safe = _safe(pattern)
    if len(instance) > safe.max_input:
        yield ValidationError(
            f"The text is longer than the {safe.max_input:,} characters that its pattern takes."
        )
    elif not safe.regex.search(instance):
        yield ValidationError(f"{instance[:100]!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, properties: Mapping[str, Any], instance: Any, schema: Any
) -> Iterator[ValidationError]:
    if not isinstance(instance, Mapping):
        return
    for pattern, subschema in properties.items():
        safe = _safe(pattern)
        for name, value in instance.items():
            if len(name) <= safe.max_input and safe.regex.search(name):
                yield from validator.descend(value, subschema, path=name, schema_path=pattern)


def _unique(validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if wanted is True and isinstance(instance, list):
        texts = {dumps_canonical(item) for item in instance}
        if len(texts) < len(instance):
            yield ValidationError("The items are not all different.")


_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        name: _bounded(keyword)
        for name, keyword in {
            **Draft202012Validator.VALIDATORS,
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "uniqueItems": _unique,
        }.items()
    },
)


def problems_in(schema: Mapping[str, Any], data: Any, pointer: str) -> list[FieldError]:
    """What in `data` contradicts the schema, each with its pointer below `pointer`; the first fifty.

    Raises Unresolvable and TooComplex.
    """
    _check_references(schema)
    validator = _Validator(
        dict(schema), format_checker=Draft202012Validator.FORMAT_CHECKER, registry=Registry()
    )
    _budget.steps, _budget.deadline = 0, time.monotonic() + MAX_SECONDS
    found = []
    try:
        for error in validator.iter_errors(data):
            path = "".join("/" + _escaped(part) for part in error.absolute_path)
            found.append(FieldError(pointer + path, str(error.validator), error.message[:500]))
            if len(found) == MAX_PROBLEMS:
                break
    except referencing.exceptions.Unresolvable as error:
        raise Unresolvable(f"A reference of the schema leads nowhere: {str(error)[:200]}") from None
    except RecursionError:
        raise TooComplex("The schema or the data are nested too deep.") from None
    return found


def _escaped(part: Any) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _check_references(schema: Any) -> None:
    """Refuse references to other documents, and patterns that may take for ever, wherever they stand."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            for name, value in one.items():
                if name in ("$ref", "$dynamicRef") and isinstance(value, str) and not value.startswith("#"):
                    raise Unresolvable(f"A schema refers to itself only, not to {value[:100]!r}.")
                if name == "pattern" and isinstance(value, str):
                    _safe(value)
                waiting.append(value)
        elif isinstance(one, list):
            waiting += one
