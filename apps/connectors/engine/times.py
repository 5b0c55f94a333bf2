"""Points in time as providers write them: ISO 8601, seconds or milliseconds since 1970, dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any

FORMATS = ("iso", "epoch", "epoch_ms", "date", "http_date")

UNIT = {
    "iso": timedelta(seconds=1),
    "epoch": timedelta(seconds=1),
    "epoch_ms": timedelta(milliseconds=1),
    "date": timedelta(days=1),
    "http_date": timedelta(seconds=1),
}
"""The step below which two times look alike in a format."""

_DOTNET = re.compile(r"/Date\((-?\d+)([+-]\d{4})?\)/\Z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"\.(\d{6})\d+")


def _number(value: int | float | Decimal) -> datetime | None:
    # Seconds reach 11 digits in the year 5138, milliseconds had 12 in 1973.
    amount = Decimal(str(value))
    if not amount.is_finite():
        return None
    seconds = amount / 1000 if abs(amount) >= 100_000_000_000 else amount
    try:
        return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))
    except OverflowError:
        return None


def parse(value: Any) -> datetime | None:
    """An aware point in time, or None if `value` is not one. A time without a zone is taken as UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float, Decimal)):
        return _number(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if re.fullmatch(r"-?\d{9,16}(\.\d+)?", text):
        try:
            return _number(Decimal(text))
        except InvalidOperation:
            return None
    dotnet = _DOTNET.match(text)
    if dotnet:
        return _number(Decimal(dotnet[1]) / 1000)
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r".\1", text))
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def render(moment: datetime, form: str) -> str:
    """A point in time as a provider wants it, in UTC."""
    moment = moment.astimezone(UTC)
    if form == "date":
        return moment.date().isoformat()
    if form == "epoch":
        return str(int(moment.timestamp()))
    if form == "epoch_ms":
        return str((moment - _EPOCH) // timedelta(milliseconds=1))
    if form == "http_date":
        return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds").replace(
        "+00:00", "Z"
    )
