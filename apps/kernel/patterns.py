"""Regular expressions that people write, made safe to run on other people's data.

Python's engine backtracks: `(a+)+b` needs time that doubles with each character. So a pattern runs only if
its time is bounded, which is decided from its structure before it ever runs:

- It has at most 300 characters and no back-references or look-arounds.
- It is *unambiguous* (each character read leaves only one way to go on; Brüggemann-Klein and Wood, 1998):
  then there is nothing to backtrack into, and time is linear. `[a-z]+(-[a-z]+)*` is such a pattern.
- Else it must not nest repetitions, and its worst case, F·nᵏ/k! steps for a text of n characters, k unbounded
  repetitions and F other choices, bounds n: `max_input` is the longest text that stays below two million
  steps (some 20 ms). Longer texts are refused, not tried; patterns that leave less than 32 characters too.

Searching starts at every character, which adds one to k.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

MAX_PATTERN = 300
MAX_INPUT = 10_000
MIN_INPUT = 32
_MAX_STEPS = 2_000_000
_MAX_POSITIONS = 1_000
_LARGE_REPEAT = 8
_NON_ASCII = 1 << 128
_ALL = (1 << 129) - 1
_parse = re._parser.parse  # type: ignore[attr-defined]  # the only door to the pattern's structure


class PatternRefused(ValueError):
    """The pattern is not valid or not safe; the text says why, as a sentence."""


@dataclass(frozen=True, slots=True)
class SafePattern:
    """A pattern whose time is bounded for texts of at most `max_input` characters."""

    source: str
    regex: re.Pattern[str]
    max_input: int


@lru_cache(maxsize=512)
def compile_pattern(source: str, *, search: bool = False) -> SafePattern:
    """Check and compile a pattern for matching whole texts, or with `search` for finding and replacing.

    Raises PatternRefused.
    """
    if len(source) > MAX_PATTERN:
        raise PatternRefused(f"The pattern is longer than {MAX_PATTERN} characters.")
    try:
        tree = _parse(source)
        regex = re.compile(source)
    except (re.error, OverflowError, RecursionError) as problem:
        raise PatternRefused(f"The pattern is not a regular expression: {problem}.") from None
    if regex.flags & ~(re.UNICODE | re.IGNORECASE):
        raise PatternRefused("The pattern uses flags; only (?i) at the start is supported.")
    walk = _Walk(ignore_case=bool(regex.flags & re.IGNORECASE))
    walk.sequence(tree)
    cost = _cost(tree)
    if walk.ambiguous and cost.nested:
        raise PatternRefused(
            "The pattern repeats something that itself repeats and can match in more than one way, which can "
            "take for ever on some texts. Write it without one repetition inside another."
        )
    choices, loops = (1, 1) if not walk.ambiguous else (cost.choices, cost.loops)
    longest = _longest(choices, loops + search)
    if longest < MIN_INPUT:
        raise PatternRefused(
            "The pattern has so many overlapping repetitions and options that it can take for ever on some "
            "texts. Replace some of them by exact characters."
        )
    return SafePattern(source, regex, longest)


def _longest(choices: int, loops: int) -> int:
    if choices > _MAX_STEPS:
        return 0
    if not loops:
        return MAX_INPUT
    return min(MAX_INPUT, int((_MAX_STEPS * math.factorial(loops) / choices) ** (1 / loops)))


_REPEATS = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")


@dataclass(slots=True)
class _Cost:
    """Worst case of a backtracking match: `choices` · nˡᵒᵒᵖˢ; `nested` if a repetition holds a choice."""

    choices: int = 1
    loops: int = 0
    nested: bool = False


def _cost(tree: Sequence[tuple[Any, Any]]) -> _Cost:
    total = _Cost()
    for op, argument in tree:
        part = _cost_of(str(op), argument)
        total.choices = min(total.choices * part.choices, 10 * _MAX_STEPS)
        total.loops += part.loops
        total.nested |= part.nested
    return total


def _cost_of(op: str, argument: Any) -> _Cost:
    if op == "SUBPATTERN":
        return _cost(argument[3])
    if op == "ATOMIC_GROUP":
        return _cost(argument)
    if op == "BRANCH":
        parts = [_cost(alternative) for alternative in argument[1]]
        return _Cost(
            sum(part.choices for part in parts),
            max(part.loops for part in parts),
            any(part.nested for part in parts),
        )
    if op in _REPEATS:
        low, high, body = argument
        inner = _cost(body)
        varies = inner.choices > 1 or inner.loops > 0
        if high > _LARGE_REPEAT and high != low:
            return _Cost(inner.choices, inner.loops + 1, inner.nested or varies)
        if high <= 1:  # optional: whatever is inside happens at most once
            return _Cost(inner.choices + (high - low), inner.loops, inner.nested)
        return _Cost(high - low + 1, inner.loops, inner.nested or varies)
    return _Cost()


@dataclass(slots=True)
class _Part:
    nullable: bool
    first: set[int]
    last: set[int]


class _Walk:
    """The Glushkov automaton of a pattern: which character position may follow which. `ambiguous` if two
    positions that accept a common character compete, or if one way can be derived twice."""

    def __init__(self, *, ignore_case: bool) -> None:
        self.ignore_case = ignore_case
        self.masks: list[int] = []
        self.follow: list[int] = []
        self.ambiguous = False

    def sequence(self, tree: Sequence[tuple[Any, Any]]) -> _Part:
        whole = _Part(True, set(), set())
        for op, argument in tree:
            whole = self._join(whole, self._node(str(op), argument))
        return whole

    def _node(self, op: str, argument: Any) -> _Part:
        if op in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._position(_mask(op, argument))
        if op == "AT":
            return _Part(True, set(), set())
        if op == "SUBPATTERN":
            if argument[1] or argument[2]:
                raise PatternRefused(
                    "The pattern uses flags in a group; only (?i) at the start is supported."
                )
            return self.sequence(argument[3])
        if op == "ATOMIC_GROUP":
            return self.sequence(argument)
        if op == "BRANCH":
            return self._branch(argument[1])
        if op in _REPEATS:
            return self._repeat(*argument)
        if op.startswith("ASSERT"):
            raise PatternRefused("The pattern looks ahead or behind, which is not supported.")
        raise PatternRefused("The pattern refers back to a group, which is not supported.")

    def _position(self, mask: int) -> _Part:
        if len(self.masks) >= _MAX_POSITIONS:
            raise PatternRefused("The pattern is too large once its repetitions are written out.")
        if self.ignore_case:
            mask = _fold(mask)
        self.masks.append(mask)
        self.follow.append(0)
        here = {len(self.masks) - 1}
        return _Part(False, here, set(here))

    def _branch(self, alternatives: Sequence[Any]) -> _Part:
        parts = [self.sequence(alternative) for alternative in alternatives]
        self.ambiguous |= sum(part.nullable for part in parts) > 1
        whole = _Part(any(part.nullable for part in parts), set(), set())
        for part in parts:
            whole.first |= part.first
            whole.last |= part.last
        self._compete(whole.first)
        return whole

    def _repeat(self, low: int, high: int, body: Any) -> _Part:
        """Written out as x(x(x)?)?, the way the engine tries it; what is too long for that, as a loop."""
        copies = high if high == low or high <= _LARGE_REPEAT else max(low, 1)
        copies = copies if 0 < copies * len(body) <= 64 else 1
        parts = [self.sequence(body) for _ in range(copies)]
        last: set[int] = set()
        for number in range(1, copies):
            self._connect(parts[number - 1].last, parts[number].first)
            if number >= low:
                last |= parts[number - 1].last
        if high > copies:
            self._connect(parts[-1].last, parts[-1].first)
        nullable = parts[0].nullable
        self.ambiguous |= nullable and not low == high == 1
        return _Part(low == 0 or nullable, parts[0].first, last | parts[-1].last)

    def _join(self, left: _Part, right: _Part) -> _Part:
        self._connect(left.last, right.first)
        joined = _Part(
            left.nullable and right.nullable,
            left.first | right.first if left.nullable else left.first,
            right.last | left.last if right.nullable else right.last,
        )
        self._compete(joined.first)
        return joined

    def _connect(self, before: set[int], after: set[int]) -> None:
        for position in before:
            for successor in after:
                bit = 1 << successor
                self.ambiguous |= bool(self.follow[position] & bit)
                self.follow[position] |= bit
            self._compete({s for s in range(len(self.masks)) if self.follow[position] >> s & 1})

    def _compete(self, positions: set[int]) -> None:
        seen = 0
        for position in positions:
            self.ambiguous |= bool(seen & self.masks[position])
            seen |= self.masks[position]


def _fold(mask: int) -> int:
    for lower in range(ord("a"), ord("z") + 1):
        both = 1 << lower | 1 << (lower - 32)
        if mask & both:
            mask |= both
    # Dotless i, Kelvin sign and long s are the characters beyond ASCII whose case folds into ASCII.
    partners = sum(1 << ord(letter) for letter in "iksIKS")
    if mask & partners:
        mask |= _NON_ASCII
    return mask | partners if mask & _NON_ASCII else mask


def _single(code: int) -> int:
    return 1 << code if code < 128 else _NON_ASCII


def _mask(op: str, argument: Any) -> int:
    """The characters a position accepts: a bit per ASCII character, and one for all others together."""
    if op == "LITERAL":
        return _single(argument)
    if op == "NOT_LITERAL":
        return _ALL & ~(1 << argument) if argument < 128 else _ALL
    if op == "ANY":
        return _ALL & ~(1 << 10)
    mask = 0
    negated = False
    for kind, value in argument:
        name = str(kind)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            mask |= _single(value)
        elif name == "RANGE":
            low, high = value
            for code in range(low, min(high, 127) + 1):
                mask |= 1 << code
            mask |= _NON_ASCII if high > 127 else 0
        else:
            mask |= _category(str(value))
    # A negated class takes characters beyond ASCII even where the class named some of them.
    return (_ALL & ~(mask & ~_NON_ASCII)) | _NON_ASCII if negated else mask


def _category(name: str) -> int:
    pattern = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}[name.rpartition("_")[2]]
    mask = sum(1 << code for code in range(128) if re.match(pattern, chr(code)))
    return _ALL & ~mask if "_NOT_" in name else mask | _NON_ASCII
