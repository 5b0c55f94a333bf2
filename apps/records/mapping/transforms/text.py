"""Transforms of texts."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from typing import Any

from apps.kernel.patterns import PatternRefused, SafePattern, compile_pattern
from apps.records.fields.base import is_blank
from apps.records.fields.problems import ValueProblem
from apps.records.mapping.transforms.base import Apply, Parameter, as_text, failed, on_text, transform

MAX_WIDTH = 1_000

_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


@transform("trim", "Removes white space at both ends.", ("trim", "  Ann ", "Ann"))
def trim() -> Apply:
    return on_text(str.strip)


@transform("upper", "Capital letters.", ("upper", "de", "DE"))
def upper() -> Apply:
    return on_text(str.upper)


@transform("lower", "Small letters.", ("lower", "ANN", "ann"))
def lower() -> Apply:
    return on_text(str.lower)


@transform("title", "Each word with a capital letter.", ("title", "o'neill AND sons", "O'neill And Sons"))
def title() -> Apply:
    return on_text(lambda text: _WORD.sub(lambda m: m[0][0].upper() + m[0][1:].lower(), text))


@transform("capitalize", "The first letter as capital, the rest small.", ("capitalize", "nEW", "New"))
def capitalize() -> Apply:
    return on_text(str.capitalize)


@transform(
    "collapse_spaces", "Any run of white space becomes one space.", ("collapse_spaces", " a \n b ", "a b")
)
def collapse_spaces() -> Apply:
    return on_text(lambda text: _SPACES.sub(" ", text).strip())


@transform(
    "strip_html",
    "The text of a piece of HTML, without tags, scripts and styles.",
    ("strip_html", "<p>Fish &amp; <b>chips</b></p>", "Fish & chips"),
)
def strip_html() -> Apply:
    return on_text(lambda text: _SPACES.sub(" ", html.unescape(_without_tags(text))).strip())


_BREAKS = ("<br", "<p", "</p", "<div", "</div", "<li", "</li", "<tr", "</tr", "<td", "</td", "<h", "</h")


def _without_tags(text: str) -> str:
    """One pass, time linear in the text whatever is left open in it."""
    lowered = text.lower() if len(text.lower()) == len(text) else text
    kept: list[str] = []
    closes: dict[str, bool] = {}
    position = 0
    while (start := text.find("<", position)) >= 0:
        kept.append(text[position:start])
        follower = text[start + 1 : start + 2]
        if not (follower.isalpha() or follower in ("/", "!", "?")) or not follower:
            kept.append("<")
            position = start + 1
            continue
        end_mark = ">"
        if text.startswith("<!--", start):
            end_mark = "-->"
        for name in ("script", "style"):
            if lowered.startswith(f"<{name}", start):
                end_mark = f"</{name}"
        end = lowered.find(end_mark, start + 1) if closes.get(end_mark, True) else -1
        if end < 0:
            closes[end_mark] = False
            if end_mark != ">":  # never closed: as a browser would, drop the rest
                position = len(text)
                break
            kept.append("<")
            position = start + 1
            continue
        if lowered.startswith(_BREAKS, start):
            kept.append(" ")
        position = end if end_mark.startswith("</") else end + len(end_mark)
    kept.append(text[position:])
    return "".join(kept)


@transform(
    "slug",
    "Small letters, digits and a separator only, for addresses and codes.",
    ("slug", "Crème brûlée, 2 pcs", "creme-brulee-2-pcs"),
    Parameter("separator", "text", "What stands between words.", "-"),
)
def slug(separator: str) -> Apply:
    def change(text: str) -> str:
        plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
        return _NOT_SLUG.sub(" ", plain).strip().replace(" ", separator)

    return on_text(change)


@transform(
    "split",
    "Cuts a text into a list, or with an index takes one part (0 is the first, -1 the last).",
    ("split(';', 1)", "a; b; c", "b"),
    Parameter("separator", "text", "Where to cut.", ","),
    Parameter("index", "integer", "Which part to take; without it, all of them as a list."),
    Parameter("trim", "boolean", "Whether parts lose white space at both ends.", True),
)
def split(separator: str, index: int | None, trim: bool) -> Apply:
    if not separator:
        raise ValueError("The transform split needs a separator that is not empty.")

    def change(text: str) -> Any:
        if is_blank(text):
            return None
        parts = text.split(separator)
        if trim:
            parts = [part.strip() for part in parts]
        if index is None:
            return parts
        return parts[index] if -len(parts) <= index < len(parts) else None

    return on_text(change)


@transform(
    "join",
    "Puts the entries of a list into one text, without the blank ones.",
    ("join(', ')", ["a", None, "b"], "a, b"),
    Parameter("separator", "text", "What stands between entries.", ", "),
)
def join(separator: str) -> Apply:
    def apply(value: Any) -> Any:
        entries = value if isinstance(value, list | tuple) else [value]
        return separator.join(as_text(entry) for entry in entries if not is_blank(entry))

    return apply


@transform(
    "replace",
    "Replaces a text by another wherever it occurs.",
    ("replace('/', '-')", "a/b", "a-b"),
    Parameter("old", "text", "What to replace.", required=True),
    Parameter("new", "text", "What to put in its place.", ""),
)
def replace(old: str, new: str) -> Apply:
    if not old:
        raise ValueError("The transform replace needs a text to replace.")
    return on_text(lambda text: text.replace(old, new))


def _pattern(source: str) -> SafePattern:
    try:
        return compile_pattern(source, search=True)
    except PatternRefused as problem:
        raise ValueError(str(problem)) from None


def _within(safe: SafePattern, change: Callable[[str], Any]) -> Apply:
    def checked(text: str) -> Any:
        if len(text) > safe.max_input:
            raise failed(text, f"is longer than the {safe.max_input} characters that the pattern can search.")
        return change(text)

    return on_text(checked)


@transform(
    "regex_replace",
    "Replaces what a regular expression finds; \\1 stands for its first group.",
    (r"regex_replace('(\\d+) EUR', '\\1')", "12 EUR", "12"),
    Parameter("pattern", "text", "The regular expression.", required=True),
    Parameter("replacement", "text", "What to put in its place.", ""),
)
def regex_replace(pattern: str, replacement: str) -> Apply:
    safe = _pattern(pattern)
    try:
        re._parser.parse_template(replacement, safe.regex)  # type: ignore[attr-defined]
    except (re.error, IndexError) as problem:
        raise ValueError(f"The replacement is not valid: {problem}.") from None
    return _within(safe, lambda text: safe.regex.sub(replacement, text))


@transform(
    "extract",
    "What a regular expression finds, or one group of it; null if it finds nothing.",
    (r"extract('INV-(\\d+)')", "Re: INV-0042", "0042"),
    Parameter("pattern", "text", "The regular expression.", required=True),
    Parameter("group", "integer", "Which group; by default the first, or all that was found."),
)
def extract(pattern: str, group: int | None) -> Apply:
    safe = _pattern(pattern)
    wanted = min(1, safe.regex.groups) if group is None else group
    if not 0 <= wanted <= safe.regex.groups:
        raise ValueError(f"The pattern has no group {group}.")

    def change(text: str) -> Any:
        found = safe.regex.search(text)
        return found[wanted] if found else None

    return _within(safe, change)


@transform("length", "How many characters, or entries.", ("length", "four", 4))
def length() -> Apply:
    def apply(value: Any) -> Any:
        return len(value) if isinstance(value, list | tuple | dict) else len(as_text(value))

    return apply


@transform(
    "substring",
    "A part of the text by position: from the start (0 is the first character) up to, without, the end.",
    ("substring(0, 3)", "ABC-12", "ABC"),
    Parameter("start", "integer", "The first character to keep; negative counts from the end.", 0),
    Parameter("end", "integer", "The first character not to keep."),
)
def substring(start: int, end: int | None) -> Apply:
    return on_text(lambda text: text[start:end])


def _width(width: int) -> int:
    if not 0 <= width <= MAX_WIDTH:
        raise ValueError(f"The width must lie between 0 and {MAX_WIDTH}.")
    return width


@transform(
    "pad_left",
    "Fills up on the left to a width.",
    ("pad_left(6, '.')", "42", "....42"),
    Parameter("width", "integer", "How many characters there shall be.", required=True),
    Parameter("fill", "text", "One character to fill with.", " "),
)
def pad_left(width: int, fill: str) -> Apply:
    if len(fill) != 1:
        raise ValueError("The transform pad_left fills with exactly one character.")
    wide = _width(width)
    return on_text(lambda text: text.rjust(wide, fill) if text else text)


@transform(
    "zfill",
    "Fills up with zeros on the left, after a sign: brings leading zeros back.",
    ("zfill(5)", "501", "00501"),
    Parameter("width", "integer", "How many characters there shall be.", required=True),
)
def zfill(width: int) -> Apply:
    wide = _width(width)
    return on_text(lambda text: text.zfill(wide) if text else text)


@transform(
    "prefix",
    "Puts a text in front of a value that is not blank.",
    ("prefix('SKU-')", "7", "SKU-7"),
    Parameter("text", "text", "What to put in front.", required=True),
)
def prefix(text: str) -> Apply:
    return on_text(lambda value: value if is_blank(value) else text + value)


@transform(
    "suffix",
    "Puts a text behind a value that is not blank.",
    ("suffix(' km')", "7", "7 km"),
    Parameter("text", "text", "What to put behind.", required=True),
)
def suffix(text: str) -> Apply:
    return on_text(lambda value: value if is_blank(value) else value + text)


@transform(
    "phone_digits", "A leading + and digits, nothing else.", ("phone_digits", "+49 (30) 12-34", "+49301234")
)
def phone_digits() -> Apply:
    def change(text: str) -> Any:
        digits = "".join(c for c in text if c.isascii() and c.isdigit())
        return ("+" if text.lstrip().startswith("+") else "") + digits if digits else None

    return on_text(change)


def _entry(value: Any, position: int) -> Any:
    if not isinstance(value, list | tuple):
        if isinstance(value, dict):
            raise ValueProblem("transform_failed", "A JSON object was given where a list is expected.")
        value = [value]
    return value[position] if -len(value) <= position < len(value) else None


@transform("first", "The first entry of a list.", ("first", ["a", "b"], "a"))
def first() -> Apply:
    return lambda value: _entry(value, 0)


@transform("last", "The last entry of a list.", ("last", ["a", "b"], "b"))
def last() -> Apply:
    return lambda value: _entry(value, -1)


@transform(
    "nth",
    "One entry of a list: 1 is the first, -1 the last; null if there are fewer.",
    ("nth(2)", ["a", "b"], "b"),
    Parameter("position", "integer", "Which entry.", required=True),
)
def nth(position: int) -> Apply:
    if position == 0:
        raise ValueError("The transform nth counts from 1.")
    return lambda value: _entry(value, position - 1 if position > 0 else position)
