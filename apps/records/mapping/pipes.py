"""Pipes of transforms, as JSON and as text.

JSON: `["trim", {"name": "date", "format": "%d.%m.%Y"}]`. Text: `trim | date('%d.%m.%Y')`; arguments stand in
the order of the transform's parameters or carry their names, as in `number(locale='de')`. Values are texts in
single or double quotes, numbers, true, false, null, lists in [ ] and objects in { }.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from apps.records.mapping.transforms import TRANSFORMS, Parameter, Transform

MAX_STEPS = 30
MAX_TEXT = 20_000
_MAX_DEPTH = 8


class PipeRefused(ValueError):
    """The pipe is not valid; `code` and the text say why, `step` which of its transforms (from 0)."""

    def __init__(self, code: str, message: str, step: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.step = step


@dataclass(frozen=True, slots=True)
class Step:
    """One transform of a pipe with the parameters given to it."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def transform(self) -> Transform:
        return TRANSFORMS[self.name]


Pipe = tuple[Step, ...]


def read_pipe(given: str | Sequence[Any] | None) -> Pipe:
    """The pipe from its JSON or text form. Raises PipeRefused."""
    if not given:
        return ()
    pipe = _parse(given) if isinstance(given, str) else _from_list(given)
    if len(pipe) > MAX_STEPS:
        raise PipeRefused("too_many_transforms", f"A pipe has at most {MAX_STEPS} transforms.", MAX_STEPS)
    return pipe


def pipe_to_list(pipe: Pipe) -> list[Any]:
    """The JSON form."""
    return [{"name": step.name, **step.parameters} if step.parameters else step.name for step in pipe]


def pipe_to_text(pipe: Pipe) -> str:
    """The text form."""
    return " | ".join(_step_text(step) for step in pipe)


def _from_list(given: Sequence[Any]) -> Pipe:
    steps: list[Step] = []
    for number, item in enumerate(given):
        if isinstance(item, Step):
            step = item
        elif isinstance(item, str):
            step = Step(item.strip())
        elif isinstance(item, Mapping) and isinstance(item.get("name"), str):
            step = Step(item["name"], {str(key): value for key, value in item.items() if key != "name"})
        else:
            raise PipeRefused(
                "invalid_transform", "A transform is a name, or an object with a name and parameters.", number
            )
        _check(step, number)
        steps.append(step)
    return tuple(steps)


def _check(step: Step, number: int) -> None:
    if step.name not in TRANSFORMS:
        raise PipeRefused("unknown_transform", f"There is no transform “{step.name[:60]}”.", number)
    try:
        step.transform.arguments(step.parameters)
    except ValueError as problem:
        raise PipeRefused("invalid_parameter", str(problem), number) from None


_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>[|(),=\[\]{}:])
    | (?P<end>$)
    )""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_WORDS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(slots=True)
