"""Celery doors of API access."""

from __future__ import annotations

from celery import shared_task

from apps.apikeys.services import (
    alerts,
    api_versions,
    idempotency,
    issuing,
    keys,
    rotation,
    shares,
    signing,
    suspicion,
)
from apps.apikeys.usage import retention


@shared_task(name="apikeys.thin_usage")
def thin_usage() -> None:
    retention.thin()


@shared_task(name="apikeys.expire_keys")
def expire_keys() -> None:
    keys.expire_due()


@shared_task(name="apikeys.forget_answers")
def forget_answers() -> None:
    idempotency.forget_expired()


@shared_task(name="apikeys.mail_alerts", ignore_result=True)
def mail_alerts() -> None:
    """Send the mails about keys that are due."""
    alerts.send_due()


@shared_task(name="apikeys.warn_of_expiry", ignore_result=True)
def warn_of_expiry() -> None:
    """Every hour: tell of keys that end soon, and forget what was told long ago."""
    alerts.warn_of_expiry()
    alerts.forget_old()


@shared_task(name="apikeys.rotate_due", ignore_result=True)
def rotate_due() -> None:
    """Every five minutes: keys whose policy rotates them."""
    rotation.rotate_due()


@shared_task(name="apikeys.mark_versions", ignore_result=True)
def mark_versions() -> None:
    """Every minute: versions of the API whose deprecation or end has come."""
    api_versions.mark_due()


@shared_task(name="apikeys.look_for_suspicion", ignore_result=True)
def look_for_suspicion() -> None:
    """Every minute: keys that are used as they were not before."""
    suspicion.look()


@shared_task(name="apikeys.notice_share", ignore_result=True)
def notice_share(group: str, window: str, percent: int) -> None:
    """A key has used so much of a limit."""
    shares.tell(group=group, window=window, percent=percent)


@shared_task(name="apikeys.forget_tokens")
def forget_tokens() -> None:
    issuing.forget_old()
    signing.forget_old()
