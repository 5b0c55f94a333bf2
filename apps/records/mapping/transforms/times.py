"""Transforms of dates and times."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from apps.records.fields.problems import ValueProblem
from apps.records.fields.times import read_datetime, utc_text
from apps.records.mapping.transforms.base import (
    Apply,
    Parameter,
    as_number,
    as_text,
    failed,
    is_native_time,
    transform,
)

_CACHED = 4096
_DOC = "How it is written, by strptime's directives; several are tried in turn."


def zone_of(name: str) -> dt.tzinfo:
    """The time zone of an IANA name. Raises ValueError, with a sentence."""
    if name.upper() in ("UTC", "Z", "GMT"):
        return dt.UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"“{name[:60]}” is not a time zone; expected a name such as Europe/Berlin."
        ) from None


def _reader(formats: list[str]) -> Callable[[str], dt.datetime | None]:
    """Reads a text by the first format that fits. Raises ValueError for formats that read nothing."""
    for form in formats:
        if "%" not in form or len(form) > 64:
            raise ValueError(f"“{form[:64]}” is not a date format; expected one such as %d.%m.%Y.")
        try:
            dt.datetime.strptime(dt.datetime(2024, 12, 31, 23, 59, tzinfo=dt.UTC).strftime(form), form)  # noqa: DTZ007
        except (ValueError, re.error):
            raise ValueError(f"“{form}” is not a date format; expected one such as %d.%m.%Y.") from None

    @lru_cache(maxsize=_CACHED)
    def read(text: str) -> dt.datetime | None:
        for form in formats:
            try:
                return dt.datetime.strptime(text, form)  # noqa: DTZ007 - the zone is added by the caller
            except ValueError:
                continue
        return None

    return read


def _unread(code: str, text: Any, formats: list[str]) -> ValueProblem:
    listed = " or ".join(formats)
    return ValueProblem(code, failed(text, f"is not written as {listed}.").message)


@transform(
    "date",
    "Reads a date by its format.",
    ("date('%d.%m.%Y')", "17.03.2024", "2024-03-17"),
    Parameter("format", "text", _DOC, required=True, rest=True),
)
def date(format: list[str]) -> Apply:
    read = _reader(format)

    def apply(value: Any) -> Any:
        if is_native_time(value):
            return value
        text = as_text(value).strip()
        if not text:
            return None
        moment = read(text) if len(text) <= 100 else None
        if moment is None:
            raise _unread("not_a_date", text, format)
        return moment.date().isoformat() if moment.time() == dt.time() else moment.isoformat()

    return apply


@transform(
    "datetime",
    "Reads a date and time by its format; what has no offset is taken in the time zone.",
    ("datetime('%d/%m/%Y %H:%M', 'Europe/Berlin')", "17/03/2024 12:30", "2024-03-17T11:30:00Z"),
    Parameter("format", "text", _DOC, required=True, many=True),
    Parameter("timezone", "text", "IANA name; without it, the time zone of the source."),
)
def datetime(format: list[str], timezone: str | None) -> Apply:
    read = _reader(format)
    zone = None if timezone is None else zone_of(timezone)

    def apply(value: Any) -> Any:
        moment: dt.datetime | None
        if isinstance(value, dt.datetime):
            moment = value
        else:
            text = as_text(value).strip()
            if not text:
                return None
            moment = read(text) if len(text) <= 100 else None
            if moment is None:
                raise _unread("not_a_datetime", text, format)
        if moment.tzinfo is None and zone is None:
            return moment.isoformat()
        try:
            return utc_text(moment, zone or dt.UTC)
        except OverflowError:
            raise failed(value, "lies outside of the years 1 to 9999.") from None

    return apply


@transform(
    "iso_date",
    "The day of an ISO 8601 date and time, as it is in a time zone.",
    ("iso_date('Europe/Berlin')", "2024-03-17T23:30:00Z", "2024-03-18"),
    Parameter("timezone", "text", "IANA name; without it, the day as it is written."),
)
def iso_date(timezone: str | None) -> Apply:
    zone = None if timezone is None else zone_of(timezone)

    def apply(value: Any) -> Any:
        if isinstance(value, dt.datetime):
            moment: dt.datetime | None = value
        elif is_native_time(value):
            return value
        else:
            text = as_text(value).strip()
            if not text:
                return None
            moment = read_datetime(text)
        if moment is None:
            raise ValueProblem("not_a_date", failed(value, "is not an ISO 8601 date.").message)
        try:
            if zone is not None and moment.tzinfo is not None:
                moment = moment.astimezone(zone)
        except OverflowError:
            raise failed(value, "lies outside of the years 1 to 9999.") from None
        return moment.date().isoformat()

    return apply


_UNITS = {"s": 0, "ms": -3, "us": -6}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@transform(
    "epoch",
    "The moment so many seconds, milliseconds or microseconds after 1970 began (Unix time).",
    ("epoch('ms')", 1710678896000, "2024-03-17T12:34:56Z"),
    Parameter("unit", "text", "s, ms or us.", "s"),
)
def epoch(unit: str) -> Apply:
    if unit not in _UNITS:
        raise ValueError(f"“{unit[:20]}” is not a unit of time; known are s, ms and us.")
    scale = _UNITS[unit]

    def apply(value: Any) -> Any:
        number = as_number(value)
        if number is None:
            return None
        microseconds = int(number.scaleb(scale + 6).to_integral_value("ROUND_FLOOR"))
        try:
            return utc_text(_EPOCH + dt.timedelta(microseconds=microseconds), dt.UTC)
        except OverflowError:
            raise failed(value, "lies outside of the years 1 to 9999.") from None

    return apply
