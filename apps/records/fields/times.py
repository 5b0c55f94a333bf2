"""Date and datetime, in the forms of ISO 8601 (RFC 3339). Other ways of writing need a format."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from apps.records.fields.base import (
    Bind,
    FieldType,
    Inline,
    check_characters,
    kind_of,
    nullable,
    register,
)
from apps.records.fields.definition import Field
from apps.records.fields.problems import ValueProblem, refuse

_DAY = (
    r"(?!0000)[0-9]{4}-(?:"
    r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
"""Days that exist, without 29 February, which needs the calendar."""
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_DATE_FAST = re.compile(_DAY)
_DATETIME_FAST = re.compile(f"{_DAY}T{_TIME}Z")
_DATETIME_UTC = re.compile(rf"{_DAY}[T ]{_TIME}(?P<zone> ?(?:Z|[+-]00(?::?00)?))?")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_DATETIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,12}))?"
    r" ?(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)


def read_datetime(text: str) -> dt.datetime | None:
    """An ISO 8601 date and time, aware if it says its offset; None if it is not one.

    Digits of a second beyond microseconds are cut off.
    """
    found = _ISO_DATETIME.fullmatch(text)
    if found is None:
        return None
    zone = (found["zone"] or "").upper()
    if len(zone) == 3:
        zone += ":00"
    elif len(zone) == 5:
        zone = zone[:3] + ":" + zone[3:]
    clock = found["time"] or "00:00"
    fraction = "." + found["fraction"][:6].ljust(6, "0") if found["fraction"] else ""
    if fraction and len(clock) == 5:
        return None
    try:
        return dt.datetime.fromisoformat(f"{found['date']}T{clock}{fraction}{zone}")
    except ValueError:
        return None


def utc_text(moment: dt.datetime, timezone: dt.tzinfo) -> str:
    """The canonical form: UTC, with microseconds only if there are any. Raises OverflowError at the edges."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone)
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def _formatted(text: str, form: str | None) -> dt.datetime | None:
    if form is None or len(text) > 64:
        return None
    try:
        return dt.datetime.strptime(text, form)  # noqa: DTZ007 - the zone is the caller's
    except (ValueError, re.error):
        return None


@register
class Date(FieldType):
    """A calendar day. A date with a time is one only if the time is midnight, as written."""

    name = "date"
    label = "Date"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        moment: dt.datetime | None = None
        if isinstance(value, dt.datetime):
            moment = value
        elif isinstance(value, dt.date):
            return self._bounded(value.isoformat(), value, field)
        elif isinstance(value, str):
            check_characters(value, field)
            text = value.strip()
            if _DATE_FAST.fullmatch(text):
                return self._bounded(text, value, field)
            moment = read_datetime(text) or _formatted(text, field.format)
        elif isinstance(value, dict | list | tuple):
            raise ValueProblem("not_a_date", f"A {kind_of(value)} was given where a date is expected.")
        if moment is None:
            raise refuse("not_a_date", value, field, "is not a date; expected YYYY-MM-DD.")
        if moment.time() != dt.time():
            raise refuse("not_a_date", value, field, "has a time of day; expected only a date.")
        return self._bounded(moment.date().isoformat(), value, field)

    @staticmethod
    def _bounded(text: str, value: Any, field: Field) -> str:
        if field.minimum is not None and text < str(field.minimum):
            raise refuse(
                "too_small", value, field, f"is too early; the first day allowed is {field.minimum}."
            )
        if field.maximum is not None and text > str(field.maximum):
            raise refuse("too_large", value, field, f"is too late; the last day allowed is {field.maximum}.")
        return text

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        condition = f"v.__class__ is str and {bind(_DATE_FAST.fullmatch)}(v)"
        if field.minimum is not None:
            condition += f" and v >= {bind(str(field.minimum))}"
        if field.maximum is not None:
            condition += f" and v <= {bind(str(field.maximum))}"
        return Inline(condition)

    def to_python(self, value: Any) -> dt.date | None:
        return None if value is None else dt.date.fromisoformat(value)

    def json_schema(self, field: Field) -> dict[str, Any]:
        return nullable({"type": "string", "format": "date"}, field)


@register
class DateTime(FieldType):
    """A moment. What names no offset is taken in the source's time zone."""

    name = "datetime"
    label = "Date and time"

    def parse(self, value: Any, field: Field, *, timezone: dt.tzinfo = dt.UTC) -> str:
        moment: dt.datetime | None = None
        if isinstance(value, dt.datetime):
            moment = value
        elif isinstance(value, dt.date):
            moment = dt.datetime.combine(value, dt.time())
        elif isinstance(value, str):
            check_characters(value, field)
            text = value.strip()
            found = _DATETIME_UTC.fullmatch(text)
            if found and (found["zone"] or timezone is dt.UTC):
                return self._bounded(f"{text[:10]}T{text[11:19]}Z", value, field, timezone)
            moment = read_datetime(text) or _formatted(text, field.format)
        elif isinstance(value, dict | list | tuple):
            raise ValueProblem(
                "not_a_datetime", f"A {kind_of(value)} was given where a date and time is expected."
            )
        if moment is None:
            raise refuse(
                "not_a_datetime", value, field, "is not a date and time; expected YYYY-MM-DDTHH:MM:SSZ."
            )
        try:
            text = utc_text(moment, timezone)
        except OverflowError:
            raise refuse("not_a_datetime", value, field, "lies outside of the years 1 to 9999.") from None
        return self._bounded(text, value, field, timezone)

    def _bounded(self, text: str, value: Any, field: Field, timezone: dt.tzinfo) -> str:
        if field.minimum is None and field.maximum is None:
            return text
        position = self.sort_text(text, field)
        if field.minimum is not None and position < self._bound(str(field.minimum)):
            raise refuse("too_small", value, field, f"is too early; the minimum is {field.minimum}.")
        if field.maximum is not None and position > self._bound(str(field.maximum)):
            raise refuse("too_large", value, field, f"is too late; the maximum is {field.maximum}.")
        return text

    def _bound(self, bound: str) -> str:
        moment = read_datetime(bound)
        if moment is None:
            raise ValueError(f"{bound!r} is not a date and time")
        return _sortable(utc_text(moment, dt.UTC))

    def fast(self, field: Field, bind: Bind) -> Inline | None:
        if field.minimum is not None or field.maximum is not None:
            return None
        return Inline(f"v.__class__ is str and {bind(_DATETIME_FAST.fullmatch)}(v)")

    def to_python(self, value: Any) -> dt.datetime | None:
        return None if value is None else dt.datetime.fromisoformat(value)

    def json_schema(self, field: Field) -> dict[str, Any]:
        return nullable({"type": "string", "format": "date-time"}, field)

    def display(self, value: Any, field: Field | None = None) -> str:
        return "" if value is None else f"{value[:10]} {value[11:19]} UTC"

    def sort_text(self, value: Any, field: Field) -> str:
        return _sortable(value)


def _sortable(canonical: str) -> str:
    """With microseconds always: "…05Z" and "…05.5Z" do not sort as moments."""
    return canonical if len(canonical) == 27 else canonical[:-1] + ".000000Z"
