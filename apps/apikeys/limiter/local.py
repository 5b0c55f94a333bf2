"""Counting in this process: exact for one process and all its threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from apps.apikeys.limiter.plans import BUCKET, GCRA, LOG, Counter, Plan, Standing, Verdict

SWEEP_EVERY = 60_000_000  # microseconds


def monotonic() -> int:
    """Microseconds; never steps back, whatever becomes of the machine's clock."""
    return time.monotonic_ns() // 1000


class _Log:
    """The moments at which places become free again, oldest first."""

    __slots__ = ("leaves",)

    def __init__(self) -> None:
        self.leaves: deque[int] = deque()

    def look(self, counter: Counter, now: int) -> Standing:
        leaves = self.leaves
        while leaves and leaves[0] <= now:
            leaves.popleft()
        taken = len(leaves)
        if taken < counter.limit:
            return Standing(counter.limit - taken, leaves[0] - now if leaves else 0)
        return Standing(0, leaves[taken - counter.limit] - now)

    def take(self, counter: Counter, now: int) -> Standing:
        self.leaves.append(now + counter.window)
        return Standing(counter.limit - len(self.leaves), self.leaves[0] - now)

    def last(self) -> int:
        return self.leaves[-1] if self.leaves else 0


class _Buckets:
    """Like a log, but the places taken within a grain become free together, at the end of their grain."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets: deque[list[int]] = deque()  # [free at, how many]
        self.total = 0

    def look(self, counter: Counter, now: int) -> Standing:
        buckets = self.buckets
        while buckets and buckets[0][0] <= now:
            self.total -= buckets.popleft()[1]
        if self.total < counter.limit:
            return Standing(counter.limit - self.total, buckets[0][0] - now if buckets else 0)
        left, wait = self.total, 0
        for leave, count in buckets:
            left -= count
            wait = leave - now
            if left < counter.limit:
                break
        return Standing(0, wait)

    def take(self, counter: Counter, now: int) -> Standing:
        buckets = self.buckets
        leave = (now // counter.grain + 1) * counter.grain + counter.window
        if buckets and buckets[-1][0] >= leave:
            buckets[-1][1] += 1
        else:
            buckets.append([leave, 1])
        self.total += 1
        return Standing(counter.limit - self.total, buckets[0][0] - now)

    def last(self) -> int:
        return self.buckets[-1][0] if self.buckets else 0


class _Gcra:
    """`full`: the moment at which the whole burst will have been regained."""

    __slots__ = ("full",)

    def __init__(self) -> None:
        self.full = 0

    def look(self, counter: Counter, now: int) -> Standing:
        spare = counter.window - max(0, self.full - now)
        if spare < counter.grain:
            return Standing(0, counter.grain - spare)
        return _regained(counter, spare)

    def take(self, counter: Counter, now: int) -> Standing:
        self.full = max(self.full, now) + counter.grain
        return _regained(counter, counter.window - (self.full - now))

    def last(self) -> int:
        return self.full


def _regained(counter: Counter, spare: int) -> Standing:
    whole = spare // counter.grain
    return Standing(whole, 0 if whole == counter.limit else counter.grain - spare % counter.grain)


_KINDS: dict[str, Callable[[], _Log | _Buckets | _Gcra]] = {LOG: _Log, BUCKET: _Buckets, GCRA: _Gcra}


class LocalStore:
    """Counters in memory. `clock` tells microseconds."""

    def __init__(self, clock: Callable[[], int] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._cells: dict[str, _Log | _Buckets | _Gcra] = {}
        self._sweep_at = 0

    def check(self, plan: Plan, *, take: bool = True) -> Verdict:
        """Pass and count in every counter or, if any has no place left, in none. Without `take` only look."""
        with self._lock:
            now = self._clock()
            if now >= self._sweep_at:
                self._sweep(now)
            cells = [self._cell(counter) for counter in plan.counters]
            standings = [cell.look(counter, now) for cell, counter in zip(cells, plan.counters, strict=True)]
            passed = all(standing.remaining for standing in standings)
            if passed and take:
                pairs = zip(cells, plan.counters, strict=True)
                standings = [cell.take(counter, now) for cell, counter in pairs]
        return Verdict(plan, passed, tuple(standings))

    def reset(self, keys: Iterable[str]) -> None:
        """Forget what was counted."""
        with self._lock:
            for key in keys:
                self._cells.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._cells.clear()

    def _cell(self, counter: Counter) -> _Log | _Buckets | _Gcra:
        cell = self._cells.get(counter.key)
        if cell is None:
            cell = self._cells[counter.key] = _KINDS[counter.kind]()
        return cell

    def _sweep(self, now: int) -> None:
        """Forget the counters in which nothing counts any more."""
        self._sweep_at = now + SWEEP_EVERY
        for key in [key for key, cell in self._cells.items() if cell.last() <= now]:
            del self._cells[key]
