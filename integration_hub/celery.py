"""The Celery application. Messages are doorbells: what is due is decided by rows in the database."""

import logging.config
import os
import warnings
from typing import Any

from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")

# What makes root a danger to Celery is the pickle format, and the hub accepts JSON alone.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
# The embedded queue: one SQLite file, chosen by the broker address sqlite://.
TRANSPORT_ALIASES["sqlite"] = "integration_hub.runtime.sqlite_transport:Transport"

app = Celery("integration_hub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def use_the_hubs_logging(**_: Any) -> None:
    """Celery logs as the web server does, with secrets masked."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@task_prerun.connect
@task_postrun.connect
def keep_good_connections(task: Any = None, **_: Any) -> None:
    """Between tasks, close database connections that are broken or too old, and keep the others.

    Celery itself would close every one after each task (CELERY_DB_REUSE_MAX).
    """
    from django.db import close_old_connections

    if not task.request.is_eager:
        close_old_connections()
