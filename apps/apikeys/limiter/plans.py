"""What is counted for a call: a plan is a handful of counters that hold all at once.

A window of N per W seconds is counted in one of two ways, neither of which ever lets more than N pass in any
W seconds, wherever they begin:

- up to LOG_MOST, as a log of the N moments: exact, a place is free W after it was taken;
- above, in buckets of W/BUCKETS, of which each counts until its last moment is W old: a place is free at most
  W/BUCKETS later than in the log, so that somebody who takes every place at once gets at least
  BUCKETS/(BUCKETS + 1) of the allowed.

A burst of B is GCRA: B at once, regained one by one at a steady pace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

SECOND: Final = 1_000_000  # all times here are whole microseconds
LOG_MOST: Final = 1000
BUCKETS: Final = 100
WINDOWS: Final = {"minute": 60, "hour": 3600, "day": 86_400}
ONE: Final = {"minute": "a minute", "hour": "an hour", "day": "a day"}

LOG, BUCKET, GCRA = "L", "B", "G"


@dataclass(frozen=True, slots=True)
class Counter:
    """One limit. `name` names it in headers, `key` is where it is counted. The counters of one caller have a
    `home` in common, with which their keys begin: a store may keep them together.

    `kind` is LOG, BUCKET or GCRA; `window` the length of the window, or for GCRA the time in which the whole
    burst is regained; `grain` the length of a bucket, or for GCRA the time in which one place is.
    """

    name: str
    key: str
    kind: str
    limit: int
    window: int
    grain: int
    home: str = ""

    @property
    def seconds(self) -> int:
        return -(-self.window // SECOND)


def window(name: str, key: str, limit: int, seconds: float, home: str = "") -> Counter:
    """At most `limit` in any `seconds`."""
    length = round(seconds * SECOND)
    if limit <= LOG_MOST:
        return Counter(name, f"{key}:{LOG}", LOG, limit, length, 1, home)
    return Counter(name, f"{key}:{BUCKET}", BUCKET, limit, length, -(-length // BUCKETS), home)


def burst(name: str, key: str, limit: int, per: float, home: str = "") -> Counter:
    """At most `limit` at once; each place is free again `per` seconds after the one before it."""
    pace = max(1, -(-round(per * SECOND * 1000) // 1000))
    return Counter(name, f"{key}:{GCRA}", GCRA, limit, pace * limit, pace, home)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The counters of a call. `policy` is the value of the header RateLimit-Policy."""

    counters: tuple[Counter, ...]
    policy: str = ""
    # What a store prepares once: the bytes of its command.
    prepared: dict[str, bytes] = field(default_factory=dict, repr=False)
    # One process's part of it, by the number of processes.
    shares: dict[int, Plan] = field(default_factory=dict, repr=False)


def plan(counters: Iterable[Counter]) -> Plan:
    found = tuple(counters)
    return Plan(found, ", ".join(f'"{item.name}";q={item.limit};w={item.seconds}' for item in found))


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a counter stands after a call: how many are left, in how many microseconds there is one more."""

    remaining: int
    wait: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call may pass, and where each counter of its plan stands."""

    plan: Plan
    passed: bool
    standings: tuple[Standing, ...] = ()
    # Counted by the processes that share the limits, or by this one for the time being.
    shared: bool = True

    @property
    def violated(self) -> list[Counter]:
        if self.passed:
            return []
        pairs = zip(self.plan.counters, self.standings, strict=True)
        return [counter for counter, standing in pairs if standing.remaining == 0]

    @property
    def retry_after(self) -> int:
        """Whole seconds after which every counter has a place, at least 1."""
        waits = [standing.wait for standing in self.standings if standing.remaining == 0]
        return max(1, -(-max(waits, default=0) // SECOND))

    def limit_header(self) -> str:
        """The value of the header RateLimit."""
        return ", ".join(
            f'"{counter.name}";r={standing.remaining};t={-(-standing.wait // SECOND)}'
            for counter, standing in zip(self.plan.counters, self.standings, strict=True)
        )

    def scarcest(self) -> tuple[Counter, Standing] | None:
        """The counter with the smallest number left, for the headers X-RateLimit-*."""
        pairs = list(zip(self.plan.counters, self.standings, strict=True))
        return min(pairs, key=lambda pair: (pair[1].remaining, -pair[1].wait), default=None)
