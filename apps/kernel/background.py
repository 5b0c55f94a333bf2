"""Ring a worker's bell after commit. A message only says that there is something to look at: rows say what is due.

A broker that is down never fails or delays the caller for long: after a failure, bells are skipped for a while,
since the periodic sweep finds everything anyway.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import uuid
from dataclasses import dataclass
from typing import Any

from celery import current_app
from django.db import transaction

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Doorbell:
    task_name: str
    args: tuple[Any, ...]
    queue: str | None
    countdown: float | None

    def __call__(self) -> None:
        _ring(self)


def enqueue(task_name: str, *args: Any, queue: str | None = None, countdown: float | None = None) -> None:
    """Send a task by name when the running transaction has committed; at once without one.

    Identical bells of one transaction ring once. Arguments are JSON values or UUIDs. Never raises for a broker.
    """
    plain = tuple(str(a) if isinstance(a, uuid.UUID) else a for a in args)
    transaction.on_commit(_Doorbell(task_name, plain, queue, countdown), robust=True)


def _ring(bell: _Doorbell) -> None:
    options: dict[str, Any] = {} if bell.queue is None else {"queue": bell.queue}
    try:
        current_app.send_task(
            bell.task_name,
            args=list(bell.args),
            countdown=bell.countdown,
            retry=False,
            ignore_result=True,
            **options,
        )
    except Exception as exc:
        logger.warning("Task %s was not sent: %s", bell.task_name, type(exc).__name__)
