"""Checking documents against a JSON Schema, with sentences that name the place and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import ValidationError

from apps.connectors.engine import template, times
from apps.connectors.engine.errors import ConfigurationError
from apps.connectors.engine.paths import check

_formats = FormatChecker(formats=())


@_formats.checks("jmespath")
def _is_jmespath(value: object) -> bool:
    return not isinstance(value, str) or check(value) is None


@_formats.checks("template", raises=ConfigurationError)
def _is_template(value: object) -> bool:
    template.paths(value)
    return True


@_formats.checks("moment")
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or times.parse(value) is not None


@_formats.checks("regex", raises=re.error)
def _is_regex(value: object) -> bool:
    return not isinstance(value, str) or bool(re.compile(value))


@_formats.checks("http_url")
def _is_http_url(value: object) -> bool:
    return not isinstance(value, str) or bool(re.match(r"https?://[^\s/?#@]+(/[^\s?#]*)?\Z", value))


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document. `path` are the keys and indexes that lead there."""

    path: tuple[str | int, ...]
    code: str
    message: str

    @property
    def pointer(self) -> str:
        """RFC 6901."""
        return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in self.path)

    @property
    def place(self) -> str:
        """As people write it: `streams[0].paginate.kind`."""
        text = ""
        for part in self.path:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
        return text

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.path else self.message


def _words(items: Iterable[Any]) -> str:
    return ", ".join(str(item) for item in items)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, str) else f"“{value}”"
    return text if len(text) <= 60 else text[:59] + "…"


_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "null": "null",
}


def _known(error: ValidationError) -> Mapping[str, Any]:
    schema: Any = error.schema
    return schema.get("properties", {}) if isinstance(schema, Mapping) else {}


def _format_message(error: ValidationError) -> str:
    value: Any = error.instance
    form: Any = error.validator_value
    if form == "jmespath":
        return f"{_shown(value)} is not a JMESPath expression: {check(value)}."
    if form == "template":
        return str(error.cause) if error.cause else f"{_shown(value)} is not a template."
    if form == "moment":
        return f"{_shown(value)} is not a point in time such as 2026-01-31T00:00:00Z."
    if form == "regex":
        return f"{_shown(value)} is not a regular expression."
    if form == "http_url":
        return (
            f"{_shown(value)} is not an address such as https://api.example.com/v2 (without query or login)."
        )
    return f"{_shown(value)} is not a valid {form}."


def _sentence(error: ValidationError) -> str:
    kind = error.validator
    wanted: Any = error.validator_value
    value: Any = error.instance
    match kind:
        case "type":
            types = [wanted] if isinstance(wanted, str) else list(wanted)
            return f"must be {' or '.join(_TYPES[t] for t in types)}, not {_shown(value)}."
        case "enum":
            return f"{_shown(value)} is not one of: {_words(wanted)}."
        case "const":
            return f"must be {_shown(wanted)}."
        case "pattern":
            if wanted.startswith("^(?!"):
                return f"{_shown(value)} must be a path below the base URL, not a whole address."
            return f"{_shown(value)} does not fit the pattern {wanted}."
        case "minLength":
            return "must not be empty." if wanted == 1 else f"must have at least {wanted} characters."
        case "maxLength":
            return f"must have at most {wanted} characters."
        case "minimum":
            return f"must be at least {wanted}."
        case "maximum":
            return f"must be at most {wanted}."
        case "exclusiveMinimum":
            return f"must be more than {wanted}."
        case "minItems":
            return f"must have at least {wanted} item{'s' if wanted != 1 else ''}."
        case "maxItems":
            return f"must have at most {wanted} items."
        case "uniqueItems":
            return "lists something twice."
        case "minProperties":
            return "must not be empty."
        case "format":
            return _format_message(error)
        case "anyOf":
            needed = [_words(option["required"]) for option in wanted if "required" in option]
            return f"needs one of: {_words(needed)}." if needed else "has none of the allowed forms."
        case _:
            return f"{error.message}."


def _problems(error: ValidationError) -> Iterator[Problem]:
    path = tuple(error.absolute_path)
    wanted: Any = error.validator_value
    value: Any = error.instance
    if error.validator == "required":
        for name in wanted:
            if name not in value:
                yield Problem((*path, name), "required", "is required.")
    elif error.validator == "dependentRequired":
        for name, others in wanted.items():
            for other in others if name in value else ():
                if other not in value:
                    yield Problem((*path, other), "required", f"is required together with {name}.")
    elif error.validator == "additionalProperties" and wanted is False:
        known = _known(error)
        for name in value:
            if name not in known:
                yield Problem((*path, name), "unknown", f"is not known here. Known are: {_words(known)}.")
    elif error.validator == "propertyNames" or (error.parent and error.parent.validator == "propertyNames"):
        yield Problem(path, "invalid", _sentence(error))
    else:
        code = "invalid" if error.validator in ("format", "anyOf", "pattern") else str(error.validator)
        yield Problem(path, code, _sentence(error))


def problems(document: Any, schema: Mapping[str, Any]) -> list[Problem]:
    """Everything wrong with `document`, in the order of its places, each thing once."""
    validator = Draft202012Validator(schema, format_checker=_formats)
    found: dict[tuple[Any, ...], Problem] = {}
    for error in validator.iter_errors(document):
        for problem in _problems(error):
            found.setdefault((problem.path, problem.message), problem)
    return sorted(found.values(), key=lambda p: [str(part) for part in p.path])
