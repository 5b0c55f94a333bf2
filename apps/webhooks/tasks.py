"""Celery doors of the webhooks. A message says "look now"; what is due is in the rows."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from apps.kernel.background import enqueue
from apps.webhooks.services import claims, dispatch, fifo, forgetting, recovery, replaying, tallying
from apps.webhooks.services.inbound import keeping, processing, watching
from apps.webhooks.services.solo import turn_in_worker, worker_is_stopping

DRAIN_SECONDS = 20.0


@shared_task(name="webhooks.drain", ignore_result=True)
def drain() -> None:
    """Send what is due, unless this worker is at it already."""
    with turn_in_worker("webhooks.drain") as turn:
        if not turn.mine:
            return

        def hand_over() -> None:
            turn.give_up()
            enqueue("webhooks.drain", queue="webhooks")

        dispatch.drain(seconds=DRAIN_SECONDS, stop=worker_is_stopping, hand_over=hand_over)
    # A bell that rang between the last look and the end of the turn was not heard.
    if claims.is_due():
        enqueue("webhooks.drain", queue="webhooks")


@shared_task(name="webhooks.sweep", ignore_result=True)
def sweep() -> None:
    """Every few seconds: take over from killed workers and send what is due, whether or not a bell rang."""
    recovery.recover()
    recovery.give_up()
    fifo.release_forgotten(timezone.now())
    if claims.is_due():
        drain()


@shared_task(name="webhooks.replay", ignore_result=True)
def replay(replay_id: str) -> None:
    """Work on a replay that is due."""
    replaying.take(replay_id=replay_id)


@shared_task(name="webhooks.replay_sweep", ignore_result=True)
def replay_sweep() -> None:
    """Every few seconds: replays that nobody works on."""
    replaying.sweep()


@shared_task(name="webhooks.inbound_drain", ignore_result=True)
def inbound_drain() -> None:
    """Work off what came in, unless this worker is at it already."""
    with turn_in_worker("webhooks.inbound") as turn:
        if turn.mine:
            processing.drain(seconds=DRAIN_SECONDS, stop=worker_is_stopping)
    if turn.mine and processing.is_due():
        enqueue("webhooks.inbound_drain", queue="webhooks")


@shared_task(name="webhooks.inbound_sweep", ignore_result=True)
def inbound_sweep() -> None:
    """Every few seconds: what nobody rang for, what was due for another try, what a killed worker left."""
    if processing.is_due():
        inbound_drain()


@shared_task(name="webhooks.inbound_watch", ignore_result=True)
def inbound_watch() -> None:
    """Every few minutes: integrations that used to be called and are called no more."""
    watching.watch()


@shared_task(name="webhooks.inbound_retention", ignore_result=True)
def inbound_retention() -> None:
    """Hourly: old inbound webhooks, counts and samples."""
    keeping.forget_old()


@shared_task(name="webhooks.tally", ignore_result=True)
def tally() -> None:
    """Every minute: count the attempts that have ended, for the metrics."""
    tallying.fold()


@shared_task(name="webhooks.retention", ignore_result=True)
def retention() -> None:
    """Hourly: messages, answers and tries whose time is over."""
    tallying.fold()
    forgetting.forget_old()
