"""Counting in Redis: one EVALSHA per call, exact for every process that shares the server.

The server's clock tells the time, so that the clocks of machines may differ. Raises redis.RedisError when it
does not answer in time; what then is the business of `core`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha1
from importlib.resources import files
from itertools import groupby
from typing import Any

import hiredis
import redis

from apps.apikeys.limiter.plans import GCRA, Counter, Plan, Standing, Verdict
from apps.apikeys.limiter.wire import Wire

SCRIPT = files(__package__).joinpath("limiter.lua").read_text(encoding="utf-8")
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """Counters in Redis, under `prefix`. `timeout` in seconds is for connecting and for each answer.

    `clock` (microseconds) takes the place of the server's own clock, for tests.
    """

    def __init__(
        self, url: str, *, prefix: str = "hub", timeout: float = 0.05, clock: Callable[[], int] | None = None
    ) -> None:
        self._wire = Wire(url, timeout=timeout)
        self._clock = clock
        self._prefix = prefix
        self.revision_key = f"{prefix}:rev"

    def check(self, plan: Plan, *, take: bool = True) -> tuple[Verdict, int]:
        """The verdict, and the generation of what processes remember of keys and limits."""
        answer = self._run(plan, take)
        numbers = iter(answer[2:])
        standings = tuple(Standing(left, wait) for left, wait in zip(numbers, numbers, strict=True))
        return Verdict(plan, bool(answer[1]), standings), answer[0]

    def reset(self, counters: Iterable[Counter]) -> None:
        """Forget what was counted."""
        for home, group in groupby(counters, self._home):
            found = list(group)
            self._command("HDEL", home, *map(_field, found))
            self._command("DEL", *map(self._list, found))

    def bump(self) -> int:
        """A new generation: every process asks anew at its very next call."""
        return int(self._command("INCR", self.revision_key))

    def revision(self) -> int:
        """The number of the present generation."""
        return int(self._command("GET", self.revision_key) or 0)

    # --- the wire

    def _run(self, plan: Plan, take: bool) -> list[int]:
        if self._clock is None:
            # The same bytes each time: packing them would cost more than sending them.
            which = f"{self._prefix}:{take:d}"
            packed = plan.prepared.get(which)
            if packed is None:
                packed = plan.prepared[which] = self._packed("EVALSHA", SHA, plan, take, 0)
        else:
            packed = self._packed("EVALSHA", SHA, plan, take, self._clock())
        try:
            found: list[int] = self._wire.ask(packed)
        except redis.exceptions.NoScriptError:
            now = 0 if self._clock is None else self._clock()
            found = self._wire.ask(self._packed("EVAL", SCRIPT, plan, take, now))
        return found

    def _packed(self, command: str, script: str, plan: Plan, take: bool, now: int) -> bytes:
        keys = [self.revision_key]
        arguments: list[Any] = [now, int(take)]
        for home, group in groupby(plan.counters, self._home):
            counters = list(group)
            keys += [home, *(self._list(counter) for counter in counters if counter.kind != GCRA)]
            arguments += [len(counters), *map(_field, counters)]
            for counter in counters:
                arguments += [counter.kind, counter.limit, counter.window, counter.grain]
        return _bytes_of(command, script, len(keys), *keys, *arguments)

    def _home(self, counter: Counter) -> str:
        return f"{self._prefix}:limits:{counter.home or counter.key}"

    def _list(self, counter: Counter) -> str:
        return f"{self._prefix}:limits:{counter.key}:list"

    def _command(self, *words: Any) -> Any:
        return self._wire.ask(_bytes_of(*words))


def _field(counter: Counter) -> str:
    return counter.key.removeprefix(counter.home)


def _bytes_of(*words: Any) -> bytes:
    found: bytes = hiredis.pack_command(words)
    return found
