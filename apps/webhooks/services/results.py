"""Recording what became of attempts: many at once, in one transaction, each only under the lease it was made
with.

A worker whose lease ran out records nothing about a delivery: another one has it. The attempt's own row still
tells what happened.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from apps.events.models import Event
from apps.kernel import ids
from apps.kernel.redaction import MASK, is_secret_name, redact_text
from apps.tenants.principals import SYSTEM
from apps.webhooks import events, health, retries
from apps.webhooks.models import Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.models.deliveries import KEPT_BODY
from apps.webhooks.payloads import to_json
from apps.webhooks.services import bulk, fifo, pausing
from apps.webhooks.services.requests import Settings
from apps.webhooks.services.sender import Outcome
from apps.webhooks.statuses import Cause, DeliveryStatus, EndpointStatus, HealthStatus

_ATTEMPT = (
    "finished_at", "status_code", "error_code", "error", "duration_ms", "request_headers", "response_headers",
    "response_body",
)  # fmt: skip
_DELIVERY = (
    "status", "step", "next_attempt_at", "delivered_at", "last_status", "last_error", "updated_at",
    "lease_owner", "lease_until",
)  # fmt: skip
_MAX_HEADERS = 64
_MAX_HEADER_VALUE = 1024


def record(
    outcomes: Sequence[Outcome],
    settings: Mapping[UUID, Settings],
    *,
    owner: str,
    rng: random.Random | None = None,
) -> int:
    """Write the outcomes of attempts; returns how many of their deliveries were still ours."""
    if not outcomes:
        return 0
    now = timezone.now()
    decided = [
        (outcome, _decide(outcome, settings.get(outcome.job.endpoint_id), now, rng)) for outcome in outcomes
    ]
    with transaction.atomic():
        fifo.lock_endpoints(o.job.endpoint_id for o in outcomes if o.job.ordering_key)
        held = bulk.update(
            Delivery,
            ("id", "lease_token", "lease_owner"),
            _DELIVERY,
            [(o.job.id, o.job.token, owner, *values) for o, values in decided],
            # Not the words of the index of leased deliveries: through all that were leased since the last
            # vacuum it is a long way to some hundred ids.
            only_if=f"status || '' = '{DeliveryStatus.DELIVERING}'",
        )
        bulk.update(
            DeliveryAttempt,
            ("id",),
            _ATTEMPT,
            [(o.job.attempt_id, *_told(o, settings.get(o.job.endpoint_id))) for o in outcomes],
        )
        ours = [(o, values) for o, values in decided if o.job.id in held]
        real = [(o, values[0]) for o, values in ours if o.job.cause != Cause.TEST]
        done = (DeliveryStatus.DELIVERED, DeliveryStatus.FAILED)
        keys = {(o.job.endpoint_id, o.job.ordering_key) for o, status in real if status in done}
        fifo.release({pair for pair in keys if pair[1]}, now)
        _note_health([o for o, _ in real], now)
        _tell_exhausted([o for o, status in real if status == DeliveryStatus.FAILED])
    return len(held)


def _decide(
    outcome: Outcome, settings: Settings | None, now: datetime, rng: random.Random | None
) -> tuple[Any, ...]:
    """The delivery's new values, in the order of `_DELIVERY`."""
    job = outcome.job
    if outcome.succeeded:
        at = outcome.finished_at
        return (str(DeliveryStatus.DELIVERED), job.step, None, at, outcome.status, "", now, "", None)
    pause = _pause(outcome, settings, now, rng)
    status = DeliveryStatus.FAILED if pause is None else DeliveryStatus.RETRYING
    due = None if pause is None else now + timedelta(seconds=pause)
    return (str(status), job.step + 1, due, None, outcome.status, outcome.error[:300], now, "", None)


def _pause(
    outcome: Outcome, settings: Settings | None, now: datetime, rng: random.Random | None
) -> float | None:
    """Seconds until the next attempt; None if there will be none."""
    if settings is None or outcome.permanent or outcome.job.cause == Cause.TEST:
        return None
    if not retries.worth_retrying(outcome.status, settings.retry_on):
        return None
    pause = settings.schedule.pause(outcome.job.step)
    if pause is None:
        return None
    pause = retries.jittered(pause, rng)
    if outcome.status in retries.HONOURS_RETRY_AFTER and outcome.response is not None:
        asked = retries.retry_after(outcome.response.headers.get("retry-after"), now=now)
        pause = max(pause, asked or 0.0)
    return pause


def _told(outcome: Outcome, settings: Settings | None) -> tuple[Any, ...]:
    """The attempt's values, in the order of `_ATTEMPT`."""
    headers: dict[str, str] = {}
    body = ""
    if outcome.response is not None:
        for name, value in list(outcome.response.headers.items())[:_MAX_HEADERS]:
            value = MASK if is_secret_name(name) else value[:_MAX_HEADER_VALUE]
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = (
            _shown_body(outcome.response.text, settings, outcome.hidden) if outcome.response.content else ""
        )
    return (
        outcome.finished_at,
        outcome.status,
        outcome.error_code,
        outcome.error[:300],
        outcome.duration_ms,
        to_json(outcome.shown).decode(),
        to_json(headers).decode().replace("\\u0000", ""),
        body,
    )


def _shown_body(text: str, settings: Settings | None, hidden: tuple[str, ...] = ()) -> str:
    """The first 16 KiB of an answer, as text that any database takes, with our secrets masked if it echoes
    them.
    """
    text = text[:KEPT_BODY].replace("\x00", "\ufffd")
    text = text.encode("utf-8", "replace")[:KEPT_BODY].decode("utf-8", "ignore")
    if settings is not None:
        hidden = (*hidden, *(s for s, _ in settings.secrets), *(v for _, v in settings.secret_headers))
    for secret in hidden:
        if secret and secret in text:
            text = text.replace(secret, MASK)
    return redact_text(text)


