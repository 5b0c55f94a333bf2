"""Settings of background work: the broker, the queues and which task goes where."""

from __future__ import annotations

from typing import Any

from integration_hub.config import Config

DEFAULT, SYNC, JOBS, WEBHOOKS, MAINTENANCE = "default", "sync", "jobs", "webhooks", "maintenance"
QUEUES = (DEFAULT, SYNC, JOBS, WEBHOOKS, MAINTENANCE)

# The first part of a task's name is its app; what an app does decides its queue.
ROUTES = {
    "connectors.*": {"queue": SYNC},
    "accounting.*": {"queue": SYNC},
    "esign.*": {"queue": SYNC},
    "jobs.*": {"queue": JOBS},
    "records.*": {"queue": JOBS},
    "webhooks.*": {"queue": WEBHOOKS},
    "events.*": {"queue": WEBHOOKS},
    "health.*": {"queue": MAINTENANCE},
    "backups.*": {"queue": MAINTENANCE},
    "kernel.*": {"queue": MAINTENANCE},
    "audit.*": {"queue": MAINTENANCE},
}

# Longer than any task lives: every long run leases its row, checkpoints and comes back by a sweep.
VISIBILITY_TIMEOUT = 900
LEASE = 60


def celery_settings(config: Config) -> dict[str, Any]:
    """The CELERY_* settings that follow from the configuration."""
    # Imported here: kombu is not needed by those who only want the queues' names.
    from kombu import Queue

    broker = config.celery_broker_url or "sqlite://embedded"
    options: dict[str, Any] = {}
    if broker.startswith("sqlite"):
        options = {"path": str(config.hub_home / "queue.sqlite3"), "lease": LEASE}
    elif broker.startswith("redis"):
        options = {
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "queue_order_strategy": "priority",
            "global_keyprefix": "hub:",
        }
    elif broker.startswith("amqp"):
        options = {"confirm_publish": True, "connect_timeout": 5}
    return {
        "CELERY_BROKER_URL": broker,
        "CELERY_BROKER_TRANSPORT_OPTIONS": options,
        "CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP": True,
        "CELERY_BROKER_CONNECTION_MAX_RETRIES": None,
        # A doorbell that nobody hears is given up at once: the sweep finds the row.
        "CELERY_TASK_PUBLISH_RETRY": False,
        "CELERY_BROKER_CONNECTION_TIMEOUT": 5,
        "CELERY_RESULT_BACKEND": None,
        "CELERY_TASK_IGNORE_RESULT": True,
        "CELERY_TASK_ACKS_LATE": True,
        "CELERY_TASK_REJECT_ON_WORKER_LOST": True,
        "CELERY_WORKER_PREFETCH_MULTIPLIER": 1,
        "CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS": True,
        "CELERY_WORKER_HIJACK_ROOT_LOGGER": False,
        "CELERY_WORKER_SEND_TASK_EVENTS": False,
        "CELERY_TASK_SERIALIZER": "json",
        "CELERY_ACCEPT_CONTENT": ["json"],
        "CELERY_TASK_DEFAULT_QUEUE": DEFAULT,
        "CELERY_TASK_QUEUES": [Queue(name, durable=True) for name in QUEUES],
        "CELERY_TASK_CREATE_MISSING_QUEUES": False,
        "CELERY_TASK_ROUTES": ROUTES,
        # Enforced by prefork; threads keep cooperative deadlines.
        "CELERY_TASK_TIME_LIMIT": VISIBILITY_TIMEOUT - 60,
        "CELERY_TASK_SOFT_TIME_LIMIT": VISIBILITY_TIMEOUT - 120,
        "CELERY_ENABLE_UTC": True,
        "CELERY_TIMEZONE": "UTC",
        # See `keep_good_connections`.
        "CELERY_DB_REUSE_MAX": 10**9,
        "CELERY_BEAT_SCHEDULER": "integration_hub.runtime.beat:LeasedScheduler",
        "CELERY_BEAT_MAX_LOOP_INTERVAL": 5,
    }
