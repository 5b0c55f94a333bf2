"""How long calls took, as counts in fixed steps: they add up across processes, hours and endpoints."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

# Upper ends in milliseconds; the last step holds everything longer.
BOUNDS = (1, 2, 3, 5, 7, 10, 15, 25, 40, 60, 100, 150, 250, 400, 600, 1000, 1500, 2500, 5000, 10_000)
STEPS = len(BOUNDS) + 1
COLUMNS = tuple(f"h{n}" for n in range(STEPS))
_IN_MICROSECONDS = tuple(bound * 1000 for bound in BOUNDS)


def step_of(microseconds: int) -> int:
    """The number of the step that a duration falls into."""
    return bisect_left(_IN_MICROSECONDS, microseconds)


def percentile(counts: Sequence[int], share: float, longest: float | None = None) -> float | None:
    """The duration in milliseconds below which `share` (0 to 1) of the calls stayed; None without calls.

    Interpolated inside the step that it falls into, so it errs by at most the width of that step. `longest`
    (milliseconds) bounds it.
    """
    total = sum(counts)
    if not total:
        return None
    wanted = share * total
    seen = 0
    value = float(BOUNDS[-1])
    for n, count in enumerate(counts):
        if count and seen + count >= wanted:
            low = BOUNDS[n - 1] if n else 0
            high = BOUNDS[n] if n < len(BOUNDS) else max(longest or 0.0, BOUNDS[-1])
            value = low + (high - low) * max(0.0, wanted - seen) / count
            break
        seen += count
    return round(min(value, longest) if longest is not None else value, 2)