def _note_health(outcomes: Sequence[Outcome], now: datetime) -> None:
    """Count failures in a row; degrade, pause or resume what that calls for."""
    by_endpoint: dict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda o: o.finished_at):
        by_endpoint[outcome.job.endpoint_id].append(outcome)
    good = [key for key, found in by_endpoint.items() if all(o.succeeded and not o.job.probe for o in found)]
    if good:
        changed = _unclean(good)
        if changed:
            WebhookEndpoint.objects.filter(pk__in=changed).update(
                consecutive_failures=0,
                first_failure_at=None,
                alerted_percent=0,
                health_status=HealthStatus.HEALTHY,
            )
    rest = [key for key in by_endpoint if key not in set(good)]
    if rest:
        rows = WebhookEndpoint.objects.select_related("organization").filter(pk__in=rest).order_by("pk")
        for endpoint in rows.select_for_update(of=("self",), no_key=True):
            if endpoint.removed_at is not None or endpoint.status == EndpointStatus.INACTIVE:
                _leave(by_endpoint[endpoint.pk], now)
                continue
            _note(endpoint, by_endpoint[endpoint.pk], now)


def _unclean(keys: Sequence[UUID]) -> list[UUID]:
    """Which of some endpoints are not known to be healthy, locked: in one order everywhere, or two workers
    could wait for each other.
    """
    if connection.vendor == "postgresql":
        table = WebhookEndpoint._meta.db_table
        sql = (
            f"SELECT id FROM {table} WHERE id = ANY(%s::uuid[]) "  # noqa: S608
            "AND (health_status <> %s OR consecutive_failures > 0) ORDER BY id FOR NO KEY UPDATE"
        )
        return [row[0] for row in bulk.fetch(sql, [list(keys), str(HealthStatus.HEALTHY)])]
    unclean = WebhookEndpoint.objects.filter(
        ~Q(health_status=HealthStatus.HEALTHY) | Q(consecutive_failures__gt=0), pk__in=keys
    )
    return list(unclean.order_by("pk").values_list("pk", flat=True))


def _leave(outcomes: Sequence[Outcome], now: datetime) -> None:
    """What was on its way when its endpoint was switched off or removed is not tried again."""
    Delivery.objects.filter(pk__in=[o.job.id for o in outcomes], status=DeliveryStatus.RETRYING).update(
        status=DeliveryStatus.CANCELLED,
        next_attempt_at=None,
        updated_at=now,
        last_error="The endpoint was switched off.",
    )


def _note(endpoint: WebhookEndpoint, outcomes: Sequence[Outcome], now: datetime) -> None:
    """Fold the outcomes of one endpoint, in the order in which they ended, into its health."""
    for outcome in outcomes:
        if outcome.succeeded:
            endpoint.consecutive_failures, endpoint.first_failure_at, endpoint.alerted_percent = 0, None, 0
        else:
            endpoint.consecutive_failures += 1
            endpoint.first_failure_at = endpoint.first_failure_at or outcome.finished_at
    failures, limit = endpoint.consecutive_failures, endpoint.max_consecutive_failures
    endpoint.health_status = health.health_of(failures=failures, limit=limit)
    percent = health.alert_due(failures=failures, limit=limit, alerted=endpoint.alerted_percent)
    if percent is not None:
        endpoint.alerted_percent = percent
    endpoint.save(
        update_fields=["consecutive_failures", "first_failure_at", "alerted_percent", "health_status"]
    )
    if percent is not None:
        pausing.tell(
            endpoint,
            events.ENDPOINT_DEGRADED,
            consecutive_failures=failures,
            max_consecutive_failures=limit,
            percent=percent,
        )
    _pause_or_resume(endpoint, outcomes, now)


def _pause_or_resume(endpoint: WebhookEndpoint, outcomes: Sequence[Outcome], now: datetime) -> None:
    if endpoint.status == EndpointStatus.PAUSED and endpoint.next_probe_at is not None:
        if any(o.succeeded and o.job.probe for o in outcomes):
            pausing.resume(endpoint=endpoint, actor=SYSTEM)
    elif endpoint.status == EndpointStatus.ACTIVE:
        if any(o.status == retries.GONE for o in outcomes):
            # Gone is a decision of the receiver's: only a person takes it back, so no probes.
            pausing.pause(endpoint=endpoint, actor=SYSTEM, reason="It answered 410 Gone.")
            return
        reason = health.pause_due(
            failures=endpoint.consecutive_failures,
            limit=endpoint.max_consecutive_failures,
            first_failure_at=endpoint.first_failure_at,
            now=now,
        )
        if reason:
            pausing.pause(endpoint=endpoint, actor=SYSTEM, reason=reason, probe_at=now + health.PROBE_EVERY)


def _tell_exhausted(outcomes: Sequence[Outcome]) -> None:
    """Say which deliveries are given up; never about a notice of ours, or two dead endpoints would feed
    each other.
    """
    foreign = [o for o in outcomes if not o.job.event_type.startswith(events.OWN_PREFIX)]
    if not foreign:
        return
    endpoints = WebhookEndpoint.objects.select_related("organization").in_bulk(
        {o.job.endpoint_id for o in foreign}
    )
    for outcome in foreign:
        job = outcome.job
        pausing.tell(
            endpoints[job.endpoint_id],
            events.DELIVERY_EXHAUSTED,
            delivery=ids.public(Delivery.PREFIX, job.id),
            event=None if job.event_id is None else ids.public(Event.PREFIX, job.event_id),
            event_type=job.event_type,
            attempts=job.attempt,
            last_error=outcome.error,
        )
