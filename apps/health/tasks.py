"""The clock's door to health."""

from __future__ import annotations

from celery import current_app, shared_task

from apps.health.services import checks, heartbeats
from apps.kernel.background import enqueue


@shared_task(name="health.heartbeat")
def heartbeat() -> None:
    """Rung by the scheduler: it lives, and so does this queue; every queue is asked for a sign of life."""
    heartbeats.beat(name="scheduler", title="Scheduler")
    for queue in current_app.conf.task_queues or ():
        enqueue("health.pulse", queue.name, queue=queue.name)
    checks.run_all()


@shared_task(name="health.pulse")
def pulse(queue: str) -> None:
    """A worker of this queue lives."""
    heartbeats.beat(name=f"queue:{queue}", title=f"Queue “{queue}”")