class _Reader:
    """Reads the text form, token by token."""

    text: str
    position: int = 0
    kind: str = ""
    token: str = ""
    step: int = 0

    def advance(self) -> None:
        found = _TOKEN.match(self.text, self.position)
        if found is None:
            rest = self.text[self.position :].strip()[:20]
            raise self.refuse(f"“{rest}” was not expected")
        self.kind = str(found.lastgroup)
        self.token = found[self.kind]
        self.position = found.end()

    def refuse(self, what: str) -> PipeRefused:
        return PipeRefused(
            "invalid_pipe", f"The transforms cannot be read: {what} (character {self.position}).", self.step
        )

    def at(self, mark: str) -> bool:
        return self.kind == "mark" and self.token == mark

    def take(self, mark: str) -> bool:
        if not self.at(mark):
            return False
        self.advance()
        return True

    def need(self, mark: str) -> None:
        if not self.take(mark):
            raise self.refuse(f"“{mark}” is missing")

    def value(self, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise self.refuse("the values are nested too deeply")
        kind, token = self.kind, self.token
        if self.take("["):
            return self._list(depth)
        if self.take("{"):
            return self._object(depth)
        if kind == "text":
            self.advance()
            return _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), token[1:-1])
        if kind == "number":
            self.advance()
            return float(token) if "." in token else int(token[:30])
        if kind == "name" and token.lower() in _WORDS:
            self.advance()
            return _WORDS[token.lower()]
        raise self.refuse(f"“{token}” is not a value; put texts in quotes" if token else "a value is missing")

    def _list(self, depth: int) -> list[Any]:
        values: list[Any] = []
        while not self.take("]"):
            if values:
                self.need(",")
            values.append(self.value(depth + 1))
        return values

    def _object(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not self.take("}"):
            if values:
                self.need(",")
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise self.refuse("the keys of an object must be texts in quotes")
            self.need(":")
            values[key] = self.value(depth + 1)
        return values


def _parse(text: str) -> Pipe:
    if len(text) > MAX_TEXT:
        raise PipeRefused("invalid_pipe", f"The text of the transforms is longer than {MAX_TEXT} characters.")
    if not text.strip():
        return ()
    reader = _Reader(text)
    reader.advance()
    steps: list[Step] = []
    while True:
        reader.step = len(steps)
        if reader.kind != "name":
            raise reader.refuse("the name of a transform is missing")
        name = reader.token
        reader.advance()
        parameters = _arguments(reader, name) if reader.take("(") else {}
        step = Step(name, parameters)
        _check(step, len(steps))
        steps.append(step)
        if reader.kind == "end":
            return tuple(steps)
        reader.need("|")


def _arguments(reader: _Reader, name: str) -> dict[str, Any]:
    known = TRANSFORMS.get(name)
    if known is None:
        raise PipeRefused("unknown_transform", f"There is no transform “{name[:60]}”.", reader.step)
    given: dict[str, Any] = {}
    while not reader.take(")"):
        if given:
            reader.need(",")
        if not _at_parameter_name(reader):
            _place(reader, given, known.parameters, reader.value())
            continue
        parameter = reader.token
        reader.advance()
        reader.need("=")
        if parameter in given:
            raise reader.refuse(f"the parameter {parameter} is given twice")
        given[parameter] = reader.value()
    return given


def _at_parameter_name(reader: _Reader) -> bool:
    """Whether a name with "=" behind it comes; `true` may be one, as in boolean(true=['ja'])."""
    return reader.kind == "name" and reader.text[reader.position :].lstrip().startswith("=")


def _place(reader: _Reader, given: dict[str, Any], places: Sequence[Parameter], value: Any) -> None:
    """Put a value without a name where it belongs."""
    for parameter in places:
        if parameter.name not in given:
            given[parameter.name] = value
            return
        if parameter.rest:
            held = given[parameter.name]
            given[parameter.name] = [*held, value] if isinstance(held, list) else [held, value]
            return
    raise reader.refuse("there are more values than the transform has parameters")


def _step_text(step: Step) -> str:
    if not step.parameters:
        return step.name
    arguments: list[str] = []
    positional = True
    remaining = dict(step.parameters)
    for parameter in step.transform.parameters:
        if parameter.name not in remaining:
            positional = False
            continue
        value = remaining.pop(parameter.name)
        written = value_text(value)
        arguments.append(written if positional else f"{parameter.name}={written}")
        positional = positional and not parameter.rest
    return f"{step.name}({', '.join(arguments)})"


def value_text(value: Any) -> str:
    """A value in the notation of the text form."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float | Decimal):
        return format(Decimal(repr(value)) if isinstance(value, float) else value, "f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(item) for item in value)}]"
    if isinstance(value, Mapping):
        entries = (f"{value_text(str(key))}: {value_text(item)}" for key, item in value.items())
        return f"{{{', '.join(entries)}}}"
    text = str(value).replace("\\", "\\\\").replace("'", "\\'")
    for letter, character in _ESCAPES.items():
        text = text.replace(character, f"\\{letter}")
    return f"'{text}'"
