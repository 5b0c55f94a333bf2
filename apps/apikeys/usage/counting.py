"""From single calls to sums: what a process collects between two writes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from apps.apikeys.models.usage import Grain, Level
from apps.apikeys.usage import histogram, sketch

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOWHERE = "(no such address)"
# Sums that one process holds at most; while the database is away, what comes beyond them is only totalled.
MOST_SERIES = 20_000
# Requests kept in full between two writes: of one caller, and of all.
MOST_LINES, MOST_LINES_IN_ALL = 50, 2_000
MOST_ADDRESSES = 50_000


class Call(NamedTuple):
    """One call, as the middleware noted it and as its caller was found."""

    at: float
    organization: UUID | None
    subject_kind: str
    subject_id: str
    label: str
    key_id: UUID | None  # of the key that was used successfully
    method: str
    path: str
    route: str
    version: str
    status: int
    code: str
    time_us: int
    bytes_in: int
    bytes_out: int
    ip: str | None
    user_agent: str
    request_id: str
    statements: int = 0
    database_us: int = 0

    @property
    def refused(self) -> bool:
        return self.status in (401, 403)


class Series(NamedTuple):
    """What one sum is of."""

    organization: UUID | None
    level: int
    grain: int
    start: int  # epoch seconds
    subject_kind: str
    subject_id: str
    method: str
    route: str
    version: str
    status_class: int


class Source(NamedTuple):
    """Whose addresses a sketch counts."""

    organization: UUID | None
    level: int
    grain: int
    start: int
    subject_kind: str
    subject_id: str


class Sum:
    """Counts of one series."""

    __slots__ = (
        "bytes_in", "bytes_out", "count", "database", "first", "last", "limited", "longest", "refused",
        "statements", "steps", "time",
    )  # fmt: skip

    def __init__(self) -> None:
        self.count = self.limited = self.refused = self.bytes_in = self.bytes_out = 0
        self.time = self.longest = self.statements = self.database = 0
        self.first, self.last = float("inf"), 0.0
        self.steps = [0] * histogram.STEPS

    def note(self, call: Call) -> None:
        self.count += 1
        self.limited += call.status == 429
        self.refused += call.refused
        self.bytes_in += call.bytes_in
        self.bytes_out += call.bytes_out
        self.time += call.time_us
        self.statements += call.statements
        self.database += call.database_us
        self.longest = max(self.longest, call.time_us)
        self.first, self.last = min(self.first, call.at), max(self.last, call.at)
        self.steps[histogram.step_of(call.time_us)] += 1

    def add(self, other: Sum) -> None:
        self.count += other.count
        self.limited += other.limited
        self.refused += other.refused
        self.bytes_in += other.bytes_in
        self.bytes_out += other.bytes_out
        self.time += other.time
        self.statements += other.statements
        self.database += other.database
        self.longest = max(self.longest, other.longest)
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.steps = [a + b for a, b in zip(self.steps, other.steps, strict=True)]


@dataclass
class Collected:
    """What has been collected and not yet written."""

    sums: dict[Series, Sum] = field(default_factory=dict)
    lines: dict[tuple[str, str, UUID | None], list[Call]] = field(default_factory=dict)
    addresses: dict[Source, set[bytes]] = field(default_factory=dict)
    used: dict[UUID, float] = field(default_factory=dict)  # key → when it was last used
    calls: int = 0
    _lines: int = 0
    _addresses: int = 0

    def __bool__(self) -> bool:
        return self.calls > 0

    def note(self, call: Call) -> None:
        self.calls += 1
        self._sum(call)
        if call.key_id is not None:
            self.used[call.key_id] = max(call.at, self.used.get(call.key_id, 0.0))
        if call.ip and self._addresses < MOST_ADDRESSES:
            self._address(call, sketch.hash_of(call.ip))
        if call.subject_kind or call.refused:
            self._line(call)

    def _sum(self, call: Call) -> None:
        start = int(call.at) // Grain.MINUTES * Grain.MINUTES
        series = Series(
            call.organization,
            Level.DETAIL,
            Grain.MINUTES,
            start,
            call.subject_kind,
            call.subject_id,
            call.method,
            call.route,
            call.version,
            call.status // 100,
        )
        found = self.sums.get(series)
        if found is None:
            if len(self.sums) >= MOST_SERIES:
                series = series._replace(method="", route="(other)", subject_kind="", subject_id="")
            found = self.sums.setdefault(series, Sum())
        found.note(call)

    def _address(self, call: Call, hashed: bytes) -> None:
        for grain in (Grain.HOUR, Grain.DAY):
            start = int(call.at) // grain * grain
            sources = [Source(call.organization, Level.ORGANIZATION, grain, start, "", "")]
            if call.subject_kind:
                sources.append(
                    Source(call.organization, Level.SUBJECT, grain, start, call.subject_kind, call.subject_id)
                )
            for source in sources:
                known = self.addresses.setdefault(source, set())
                if hashed not in known:
                    known.add(hashed)
                    self._addresses += 1

    def _line(self, call: Call) -> None:
        mine = self.lines.setdefault((call.subject_kind, call.subject_id, call.organization), [])
        if len(mine) >= MOST_LINES:
            mine.pop(0)  # the newest are the ones that are kept
        elif self._lines >= MOST_LINES_IN_ALL:
            return
        else:
            self._lines += 1
        mine.append(call)

    def written_series(self) -> dict[Series, Sum]:
        """The sums that are written: each combination at every level and length that is kept."""
        found: dict[Series, Sum] = {}
        for series, numbers in self.sums.items():
            for target in expand(series):
                known = found.get(target)
                if known is None:
                    known = found[target] = Sum()
                known.add(numbers)
        return found

    def take_back(self, other: Collected) -> None:
        """Put back what could not be written, in front of what came since."""
        self.calls += other.calls
        for series, numbers in other.sums.items():
            if series in self.sums or len(self.sums) < MOST_SERIES:
                self.sums.setdefault(series, Sum()).add(numbers)
        for key_id, at in other.used.items():
            self.used[key_id] = max(at, self.used.get(key_id, 0.0))
        for source, hashes in other.addresses.items():
            if self._addresses < MOST_ADDRESSES:
                self.addresses.setdefault(source, set()).update(hashes)
                self._addresses += len(hashes)
        for caller, calls in other.lines.items():
            if self._lines < MOST_LINES_IN_ALL:
                kept = [*calls, *self.lines.get(caller, [])][-MOST_LINES:]
                self._lines += len(kept) - len(self.lines.get(caller, []))
                self.lines[caller] = kept


def expand(detail: Series) -> Iterator[Series]:
    """The series that a detail of five minutes counts towards."""
    levels = [Level.ORGANIZATION, Level.ENDPOINT]
    if detail.subject_kind:
        levels += [Level.SUBJECT, Level.DETAIL]
        yield _at(detail, Level.SUBJECT, Grain.EVER)
    for level in levels:
        for grain in (Grain.MINUTES, Grain.HOUR, Grain.DAY):
            if (level, grain) != (Level.DETAIL, Grain.MINUTES):
                yield _at(detail, level, grain)


def _at(detail: Series, level: Level, grain: Grain) -> Series:
    start = detail.start // grain * grain if grain else 0
    series = detail._replace(level=level, grain=grain, start=start)
    if level == Level.ORGANIZATION:
        return series._replace(subject_kind="", subject_id="", method="", route="")
    if level == Level.SUBJECT:
        return series._replace(method="", route="", version="")
    if level == Level.ENDPOINT:
        return series._replace(subject_kind="", subject_id="", version="")
    return series


_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()\\]|\\.|\([^()]*\))*\)")
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")


@lru_cache(maxsize=4096)
def template_of(route: str | None) -> str:
    """A URL pattern as the documentation writes it: `/records/{dataset}`, without `/api/` and version."""
    if not route:
        return NOWHERE
    text = route.replace("^", "").replace("$", "").replace("\\Z", "")
    text = text.removeprefix("api/")
    text = re.sub(r"^\(\?P<version>[^)]*\)/", "", text)
    text = _GROUP.sub(r"{\1}", text)
    text = _CONVERTER.sub(r"{\1}", text).replace("\\.", ".").replace("\\-", "-").rstrip("/?")
    if text in (".*", ""):
        return NOWHERE
    return f"/{text}"[:200]


def lines_of(calls: Iterable[list[Call]]) -> list[Call]:
    return sorted((call for mine in calls for call in mine), key=lambda call: call.at)
