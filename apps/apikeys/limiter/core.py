"""The limiter of a process: which store counts, what happens when it is away, and what the others changed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import redis

from apps.apikeys.limiter.breaker import Breaker
from apps.apikeys.limiter.local import LocalStore
from apps.apikeys.limiter.plans import GCRA, Counter, Plan, Standing, Verdict, plan
from apps.apikeys.limiter.remote import RedisStore
from apps.kernel.redaction import redact_text

logger = logging.getLogger("hub.limits")

LOCAL, OPEN, CLOSED = "local", "open", "closed"
WAIT_WHEN_CLOSED = 5_000_000  # microseconds


class Generation(Protocol):
    def read(self) -> int: ...
    def bump(self) -> int: ...


class Limiter:
    """Checks plans. Never raises: a server that is away is answered by the policy `when_down`.

    `local` gives each of `processes` its share of every limit (at least 1), counted in this process; `open`
    lets everything pass; `closed` nothing. `on_outage(began)` is told when Redis goes and when it comes back.
    """

    def __init__(
        self,
        *,
        store: RedisStore | None = None,
        generations: Generation | None = None,
        when_down: str = LOCAL,
        processes: int = 1,
        on_outage: Callable[[bool], None] = lambda _: None,
        local: LocalStore | None = None,
    ) -> None:
        self._store = store
        self._generations = generations
        self._when_down = when_down
        self._processes = max(1, processes)
        self._local = local or LocalStore()
        self._breaker = Breaker(on_change=on_outage)
        self._known: int | None = None
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_down(self) -> bool:
        """Whether the shared counters cannot be reached."""
        return self._breaker.is_open

    @property
    def is_shared(self) -> bool:
        """Whether counters are shared by processes at all."""
        return self._store is not None

    @property
    def counts_locally(self) -> bool:
        """Whether this process counts by itself while the shared counters are away."""
        return self._when_down == LOCAL

    # --- limits

    def check(self, checked: Plan, *, take: bool = True, when_down: str = "") -> Verdict:
        """Whether the call may pass; if so it is counted in every counter, else in none.

        Without `take` nothing is counted: where the counters stand now. `when_down` overrides the policy.
        """
        if self._store is None:
            if self._generations is not None:
                self._notice(self._generations.read())
            return self._local.check(self._share(checked), take=take)
        if self._breaker.allows():
            try:
                verdict, number = self._store.check(checked, take=take)
            except (redis.RedisError, OSError) as error:
                self._failed(error)
            else:
                self._breaker.succeeded()
                if number != self._known:
                    self._notice(number)
                return verdict
        return self._without(checked, take, when_down or self._when_down)

    def reset(self, counters: Iterable[Counter]) -> bool:
        """Forget what was counted; False if the shared counters cannot be reached."""
        told = list(counters)
        self._local.reset(counter.key for counter in told)
        return self._store is None or self._told(lambda store: store.reset(told))

    # --- generations

    def generation(self) -> int:
        """The last number that this process has seen, which costs nothing; asked for only the first time."""
        if self._known is None:
            if self._store is None:
                self._notice(self._generations.read() if self._generations is not None else 0)
            else:
                self._told(lambda store: self._notice(store.revision()))
        return self._known or 0

    def bump(self) -> None:
        """What processes remember of keys and limits is old, here and, from their next call on, elsewhere."""
        for listener in self._listeners:
            listener()
        if self._store is not None:
            self._told(lambda store: store.bump())
        elif self._generations is not None:
            try:
                self._generations.bump()
            except OSError as error:
                logger.warning("Other processes were not told of a changed key or limit: %s", error)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a new generation is seen. It must be quick and must not raise."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def _notice(self, number: int) -> None:
        if number == self._known:
            return
        with self._lock:
            if number == self._known:
                return
            # First forget, then say so: who sees the new number finds nothing older than it.
            for listener in self._listeners:
                listener()
            self._known = number

    # --- without Redis

    def _told(self, deed: Callable[[RedisStore], Any]) -> bool:
        assert self._store is not None
        if not self._breaker.allows():
            return False
        try:
            deed(self._store)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return False
        self._breaker.succeeded()
        return True

    def _failed(self, error: Exception) -> None:
        if not self._breaker.is_open:
            text = redact_text(f"{type(error).__name__}: {error}")
            logger.warning("The limits could not be counted in Redis (%s).", text)
        self._breaker.failed()

    def _without(self, checked: Plan, take: bool, when_down: str) -> Verdict:
        if when_down == OPEN or not checked.counters:
            return Verdict(plan(()), True, shared=False)
        if when_down == CLOSED:
            standings = tuple(Standing(0, WAIT_WHEN_CLOSED) for _ in checked.counters)
            return Verdict(checked, False, standings, shared=False)
        found = self._local.check(self._share(checked), take=take)
        return Verdict(found.plan, found.passed, found.standings, shared=False)

    def _share(self, checked: Plan) -> Plan:
        """This process's part of a plan."""
        if self._processes == 1:
            return checked
        found = checked.shares.get(self._processes)
        if found is None:
            found = checked.shares[self._processes] = plan(_shares(checked.counters, self._processes))
        return found


def _shares(counters: Sequence[Counter], processes: int) -> list[Counter]:
    found = []
    for counter in counters:
        limit = max(1, counter.limit // processes)
        length = counter.grain * limit if counter.kind == GCRA else counter.window
        found.append(replace(counter, limit=limit, window=length))
    return found
