"""A place in a JSON text of any length: values are parsed one at a time, the rest of the text is not held.

The parser is the standard library's; this only finds where the next value begins. Numbers stay exact, names
that occur twice in one object are refused, NaN and Infinity are no JSON (RFC 8259).
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn, TextIO

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.flatten import number_of

_CHUNK = 262_144
_SPACE = re.compile(r"[ \t\r\n]*")
_STRUCTURE = re.compile(r'["\[\]{}]')
_QUOTE = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL)


class NotJSON(ValueError):
    """A value that the parser took but that is not what the file may hold."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise NotJSON(f"the field “{name[:80]}” occurs twice in one object")
            seen.add(name)
    return found


def _constant(name: str) -> NoReturn:
    raise NotJSON(f"{name} is no number in JSON")


def _integer(text: str) -> Any:
    return int(text) if len(text) < 4_000 else number_of(text)


decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=number_of, parse_int=_integer, parse_constant=_constant
)


class Cursor:
    """Reads forward through a text file. Raises FormatError where it is no JSON, with the line."""

    def __init__(self, text: TextIO, *, max_value: int) -> None:
        self._text = text
        self._max = max_value
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._counted = 0
        self._ended = False

    @property
    def line(self) -> int:
        """The line, from 1, on which the cursor stands."""
        self._line += self._buffer.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _more(self, least: int = _CHUNK) -> bool:
        """Read on; whether there was more."""
        if self._ended:
            return False
        _ = self.line  # counted before the text is thrown away
        chunk = self._text.read(max(_CHUNK, least))
        self._ended = not chunk
        self._buffer = self._buffer[self._at :] + chunk
        self._at = self._counted = 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is not white space, without passing it; empty at the end."""
        while True:
            match = _SPACE.match(self._buffer, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if not self._more():
                return ""

    def take(self, expected: str) -> None:
        """Pass a character that must come next."""
        if self.peek() != expected:
            self.fail(f"“{expected}” is expected")
        self._at += 1

    def value(self) -> Any:
        """The next value, whole."""
        if not self.peek():
            self.fail("the file ends where a value is expected")
        while True:
            try:
                value, end = decoder.raw_decode(self._buffer, self._at)
            except NotJSON as error:
                self.fail(str(error))
            except RecursionError:
                self.fail("the value is nested too deep")
            except json.JSONDecodeError as error:
                if self._grow():
                    continue
                self._at = min(error.pos, len(self._buffer))
                self.fail(error.msg[:1].lower() + error.msg[1:])
            else:
                # A number that ends where the text read so far ends may go on.
                if end < len(self._buffer) or not self._grow():
                    self._at = end
                    return value

    def _grow(self) -> bool:
        held = len(self._buffer) - self._at
        if self._ended:
            return False
        if held > self._max:
            self.fail(f"no value of more than {self._max:,} characters is read, but one begins here")
        return self._more(held)

    def skip(self) -> None:
        """Pass the next value without holding it."""
        first = self.peek()
        if not first or first not in "[{":
            self.value()
            return
        depth = 0
        while True:
            match = _STRUCTURE.search(self._buffer, self._at)
            if match is None:
                self._at = len(self._buffer)
                if not self._more():
                    self.fail("the file ends within a value")
                continue
            self._at = match.end()
            mark = match.group()
            if mark == '"':
                self._skip_string()
            else:
                depth += 1 if mark in "[{" else -1
                if not depth:
                    return

    def _skip_string(self) -> None:
        while True:
            match = _QUOTE.match(self._buffer, self._at)
            if match is not None:
                self._at = match.end()
                return
            if not self._grow():
                self.fail("a text is opened and never closed")

    def fail(self, reason: str) -> NoReturn:
        """Raise the FormatError that names the line."""
        line = self.line
        raise FormatError(f"The file is no JSON from line {line:,} on: {reason}.", code="not_json", line=line)
