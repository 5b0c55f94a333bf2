"""A small Celery application on the embedded queue, for the test that runs real workers."""

import os
import time

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["sqlite"] = "integration_hub.runtime.sqlite_transport:Transport"

app = Celery("peer", broker="sqlite://", fixups=[])
app.conf.update(
    broker_transport_options={"path": os.environ["PEER_QUEUE"], "lease": 4.0},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


@app.task
def note(text: str, seconds: float = 0.0) -> None:
    """Log that the task began, take some time, log that it ended."""
    _log(f"begin {text}")
    time.sleep(seconds)
    _log(f"end {text} {time.time()}")


def _log(line: str) -> None:
    log = os.open(os.environ["PEER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{line}\n".encode())
    os.close(log)
