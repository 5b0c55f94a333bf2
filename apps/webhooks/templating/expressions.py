"""Expressions: paths, literals, comparisons, `and or not contains`, and filters after `|`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from apps.webhooks.filters import number_of
from apps.webhooks.templating.errors import TemplateInvalid
from apps.webhooks.templating.operations import FILTERS, text_of
from apps.webhooks.templating.scope import Scope

Expression = Callable[[Scope], Any]

MAX_EXPRESSION = 1000
MAX_NESTING = 10
_TOKEN = re.compile(
    r"\s*(?:(?P<text>\"(?:[^\"\\]|\\.){0,900}\"|'(?:[^'\\]|\\.){0,900}')"
    r"|(?P<number>-?[0-9]{1,18}(?:\.[0-9]{1,18})?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]{0,99}(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,99}){0,20})"
    r"|(?P<sign>==|!=|<=|>=|[<>|:,()]))",
    re.ASCII,
)
_WORDS = {"true": True, "false": False, "null": None}
_SIGNS = ("==", "!=", "<", "<=", ">", ">=", "contains", "in")


def parse_expression(source: str) -> Expression:
    """The function that computes an expression. Raises TemplateInvalid."""
    reader = _Reader(source)
    found = reader.either(0)
    if not reader.ended:
        raise TemplateInvalid(f"“{reader.rest()}” is not understood in “{source.strip()[:60]}”.")
    return found


def parse_path(source: str) -> Expression:
    """The function that looks a path such as data.lines up. Raises TemplateInvalid for anything else."""
    reader = _Reader(source)
    kind, value = reader.take()
    if kind != "name" or not reader.ended:
        raise TemplateInvalid(f"A loop goes through a list of the message, not through “{source[:60]}”.")
    return _path(value)


class _Reader:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_EXPRESSION:
            raise TemplateInvalid(f"An expression has at most {MAX_EXPRESSION:,} characters.")
        self.tokens: list[tuple[str, str]] = []
        self.at = 0
        position, end = 0, len(source.rstrip())
        while position < end:
            match = _TOKEN.match(source, position)
            if match is None or match.end() == position:
                raise TemplateInvalid(f"“{source[position : position + 20].strip()}” is not understood.")
            kind = str(match.lastgroup)
            self.tokens.append((kind, match[kind]))
            position = match.end()

    @property
    def ended(self) -> bool:
        return self.at >= len(self.tokens)

    def rest(self) -> str:
        return " ".join(value for _, value in self.tokens[self.at : self.at + 5])[:40]

    def take(self) -> tuple[str, str]:
        if self.ended:
            raise TemplateInvalid("An expression ends too early.")
        self.at += 1
        return self.tokens[self.at - 1]

    def take_if(self, *values: str) -> str:
        """The next token if it is one of these words or signs."""
        if not self.ended and self.tokens[self.at][0] != "text" and self.tokens[self.at][1] in values:
            self.at += 1
            return self.tokens[self.at - 1][1]
        return ""

    def either(self, depth: int) -> Expression:
        if depth > MAX_NESTING:
            raise TemplateInvalid("An expression is nested too deep.")
        parts = [self.both(depth)]
        while self.take_if("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else lambda scope: any(truth(part(scope)) for part in parts)

    def both(self, depth: int) -> Expression:
        parts = [self.negated(depth)]
        while self.take_if("and"):
            parts.append(self.negated(depth))
        return parts[0] if len(parts) == 1 else lambda scope: all(truth(part(scope)) for part in parts)

    def negated(self, depth: int) -> Expression:
        if self.take_if("not"):
            if depth > MAX_NESTING:
                raise TemplateInvalid("An expression is nested too deep.")
            inner = self.negated(depth + 1)
            return lambda scope: not truth(inner(scope))
        return self.compared(depth)

    def compared(self, depth: int) -> Expression:
        left = self.piped(depth)
        sign = self.take_if(*_SIGNS)
        if not sign:
            return left
        right = self.piped(depth)
        return lambda scope: _compare(sign, left(scope), right(scope))

    def piped(self, depth: int) -> Expression:
        value = self.primary(depth)
        while self.take_if("|"):
            value = self._filtered(value, depth)
        return value

    def _filtered(self, value: Expression, depth: int) -> Expression:
        kind, name = self.take()
        known = FILTERS.get(name) if kind == "name" else None
        if known is None:
            raise TemplateInvalid(
                f"There is no filter “{name[:40]}”; there are {', '.join(sorted(FILTERS))}."
            )
        arguments: list[Expression] = []
        if self.take_if(":"):
            arguments.append(self.primary(depth))
            while self.take_if(","):
                arguments.append(self.primary(depth))
        if not known.least <= len(arguments) <= known.most:
            raise TemplateInvalid(f"The filter “{name}” takes {known.takes}.")

        def apply(scope: Scope) -> Any:
            scope.step()
            return known.apply(value(scope), *(argument(scope) for argument in arguments))

        return apply

    def primary(self, depth: int) -> Expression:
        kind, value = self.take()
        if kind == "text":
            literal: Any = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.S)
            return lambda scope: literal
        if kind == "number":
            number = float(value) if "." in value else int(value)
            return lambda scope: number
        if kind == "name":
            if value in _WORDS:
                word = _WORDS[value]
                return lambda scope: word
            return _path(value)
        if value == "(":
            inner = self.either(depth + 1)
            if not self.take_if(")"):
                raise TemplateInvalid("A parenthesis is not closed.")
            return inner
        raise TemplateInvalid(f"“{value}” stands where a value is expected.")


def _path(source: str) -> Expression:
    first, *steps = source.split(".")
    for step in (first, *steps):
        if step.startswith("__"):
            raise TemplateInvalid(f"There is nothing called {step[:40]}: names are keys of the message.")

    def look_up(scope: Scope) -> Any:
        scope.step()
        value = scope.names.get(first)
        for step in steps:
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and step.isdigit():
                value = value[int(step)] if int(step) < len(value) else None
            else:
                return None
        return value

    return look_up


def truth(value: Any) -> bool:
    """Null, false, nought and what is empty are false."""
    return bool(value)


def _compare(sign: str, left: Any, right: Any) -> bool:
    if sign == "in":
        sign, left, right = "contains", right, left
    if sign == "contains":
        if isinstance(left, str):
            return isinstance(right, str) and right in left
        return isinstance(left, (list, Mapping)) and _plain(right) and right in left
    first, second = number_of(left), number_of(right)
    a: Any
    b: Any
    if first is not None and second is not None:
        a, b = first, second
    elif sign in ("==", "!="):
        return (type(left) is type(right) and left == right) is (sign == "==")
    elif isinstance(left, str) and isinstance(right, str):
        a, b = left, right
    else:
        return False
    if sign in ("==", "!="):
        return (a == b) is (sign == "==")
    if sign in ("<", "<="):
        return bool(a < b or (sign == "<=" and a == b))
    return bool(a > b or (sign == ">=" and a == b))


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))


__all__ = ["Expression", "parse_expression", "parse_path", "text_of", "truth"]
