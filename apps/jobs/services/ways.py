"""How the values of a column are written, in words that a person checks: “day.month.year”, “1.234,56”."""

from __future__ import annotations

from apps.records.mapping.pipes import Pipe

_PARTS = (("%d", "day"), ("%m", "month"), ("%Y", "year"), ("%y", "two-digit year"), ("%b", "month's name"),
          ("%H:%M:%S", "time"), ("%H:%M", "time"))  # fmt: skip
_NUMBERS = {
    "en": "1,234.56",
    "de": "1.234,56",
    "fr": "1 234,56",
    "ch": "1'234.56",
    "in": "12,34,567.89",
}


def in_words(pipe: Pipe) -> str:
    """The rule by which a pipe reads dates or numbers; empty where it has none."""
    for step in pipe:
        if step.name in ("date", "datetime") and step.parameters.get("format"):
            return f"dates as {date_words(str(step.parameters['format']))}"
        if step.name == "number" and step.parameters.get("locale"):
            return f"numbers as {number_words(str(step.parameters['locale']))}"
    return ""


def words_of(way: str) -> str:
    """A date format or number locale in words."""
    return date_words(way) if "%" in way else number_words(way)


def date_words(form: str) -> str:
    for code, word in sorted(_PARTS, key=lambda part: -len(part[0])):
        form = form.replace(code, word)
    return form


def number_words(locale: str) -> str:
    return _NUMBERS.get(locale, locale)
