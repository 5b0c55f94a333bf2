"""How webhooks are often sent: one Celery task for each delivery, with `requests`, and one row written."""

from __future__ import annotations

import os

import django
import requests
from celery import Celery

django.setup()

# Not the current app: the hub's own doorbells must not ring here.
BROKER = os.environ.get("BENCH_REDIS_URL") or os.environ.get("TEST_REDIS_URL") or "memory://"
app = Celery("peer", broker=BROKER, set_as_current=False)
app.conf.update(
    task_default_queue="bench-peer", task_ignore_result=True, broker_connection_retry_on_startup=True
)
# As Celery comes it opens a new connection to the database for every task, which costs more than all else.
app.conf.CELERY_DB_REUSE_MAX = 10**9


@app.task
def deliver(url: str, data: dict[str, object]) -> None:
    from apps.webhooks.models import DeliveryAttempt

    answer = requests.post(url, json=data, timeout=10)
    from django.utils import timezone

    DeliveryAttempt.objects.create(
        delivery_id="00000000-0000-0000-0000-000000000000",
        endpoint_id="00000000-0000-0000-0000-000000000000",
        number=1,
        is_test=True,
        started_at=timezone.now(),
        finished_at=timezone.now(),
        status_code=answer.status_code,
    )
