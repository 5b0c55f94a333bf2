"""Counting in Redis: one EVALSHA per call, exact for every process that shares the server.

The server's clock tells the time, so that the clocks of machines may differ. Raises redis.RedisError when it
does not answer in time; what then is the business of `core`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from hashlib import sha1
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from apps.apikeys.limiter.plans import Plan, Standing, Verdict

SCRIPT = files(__package__).joinpath("limiter.lua").read_text(encoding="utf-8")
SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class RedisStore:
    """Counters in Redis, under `prefix`. `timeout` in seconds is for connecting and for each answer.

    `clock` (microseconds) takes the place of the server's own clock, for tests.
    """

    def __init__(
        self, url: str, *, prefix: str = "hub", timeout: float = 0.05, clock: Callable[[], int] | None = None
    ) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=0,
            decode_responses=False,
        )
        self._clock = clock
        self._prefix = prefix
        self._local = threading.local()
        self.revision_key = f"{prefix}:rev"

    def check(self, plan: Plan, *, take: bool = True) -> tuple[Verdict, int]:
        """The verdict, and the generation of what processes remember of keys and limits."""
        answer = self._run(plan, take)
        numbers = iter(answer[2:])
        standings = tuple(Standing(left, wait) for left, wait in zip(numbers, numbers, strict=True))
        return Verdict(plan, bool(answer[1]), standings), answer[0]

    def reset(self, keys: Iterable[str]) -> None:
        """Forget what was counted."""
        names = [f"{self._prefix}:rl:{key}" for key in keys]
        if names:
            self._command("DEL", *names)

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
            found: list[int] = self._send(packed)
        except redis.exceptions.NoScriptError:
            now = 0 if self._clock is None else self._clock()
            found = self._send(self._packed("EVAL", SCRIPT, plan, take, now))
        return found

    def _packed(self, command: str, script: str, plan: Plan, take: bool, now: int) -> bytes:
        keys = [self.revision_key, *(f"{self._prefix}:rl:{counter.key}" for counter in plan.counters)]
        arguments: list[Any] = [now, int(take)]
        for counter in plan.counters:
            arguments += [counter.kind, counter.limit, counter.window, counter.grain]
        return b"".join(self._connection().pack_command(command, script, len(keys), *keys, *arguments))

    def _command(self, *words: Any) -> Any:
        return self._send(b"".join(self._connection().pack_command(*words)))

    def _send(self, packed: bytes) -> Any:
        connection = self._connection()
        fresh = connection._sock is None
        try:
            return self._exchange(connection, packed)
        except redis.exceptions.ConnectionError:
            # The server closed a connection that lay idle, or was started anew: once more, on a new one.
            if fresh:
                raise
            return self._exchange(connection, packed)

    @staticmethod
    def _exchange(connection: Any, packed: bytes) -> Any:
        try:
            connection.connect()
            connection.send_packed_command([packed], check_health=False)
            return connection.read_response()
        except redis.exceptions.ResponseError:
            raise
        except BaseException:
            # Whatever it was, a late answer must not be taken for the next call's.
            connection.disconnect()
            raise

    def _connection(self) -> Any:
        """This thread's own; a forked child does not use its parent's."""
        mine = getattr(self._local, "connection", None)
        if mine is not None and self._local.pid == os.getpid():
            return mine
        found: Any = self._pool.make_connection()
        # One try within the time-out, no backoff: the breaker decides what comes after.
        found.retry = Retry(NoBackoff(), 0)
        self._local.connection, self._local.pid = found, os.getpid()
        return found
