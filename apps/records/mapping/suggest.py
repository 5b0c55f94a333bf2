"""A first mapping for an unknown source, from the names of its columns and a few of its rows.

Columns go to fields in rounds, surest first, each column and each field once: same name, same name but for
case, spaces and marks, one of the field's synonyms, alike (difflib's ratio of at least 0.75), and last by
what the column holds, where only one field fits. A column whose values mostly do not fit is not taken for it.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apps.records.fields import FIELD_TYPES, Field, ValueProblem, is_blank
from apps.records.mapping.pipes import Pipe, Step
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.mapping.spec import FieldMapping, MappingSpec
from apps.records.mapping.steps import build_step

SAMPLE = 200
PLAIN = "en"
"""How numbers are written that need no transform: 1234.56."""
ALIKE = 0.75
FITTING = 0.5
"""Share of a column's values that must fit a field, for the column to be taken for it."""

_SURE_BY_CONTENT = ("email", "url", "datetime", "date")
_DATE_FORMATS = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%Y/%m/%d",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d.%m.%y",
    "%d %b %Y",
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "æ": "ae", "œ": "oe"})
_MARKS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What one column was taken for.

    `target` is empty if for nothing; `confidence` lies between 0 and 1; `how` is exact, normalised, synonym,
    alike, content or none; `fitting` is the share of the sample's values that the field accepts after the
    transforms; `ambiguous` lists the date formats or number locales that fit equally well and mean different
    values: a person must choose.
    """

    column: str
    target: str = ""
    confidence: float = 0.0
    how: str = "none"
    transforms: Pipe = ()
    fitting: float = 1.0
    ambiguous: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SuggestedMapping:
    """The mapping, and what was thought of each column, in the order of the columns."""

    spec: MappingSpec
    columns: tuple[Suggestion, ...]


def suggest(
    columns: Sequence[str], fields: Sequence[Field], sample_rows: Sequence[Any] = ()
) -> SuggestedMapping:
    """Propose a mapping of these columns (of rows that are sequences or objects) to the fields."""
    samples = _samples(columns, sample_rows[:SAMPLE])
    found: dict[int, Suggestion] = {}
    free = {field.name: field for field in fields}
    usable = [
        number for number, column in enumerate(columns) if columns.count(column) == 1 and column.strip()
    ]
    for how, confidence, number, name in _by_name(columns, usable, fields):
        if number in found or name not in free:
            continue
        taken = _fit(columns[number], free[name], samples[number], how, confidence)
        if taken is not None:
            found[number] = taken
            del free[name]
    _by_content(columns, [n for n in usable if n not in found], samples, free, found)
    suggestions = tuple(found.get(number, Suggestion(column)) for number, column in enumerate(columns))
    mapped = tuple(
        FieldMapping(item.target, f"{COLUMN_PREFIX}{item.column}", item.transforms)
        for item in suggestions
        if item.target
    )
    return SuggestedMapping(MappingSpec(mapped), suggestions)


def fit(column: str, field: Field, values: Sequence[Any]) -> Suggestion:
    """A column that a person takes for the field: the transforms its values need, and how well they fit."""
    filled = [value for value in values if not is_blank(value)][:SAMPLE]
    return _fit(column, field, filled, "exact", 1.0) or Suggestion(column, field.name)


def pipe_of(field: Field, way: str) -> Pipe:
    """The pipe that reads values of the field as `way` (one of a suggestion's `ambiguous`) says."""
    return next((pipe for pipe in _pipes(field) if _way(pipe) == way), ())


def normalised(name: str) -> str:
    """A name without case, accents, spaces and marks: "E-Mail Adresse" and "e_mail_adresse" are the same."""
    plain = unicodedata.normalize("NFKD", _CAMEL.sub(" ", name.strip())).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return _MARKS.sub("", plain)


def _samples(columns: Sequence[str], rows: Sequence[Any]) -> list[list[Any]]:
    """The values of each column that are not blank."""
    samples: list[list[Any]] = [[] for _ in columns]
    for row in rows:
        for number, column in enumerate(columns):
            if isinstance(row, Mapping):
                value = row.get(column)
            else:
                value = row[number] if number < len(row) else None
            if not is_blank(value):
                samples[number].append(value)
    return samples


def _by_name(
    columns: Sequence[str], usable: Sequence[int], fields: Sequence[Field]
) -> list[tuple[str, float, int, str]]:
    """Candidates as (how, confidence, column, field), surest first."""
    candidates: list[tuple[int, float, int, int, int, str]] = []
    for number in usable:
        column = columns[number]
        plain = normalised(column)
        for position, field in enumerate(fields):
            how, confidence = _alike(column, plain, field)
            if confidence:
                # Of two names that are as good, the longer says more: “Kundennr.” rather than “Nr.”.
                candidates.append((how, -confidence, -len(plain), number, position, field.name))
    names = ("exact", "normalised", "synonym", "alike")
    return [(names[how], -minus, number, name) for how, minus, _, number, _, name in sorted(candidates)]


def _alike(column: str, plain: str, field: Field) -> tuple[int, float]:
    """How a column's name resembles a field's: the round in which it counts, and how sure that is."""
    own = {normalised(field.name), normalised(field.label)} - {""}
    if column in (field.name, field.label):
        return 0, 1.0
    if not plain:
        return 3, 0.0
    if plain in own:
        return 1, 0.97
    synonyms = _synonyms(field.synonyms)
    if _spelled_out(plain) in synonyms:
        return 2, 0.9
    # A synonym of three letters is part of many words.
    ratio = _nearest(plain, [*own, *(one for one in synonyms if len(one) > 3)])
    return 3, round(ratio * 0.9, 3) if ratio >= ALIKE else 0.0


@lru_cache(maxsize=2_048)
def _synonyms(words: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_spelled_out(normalised(word)) for word in words) - {""}


def _spelled_out(plain: str) -> str:
    """A normalised name, the same whether ä, ø or ł was written as such, without its mark, or as ae or oe."""
    return plain.translate(_LETTERS).replace("ae", "a").replace("oe", "o").replace("ue", "u")


def _nearest(plain: str, others: Sequence[str]) -> float:
    """difflib's ratio to the most similar of the names; 0 if none is alike. Cheap bounds come first."""
    matcher = difflib.SequenceMatcher(None, "", plain)
    best = 0.0
    for other in others:
        if 2 * min(len(plain), len(other)) < ALIKE * (len(plain) + len(other)):
            continue
        matcher.set_seq1(other)
        if matcher.quick_ratio() >= ALIKE:
            best = max(best, difflib.SequenceMatcher(None, plain, other).ratio())
    return best if best >= ALIKE else 0.0


def _fit(column: str, field: Field, values: Sequence[Any], how: str, confidence: float) -> Suggestion | None:
    """The column taken for the field, with the transforms its values need; None if they do not fit."""
    if not values:
        return Suggestion(column, field.name, confidence, how)
    best: Pipe = ()
    share, meant = _read(field, values, best)
    others: list[str] = []
    for pipe in _pipes(field):
        its_share, its_meaning = _read(field, values, pipe)
        if its_share > share:
            best, share, meant, others = pipe, its_share, its_meaning, []
        elif its_share == share and its_meaning != meant and _way(pipe) not in others:
            others.append(_way(pipe))
    if share < FITTING and how != "exact":
        return None
    ambiguous = (_way(best) if best else PLAIN, *others) if others else ()
    sureness = round(confidence * (0.5 + share / 2) * (0.8 if ambiguous else 1), 3)
    return Suggestion(column, field.name, sureness, how, best, round(share, 3), ambiguous)


def _way(pipe: Pipe) -> str:
    """The date format or number locale of a pipe."""
    return str(next(iter(pipe[0].parameters.values())))


def _pipes(field: Field) -> list[Pipe]:
    """Ways of writing values of such a field."""
    if field.type == "date":
        return [(Step("date", {"format": form}),) for form in _DATE_FORMATS]
    if field.type == "datetime":
        timed = [f"{form} {time}" for form in _DATE_FORMATS[:4] for time in ("%H:%M", "%H:%M:%S")]
        return [(Step("datetime", {"format": form}),) for form in (*_DATE_FORMATS, *timed)]
    if field.type in ("decimal", "integer", "money"):
        return [(Step("number", {"locale": locale}),) for locale in ("en", "de", "fr", "ch", "in")]
    return []


def _read(field: Field, values: Sequence[Any], pipe: Pipe) -> tuple[float, list[Any]]:
    """The share of the values that the field accepts after the pipe, and what they come to mean."""
    steps = [build_step(step, None) for step in pipe]
    parse = FIELD_TYPES[field.type].parse
    meant: list[Any] = []
    for value in values:
        try:
            read = value
            for step in steps:
                read = step(read)
            if not is_blank(read):
                meant.append(parse(read, field))
        except ValueProblem:
            continue
    return len(meant) / len(values), meant


def _by_content(
    columns: Sequence[str],
    rest: Sequence[int],
    samples: Sequence[Sequence[Any]],
    free: Mapping[str, Field],
    found: dict[int, Suggestion],
) -> None:
    """Columns whose name says nothing, but whose values can only be one thing and fit one field only."""
    for kind in _SURE_BY_CONTENT:
        taken = {item.target for item in found.values()}
        fields = [field for field in free.values() if field.type == kind and field.name not in taken]
        if len(fields) != 1:
            continue
        shares = {
            number: _read(fields[0], samples[number], ())[0]
            for number in rest
            if number not in found and len(samples[number]) >= 3
        }
        fitting = [number for number, share in shares.items() if share >= 0.9]
        if len(fitting) == 1:
            number = fitting[0]
            share = round(shares[number], 3)
            found[number] = Suggestion(columns[number], fields[0].name, 0.5, "content", (), share)
