"""Declared query parameters: what a list may be asked, checked, documented; everything else is an error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive

from apps.kernel.errors import BadRequest, FieldError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Parameter:
    """One query parameter.

    `type` is string, integer, boolean or date-time. With `column` the base class filters by it (`column` is a
    Django lookup such as `status` or `created_at__gte`); without, the view reads it from `self.parameters`.
    """

    name: str
    description: str = ""
    type: str = "string"
    choices: tuple[str, ...] = ()
    column: str = ""
    default: Any = None

    def parse(self, text: str) -> Any:
        """The value of a text. Raises ValueError with a sentence."""
        if "\x00" in text:
            raise ValueError("It must not contain U+0000.")
        if self.choices and text not in self.choices:
            raise ValueError(f"It must be one of {', '.join(self.choices)}.")
        if self.type == "boolean":
            if text.lower() not in _BOOLEANS:
                raise ValueError("It must be true or false.")
            return _BOOLEANS[text.lower()]
        if self.type == "integer":
            if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 18:
                raise ValueError("It must be a whole number.")
            return int(text)
        if self.type == "date-time":
            return _moment(text)
        return text


def _moment(text: str) -> Any:
    try:
        # A "+" in a query string arrives as a space unless the client encoded it.
        moment = parse_datetime(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        moment = None
    if moment is None or is_naive(moment):
        raise ValueError("It must be an RFC 3339 timestamp with a time zone, such as 2026-01-31T12:00:00Z.")
    try:
        # Nothing happened before; and ids, which hold moments, begin here.
        return max(moment.astimezone(UTC), _EPOCH)
    except OverflowError:
        raise ValueError("It must lie between the years 1970 and 9999.") from None


def declare(items: Iterable[str | Parameter]) -> dict[str, Parameter]:
    """Parameters by name; a bare string declares a text parameter."""
    parameters = [Parameter(item) if isinstance(item, str) else item for item in items]
    return {parameter.name: parameter for parameter in parameters}


def read(query: Mapping[str, Any], declared: Mapping[str, Parameter], *, also: str = "") -> dict[str, Any]:
    """The values of the given parameters and the defaults of the others.

    Raises BadRequest that names each unknown, repeated or malformed parameter. `also` completes the sentence
    that lists what is allowed (dynamic filters).
    """
    values = {p.name: p.default for p in declared.values() if p.default is not None}
    if not query:
        return values
    errors = []
    for name in query:
        parameter = declared.get(name)
        pointer = f"?{name[:60]}"
        if parameter is None:
            allowed = ", ".join(sorted(declared)) or "none"
            detail = f"There is no query parameter “{name[:60]}” here. Allowed: {allowed}{also}."
            errors.append(FieldError(pointer, "unknown_parameter", detail))
            continue
        given = query.getlist(name) if hasattr(query, "getlist") else [query[name]]
        if len(given) > 1:
            errors.append(FieldError(pointer, "repeated", f"“{name}” is given {len(given)} times."))
            continue
        try:
            values[name] = parameter.parse(given[0])
        except ValueError as exc:
            errors.append(FieldError(pointer, "invalid", f"“{name}”: {exc}"))
    if errors:
        raise BadRequest(" ".join(e.detail for e in errors), errors=errors, code=errors[0].code)
    return values
