"""Celery doors of API access."""

from __future__ import annotations

from celery import shared_task

from apps.apikeys.services import idempotency, keys, usage


@shared_task(name="apikeys.flush_usage")
def flush_usage() -> None:
    usage.flush()


@shared_task(name="apikeys.expire_keys")
def expire_keys() -> None:
    keys.expire_due()


@shared_task(name="apikeys.forget_answers")
def forget_answers() -> None:
    idempotency.forget_expired()
