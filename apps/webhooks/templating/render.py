"""Reading a template's blocks and filling them, by the rules of its content type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus
from xml.parsers import expat
from xml.sax.saxutils import escape

import orjson

from apps.webhooks.templating.errors import TemplateFailed, TemplateInvalid
from apps.webhooks.templating.expressions import Expression, parse_expression, parse_path, truth
from apps.webhooks.templating.operations import json_of, text_of
from apps.webhooks.templating.scope import Scope

JSON, XML, TEXT, FORM = (
    "application/json", "application/xml", "text/plain", "application/x-www-form-urlencoded",
)  # fmt: skip
CONTENT_TYPES = (JSON, XML, TEXT, FORM)
MAX_SOURCE = 32 * 1024
MAX_BLOCKS = 1000
MAX_DEPTH = 8

Part = Callable[[Scope], None]
_PIECE = re.compile(r"\{\{(.*?)\}\}|\{%(.*?)%\}|\{#.*?#\}", re.S)
_LOOP = re.compile(r"([a-z_][A-Za-z0-9_]{0,39})\s+in\s+(\S{1,300})", re.ASCII)
_WORDS = ("if", "elif", "else", "endif", "for", "endfor")
_ROOTS = ("id", "type", "timestamp", "data", "metadata", "loop", "true", "false", "null", "and", "or", "not")
# What XML 1.0 cannot say at all (2.2).
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Template:
    """A template that was understood; `render` fills it with a message."""

    def __init__(self, parts: list[Part], content_type: str) -> None:
        self._parts = parts
        self.content_type = content_type

    def render(self, names: Mapping[str, Any]) -> bytes:
        """The bytes for a message. Raises TemplateFailed."""
        scope = Scope(names)
        try:
            for part in self._parts:
                part(scope)
        except RecursionError:
            raise TemplateFailed("The message is nested too deep for the template.") from None
        text = "".join(scope.out)
        try:
            body = text.encode()
        except UnicodeEncodeError:
            raise TemplateFailed("The template makes half of a surrogate pair of this message.") from None
        _check(body, self.content_type)
        return body


def _check(body: bytes, content_type: str) -> None:
    if content_type == JSON:
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise TemplateFailed(f"What the template makes of this message is not JSON: {error}.") from None
    elif content_type == XML:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = _no_doctype
        try:
            parser.Parse(body, True)
        except expat.ExpatError as error:
            raise TemplateFailed(f"What the template makes of this message is not XML: {error}.") from None


def _no_doctype(*_: Any) -> None:
    raise TemplateFailed("The XML of a template has no document type declaration.")


@lru_cache(maxsize=512)
def compile_template(source: str, content_type: str) -> Template:
    """Read a template for one of CONTENT_TYPES. Raises TemplateInvalid."""
    if content_type not in CONTENT_TYPES:
        raise TemplateInvalid(f"A template makes one of {', '.join(CONTENT_TYPES)}.")
    if not source.strip():
        raise TemplateInvalid("Write the template.")
    if len(source) > MAX_SOURCE:
        raise TemplateInvalid(f"A template has at most {MAX_SOURCE:,} characters.")
    reader = _Reader(source, content_type)
    parts = reader.block((), 0)
    return Template(parts, content_type)


class _Reader:
    """Goes through the pieces of a template; `inside` says whether a JSON text is open at this point."""

    def __init__(self, source: str, content_type: str) -> None:
        self.content_type = content_type
        self.inside = False
        self.pieces: list[tuple[str, str]] = []
        self.at = 0
        position = 0
        for match in _PIECE.finditer(source):
            self._literal(source[position : match.start()])
            if match[1] is not None:
                self.pieces.append(("value", match[1]))
            elif match[2] is not None:
                self.pieces.append(("block", match[2].strip()))
            position = match.end()
        self._literal(source[position:])
        if len(self.pieces) > MAX_BLOCKS:
            raise TemplateInvalid(f"A template has at most {MAX_BLOCKS:,} pieces.")

    def _literal(self, text: str) -> None:
        for mark in ("{{", "{%", "{#"):
            if mark in text:
                raise TemplateInvalid(f"“{text[text.index(mark) :][:40]}” is opened and not closed.")
        if text:
            self.pieces.append(("text", text))

    def block(self, ends: tuple[str, ...], depth: int) -> list[Part]:
        """The parts up to one of the words in `ends`, which is left to be read; to the end without any."""
        if depth > MAX_DEPTH:
            raise TemplateInvalid(f"Blocks are nested at most {MAX_DEPTH} deep.")
        began_inside = self.inside
        parts: list[Part] = []
        while self.at < len(self.pieces):
            kind, text = self.pieces[self.at]
            if kind == "block":
                word, _, rest = text.partition(" ")
                if word in ends:
                    self._whole(began_inside)
                    return parts
                self.at += 1
                parts.append(self._statement(word, rest.strip(), depth))
                continue
            self.at += 1
            parts.append(self._put(text) if kind == "text" else self._value(text))
        if ends:
            raise TemplateInvalid(f"“{ends[-1]}” is missing.")
        self._whole(began_inside)
        return parts

    def _whole(self, began_inside: bool) -> None:
        if self.content_type == JSON and self.inside is not began_inside:
            raise TemplateInvalid("A text in quotes must begin and end in the same block.")

    def _statement(self, word: str, rest: str, depth: int) -> Part:
        if word == "if":
            return self._if(rest, depth)
        if word == "for":
            return self._for(rest, depth)
        if word in _WORDS:
            raise TemplateInvalid(f"“{word}” has no beginning.")
        raise TemplateInvalid(f"There is no block “{word[:40]}”; there are if, elif, else and for.")

    def _if(self, condition: str, depth: int) -> Part:
        branches: list[tuple[Expression | None, list[Part]]] = []
        test: Expression | None = parse_expression(condition)
        while True:
            branches.append((test, self.block(("elif", "else", "endif"), depth + 1)))
            word, _, rest = self.pieces[self.at][1].partition(" ")
            self.at += 1
            if word == "endif":
                break
            if test is None:
                raise TemplateInvalid(f"“{word}” comes after “else”.")
            test = parse_expression(rest) if word == "elif" else None

        def run(scope: Scope) -> None:
            scope.step()
            for condition, parts in branches:
                if condition is None or truth(condition(scope)):
                    for part in parts:
                        part(scope)
                    return

        return run

    def _for(self, rest: str, depth: int) -> Part:
        match = _LOOP.fullmatch(rest)
        if match is None:
            raise TemplateInvalid("A loop reads like: for line in data.lines.")
        name, items = match[1], parse_path(match[2])
        if name in _ROOTS or name.startswith("__"):
            raise TemplateInvalid(f"“{name}” is taken: call what the loop goes through otherwise.")
        parts = self.block(("endfor",), depth + 1)
        self.at += 1

        def run(scope: Scope) -> None:
            found = items(scope)
            if not isinstance(found, list):
                return
            outer = scope.names
            scope.names = dict(outer)
            try:
                for n, item in enumerate(found):
                    scope.step()
                    scope.names[name] = item
                    scope.names["loop"] = {"index": n + 1, "first": n == 0, "last": n == len(found) - 1}
                    for part in parts:
                        part(scope)
            finally:
                scope.names = outer

        return run

    def _put(self, text: str) -> Part:
        if self.content_type == JSON:
            self.inside = _ends_inside(text, self.inside)

        def run(scope: Scope) -> None:
            scope.step()
            scope.write(text)

        return run

    def _value(self, source: str) -> Part:
        value = parse_expression(source)
        shown = _SHOWN[self.content_type, self.inside]

        def run(scope: Scope) -> None:
            scope.step()
            scope.write(shown(value(scope)))

        return run


def _ends_inside(text: str, inside: bool) -> bool:
    """Whether a JSON text is open after these characters."""
    for mark in re.findall(r'\\.|"', text, re.S):
        if mark == '"':
            inside = not inside
    return inside


def _in_quotes(value: Any) -> str:
    return json.dumps(text_of(value), ensure_ascii=False)[1:-1]


def _in_xml(value: Any) -> str:
    return escape(_NOT_XML.sub("\ufffd", text_of(value)), {'"': "&quot;", "'": "&apos;"})


_SHOWN: dict[tuple[str, bool], Callable[[Any], str]] = {
    (JSON, False): json_of,
    (JSON, True): _in_quotes,
    (XML, False): _in_xml,
    (TEXT, False): text_of,
    (FORM, False): lambda value: quote_plus(text_of(value)),
}
