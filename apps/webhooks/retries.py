"""When a failed delivery is tried again: pure rules, no tables and no clock.

The built-in ladder is that of webhooks that are meant to survive a long weekend. WEBHOOK_MAX_RETRIES,
WEBHOOK_RETRY_DELAY and WEBHOOK_BACKOFF_FACTOR replace it, an endpoint's own intervals replace either.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

LADDER = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)  # seconds
JITTER = 0.2
LONGEST_WAIT = 86_400.0  # what Retry-After may ask for, in seconds
HONOURS_RETRY_AFTER = frozenset({429, 503})
GONE = 410
# What the documents promise where only some of the three variables are given.
_DEFAULT_RETRIES, _DEFAULT_DELAY_MS, _DEFAULT_FACTOR = 3, 1000, 2.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """Seconds before each retry; `retries` of them, the last interval repeating."""

    intervals: tuple[float, ...]
    retries: int

    def pause(self, step: int) -> float | None:
        """Seconds before the retry after `step` failures before this one; None when there is none left."""
        if step >= self.retries or not self.intervals:
            return None
        return self.intervals[min(step, len(self.intervals) - 1)]


def hub_schedule(
    *, max_retries: int | None = None, delay_ms: int | None = None, factor: float | None = None
) -> Schedule:
    """The schedule of the settings: the ladder, or delay × factor^n once any of the three is given."""
    if max_retries is None and delay_ms is None and factor is None:
        return Schedule(LADDER, len(LADDER))
    retries = _DEFAULT_RETRIES if max_retries is None else max_retries
    first = (_DEFAULT_DELAY_MS if delay_ms is None else delay_ms) / 1000
    growth = _DEFAULT_FACTOR if factor is None else factor
    return Schedule(tuple(min(first * growth**n, LONGEST_WAIT) for n in range(retries)), retries)


def schedule_of(*, intervals: Sequence[float], attempts: int | None, fallback: Schedule) -> Schedule:
    """An endpoint's schedule: its own intervals and number of retries, where it has them."""
    steps = tuple(float(seconds) for seconds in intervals) or fallback.intervals or LADDER
    if attempts is not None:
        return Schedule(steps, attempts)
    return Schedule(steps, len(steps) if intervals else fallback.retries)


def jittered(seconds: float, rng: random.Random | None = None) -> float:
    """Within 20 % to either side, so that what failed together does not come back together."""
    draw = (rng or _rng).uniform(-JITTER, JITTER)
    return seconds * (1 + draw)


def retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3), at most a day; None if it asks
    nothing.
    """
    text = (value or "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
        seconds = (at - now).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def worth_retrying(status: int | None, retry_on: Sequence[int]) -> bool:
    """Whether a failure is retried: always without an answer, else if its status is listed (or none is)."""
    return status is None or not retry_on or status in retry_on


_rng = random.SystemRandom()
