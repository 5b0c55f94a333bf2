"""The Celery application. Messages are doorbells: what is due is decided by rows in the database."""

import os

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "integration_hub.settings")

# The embedded queue: one SQLite file, chosen by the broker address sqlite://.
TRANSPORT_ALIASES["sqlite"] = "integration_hub.runtime.sqlite_transport:Transport"

app = Celery("integration_hub")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
