"""Ring a worker's doorbell after commit. A message only says "look": rows say what is due.

A broker that is down or hangs never fails the caller and never delays it for long. One thread of the process
does the sending, and callers wait for it for at most WAIT seconds; after a failure the bells are silent for
PAUSE seconds, because the periodic sweep finds everything anyway.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from celery import Celery, current_app
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from apps.kernel.redaction import redact_text

logger = logging.getLogger(__name__)

WAIT = 2.0
PAUSE = 5.0

# kombu would try for minutes; a doorbell is tried once.
_ONCE = {"max_retries": 0, "interval_start": 0, "interval_step": 0, "interval_max": 0}
_TIMEOUTS: dict[str, dict[str, float]] = {
    "redis": {"socket_connect_timeout": 1.0, "socket_timeout": 1.5},
    "amqp": {"connect_timeout": 1.0, "read_timeout": 1.5, "write_timeout": 1.5},
}


def enqueue(task_name: str, *args: Any, queue: str | None = None, countdown: float | None = None) -> None:
    """Send a task by name when the running transaction has committed; at once if there is none.

    Identical bells of one transaction ring once. Arguments are numbers, texts, booleans, None or UUIDs, which
    become text; anything else raises TypeError. A broker's failure is logged and never raised. `countdown` is
    in seconds.
    """
    bell = _Doorbell(task_name, tuple(_plain(arg) for arg in args), queue, countdown)
    if not _rings_already(bell):
        transaction.on_commit(bell, robust=True)


@dataclass(frozen=True)
class _Doorbell:
    task_name: str
    args: tuple[Any, ...]
    queue: str | None
    countdown: float | None

    def __call__(self) -> None:
        _ring(self)

    @property
    def key(self) -> tuple[Any, ...]:
        """Equal for identical bells; 1, 1.0 and True are not identical."""
        return self.task_name, repr(self.args), self.queue, self.countdown


def _plain(value: Any) -> Any:
    if isinstance(value, uuid.UUID):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"A task takes ids and other plain values, not {type(value).__name__}.")


@dataclass
class _Index:
    """The bells among one transaction's callbacks, with the savepoints that each would be lost with."""

    callbacks: list[Any]
    bells: dict[tuple[Any, ...], list[set[str]]] = field(default_factory=dict)
    seen: int = 0


def _rings_already(bell: _Doorbell) -> bool:
    """Whether the same bell rings whenever this one would.

    A bell that was rung in a savepoint may still be rolled back with it, so it counts only inside of it.
    """
    connection: Any = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        return False
    index = getattr(connection, "_doorbells", None)
    # Django makes a new list of callbacks at each commit and rollback, also of a savepoint.
    if index is None or index.callbacks is not connection.run_on_commit:
        index = connection._doorbells = _Index(connection.run_on_commit)
    for savepoints, callback, *_ in index.callbacks[index.seen :]:
        if isinstance(callback, _Doorbell):
            index.bells.setdefault(callback.key, []).append(savepoints)
    index.seen = len(index.callbacks)
    current = set(connection.savepoint_ids)
    return any(savepoints <= current for savepoints in index.bells.get(bell.key, ()))


class _Sender:
    """The thread that speaks with the broker."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._busy_since: float | None = None
        self._silent_until = 0.0

    def send(self, bell: _Doorbell) -> None:
        if time.monotonic() < self._silent_until or self._is_stuck():
            logger.debug("Task %s was not sent: the broker failed a moment ago.", bell.task_name)
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="doorbells", daemon=True)
                self._thread.start()
        current: Any = current_app  # which is another one in each thread
        job = _Job(current._get_current_object(), bell)
        self._jobs.put(job)
        if not job.done.wait(WAIT):
            self._fall_silent(bell, f"the broker did not answer within {WAIT:g} s")
        elif job.error is not None:
            self._fall_silent(bell, f"{type(job.error).__name__}: {job.error}")

    def _is_stuck(self) -> bool:
        since = self._busy_since
        return since is not None and time.monotonic() - since > WAIT

    def _fall_silent(self, bell: _Doorbell, why: str) -> None:
        self._silent_until = time.monotonic() + PAUSE
        logger.warning(
            "Task %s was not sent (%s); the next sweep finds its work.", bell.task_name, redact_text(why)
        )

    def _run(self) -> None:
        connection: Any = None
        served: Celery | None = None
        while True:
            job = self._jobs.get()
            self._busy_since = time.monotonic()
            try:
                if connection is None or served is not job.app:
                    connection, served = _connection(job.app), job.app
                _send(job, connection)
            except Exception as exc:
                job.error = exc
                with suppress(Exception):
                    connection.collapse()
                connection = None
            finally:
                self._busy_since = None
                job.done.set()


@dataclass
class _Job:
    app: Any
    bell: _Doorbell
    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


def _connection(app: Any) -> Any:
    address = str(app.conf.broker_write_url or "")
    limits = next((v for scheme, v in _TIMEOUTS.items() if address.startswith((scheme, f"{scheme}s:"))), {})
    return app.connection_for_write(connect_timeout=1.0, transport_options={**_ONCE, **limits})


def _send(job: _Job, connection: Any) -> None:
    bell = job.bell
    job.app.send_task(
        bell.task_name,
        args=list(bell.args),
        countdown=bell.countdown,
        connection=connection,
        retry=False,
        ignore_result=True,
        **({} if bell.queue is None else {"queue": bell.queue}),
    )


_sender = _Sender()


def _ring(bell: _Doorbell) -> None:
    try:
        _sender.send(bell)
    except Exception as exc:  # no thread could be started
        logger.warning("Task %s was not sent: %s.", bell.task_name, type(exc).__name__)


def _forget_after_fork() -> None:
    """A child has neither its parent's thread nor the right to its connection."""
    global _sender
    _sender = _Sender()


os.register_at_fork(after_in_child=_forget_after_fork)
