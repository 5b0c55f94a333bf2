"""Settings of logs: one line per event on standard error, as text or JSON, with secrets masked."""

from __future__ import annotations

from typing import Any

from integration_hub.config import Config


def logging_settings(config: Config) -> dict[str, Any]:
    """Django's LOGGING."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "text": {"()": "integration_hub.logging_formats.TextFormatter"},
            "json": {"()": "apps.kernel.redaction.logs.JSONLogFormatter"},
        },
        "filters": {"request_id": {"()": "apps.kernel.api.context.RequestIdFilter"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": config.log_format,
                "filters": ["request_id"],
            },
        },
        "root": {"handlers": ["stderr"], "level": config.log_level},
        "loggers": {
            "django": {"level": config.log_level, "handlers": [], "propagate": True},
            "django.server": {"level": "INFO", "handlers": [], "propagate": True},
            # SQL with its parameters would carry secrets into the log, whatever the level.
            "django.db.backends": {"level": "INFO"},
            # These tell at level DEBUG of the tokens and codes that they hand out.
            "oauthlib": {"level": "INFO"},
            "requests_oauthlib": {"level": "INFO"},
            "oauth2_provider": {"level": "INFO"},
            "celery": {"level": config.log_level},
            # One line per task received and done says nothing when doorbells ring every five seconds.
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "celery.worker.consumer.connection": {"level": "WARNING"},
            "kombu": {"level": "INFO"},
            "amqp": {"level": "INFO"},
            "boto3": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
            "urllib3": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},
            "httpcore": {"level": "WARNING"},
        },
    }
