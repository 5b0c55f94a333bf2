"""Claiming due deliveries: which ones go next, fairly over the endpoints and within their limits.

Claims are made one at a time across all workers (an advisory lock on PostgreSQL, an immediate transaction on
SQLite). That is what makes the limits of concurrency and rate exact however many workers there are, and
costs little: a claim takes milliseconds and serves hundreds of deliveries.

Endpoints are found by jumping along the index of due work, and each contributes from the front of its own
queue, so that neither a flood for one endpoint nor a hundred thousand waiting deliveries slow a claim down.
"""

# ruff: noqa: S608
# The texts put into statements here are names of tables and columns and numbers of ours.
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

from apps.kernel import ids
from apps.webhooks import health
from apps.webhooks.models import Delivery, DeliveryAttempt, Payload, WebhookEndpoint
from apps.webhooks.services import batches, bulk
from apps.webhooks.statuses import WAITING, Cause, DeliveryStatus, EndpointStatus

LEASE_SECONDS = 90.0
_LOCK = 0x5745_4248_4F4F_4B  # "WEBHOOK"

_DELIVERIES = Delivery._meta.db_table
_ENDPOINTS = WebhookEndpoint._meta.db_table
_ATTEMPTS = DeliveryAttempt._meta.db_table
_PAYLOADS = Payload._meta.db_table
_ORGANIZATIONS = WebhookEndpoint._meta.get_field("organization").related_model._meta.db_table
# In the very words of the partial index, or the planner does not see that it serves.
_WAITING = f"status IN ('{WAITING[0]}', '{WAITING[1]}') AND next_attempt_at IS NOT NULL"
_CLAIMED = (
    "id", "endpoint_id", "organization_id", "event_id", "payload_id", "event_type", "cause", "ordering_key",
    "attempts", "step", "lease_token", "items",
)  # fmt: skip
_KEYS = ("id", "endpoint_id", "organization_id", "event_id", "payload_id")
_ATTEMPT = (
    "id", "delivery_id", "endpoint_id", "number", "is_test", "started_at", "error_code", "error",
    "request_headers", "response_headers", "response_body",
)  # fmt: skip


_LEASED = (*_CLAIMED, "attempt_id", "place")


@dataclass(frozen=True, slots=True)
class Head:
    """An endpoint with due deliveries, and how many of them it may get now."""

    endpoint_id: UUID
    version: int
    allow_http: bool
    probe: bool
    allowance: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker holds until `lease`, with its open attempt."""

    id: UUID
    endpoint_id: UUID
    organization_id: UUID
    event_id: UUID | None
    event_type: str
    cause: str
    ordering_key: str
    attempt: int
    attempt_id: UUID
    step: int
    token: int
    started_at: datetime
    version: int
    allow_http: bool
    probe: bool
    message_id: str
    content_type: str
    body: bytes | None = field(repr=False)  # None: it was expunged


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call to `claim` got. `held_back`: more is due, but limits forbid it at this moment."""

    jobs: list[Claimed]
    held_back: bool = False


def claim(*, owner: str, room: int, only: UUID | None = None) -> Claim:
    """Lease up to `room` due deliveries for `owner`, each with an attempt's row written.

    `only` claims that one waiting delivery, due or not, whatever state its endpoint is in (a test).
    """
    if only is None and connection.vendor == "sqlite" and not heads(timezone.now()):
        return Claim([])  # where a transaction takes the lock to write, an idle hub begins none
    with transaction.atomic():
        if not _alone(wait=only is not None):
            return Claim([], held_back=True)
        now = timezone.now()
        if only is not None:
            found = _single(only)
        else:
            found = heads(now)
        by_endpoint = {head.endpoint_id: head for head in found}
        if only is not None:
            chosen = [only]
        else:
            quotas = share(found, room)
            chosen = _front(quotas, now)
            _move_probes([head for head in found if head.probe and quotas.get(head.endpoint_id)], now)
        rows = _lease(chosen, owner, now)
        batches.seal(rows, now)
    messages = _messages({row["payload_id"] for row in rows})
    jobs = [_job(row, by_endpoint[row["endpoint_id"]], messages.get(row["payload_id"]), now) for row in rows]
    return Claim(jobs, held_back=not jobs and bool(found))


def is_due() -> bool:
    """Whether something could be claimed now."""
    return bool(heads(timezone.now()))


def hold() -> None:
    """Keep all claims waiting until the end of this transaction: first thing in one that moves many waiting
    deliveries, or the two could each wait for a row of the other.
    """
    _alone(wait=True)


def _alone(*, wait: bool) -> bool:
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        if wait:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            return True
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def heads(now: datetime) -> list[Head]:
    """The endpoints that may be sent to and have due deliveries, the one that waits longest first.

    A paused endpoint whose time for a probe has come is among them, with an allowance of one.
    """
    sql = f"""
        WITH RECURSIVE due(endpoint_id) AS (
            SELECT * FROM (
                SELECT endpoint_id FROM {_DELIVERIES} WHERE {_WAITING} ORDER BY endpoint_id LIMIT 1
            ) AS first
            UNION ALL
            SELECT (
                SELECT endpoint_id FROM {_DELIVERIES}
                WHERE {_WAITING} AND endpoint_id > due.endpoint_id ORDER BY endpoint_id LIMIT 1
            ) FROM due WHERE due.endpoint_id IS NOT NULL
        )
        SELECT found.*,
            (SELECT count(*) FROM {_DELIVERIES} WHERE endpoint_id = found.id AND status = 'delivering'),
            CASE WHEN per_second IS NULL THEN 0 ELSE
                (SELECT count(*) FROM {_ATTEMPTS} WHERE endpoint_id = found.id AND started_at > %s) END,
            CASE WHEN per_minute IS NULL THEN 0 ELSE
                (SELECT count(*) FROM {_ATTEMPTS} WHERE endpoint_id = found.id AND started_at > %s) END
        FROM (
            SELECT e.id, e.version, o.allow_http, e.status = 'paused' AS probe,
                e.max_concurrency,
                e.rate_limit_per_second AS per_second, e.rate_limit_per_minute AS per_minute,
                (SELECT next_attempt_at FROM {_DELIVERIES}
                 WHERE {_WAITING} AND endpoint_id = e.id ORDER BY next_attempt_at LIMIT 1) AS oldest
            FROM due
            JOIN {_ENDPOINTS} e ON e.id = due.endpoint_id
            JOIN {_ORGANIZATIONS} o ON o.id = e.organization_id
            WHERE e.removed_at IS NULL AND o.is_active
                AND (e.status = 'active' OR (e.status = 'paused' AND e.next_probe_at <= %s))
        ) AS found
        WHERE oldest <= %s
        ORDER BY oldest
    """
    at = Delivery._meta.get_field("next_attempt_at")
    times = [
        at.get_db_prep_value(value, connection)
        for value in (now - timedelta(seconds=1), now - timedelta(minutes=1), now, now)
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, times)
        return [_head(row) for row in cursor.fetchall()]


def _head(row: Sequence[Any]) -> Head:
    key, version, allow_http, probe, most, per_second, per_minute, _, flying, last_second, last_minute = row
    limits = [most - flying]
    if per_second is not None:
        limits.append(per_second - last_second)
    if per_minute is not None:
        limits.append(per_minute - last_minute)
    if probe:
        limits.append(1 - flying)
    return Head(
        endpoint_id=_uuid(key),
        version=version,
        allow_http=bool(allow_http),
        probe=bool(probe),
        allowance=max(0, min(limits)),
    )


def share(found: Sequence[Head], room: int) -> dict[UUID, int]:
    """Divide `room` among endpoints: equal parts, and what some cannot use goes to the others.

    With more endpoints than room, those get one that have waited longest.
    """
    quotas: dict[UUID, int] = {}
    able = [head for head in found if head.allowance > 0][: max(room, 0)]
    for n, head in enumerate(sorted(able, key=lambda head: head.allowance)):
        part = min(head.allowance, room // (len(able) - n))
        quotas[head.endpoint_id] = part
        room -= part
    return quotas


def _front(quotas: dict[UUID, int], now: datetime) -> list[UUID]:
    """The ids at the front of each endpoint's queue, in the order in which they are due."""
    if not quotas:
        return []
    due = connection.ops.adapt_datetimefield_value(now)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"""
                SELECT d.id FROM unnest(%s::uuid[], %s::int[]) AS q(endpoint_id, quota)
                CROSS JOIN LATERAL (
                    SELECT id, next_attempt_at, row_number() OVER (ORDER BY next_attempt_at, id) AS place
                    FROM {_DELIVERIES}
                    WHERE {_WAITING} AND endpoint_id = q.endpoint_id AND next_attempt_at <= %s
                    ORDER BY next_attempt_at, id LIMIT %s
                ) AS d
                WHERE d.place <= q.quota ORDER BY d.next_attempt_at, d.id
                """,
                [list(quotas), list(quotas.values()), due, max(quotas.values())],
            )
            return [row[0] for row in cursor.fetchall()]
        rows: list[tuple[Any, Any]] = []
        for endpoint_id, quota in quotas.items():
            cursor.execute(
                f"SELECT next_attempt_at, id FROM {_DELIVERIES} WHERE {_WAITING} AND endpoint_id = %s "
                "AND next_attempt_at <= %s ORDER BY next_attempt_at, id LIMIT %s",
                [endpoint_id.hex, due, quota],
            )
            rows += cursor.fetchall()
    return [_uuid(key) for _, key in sorted(rows)]


def _lease(chosen: Sequence[UUID], owner: str, now: datetime) -> list[dict[str, Any]]:
    """Move the chosen deliveries to delivering under a new token, each with an open attempt; those that
    somebody else moved are left out.
    """
    if not chosen:
        return []
    attempts = [ids.uuid7() for _ in chosen]
    if connection.vendor != "postgresql":
        return _lease_and_note(chosen, attempts, owner, now)
    found = bulk.fetch(
        f"""
        WITH wanted AS (
            SELECT * FROM unnest(%s::uuid[], %s::uuid[]) WITH ORDINALITY AS w(id, attempt_id, place)
        ), leased AS (
            UPDATE {_DELIVERIES} AS d SET status = 'delivering', lease_owner = %s, lease_until = %s,
                lease_token = lease_token + 1, attempts = attempts + 1, updated_at = %s
            FROM wanted WHERE d.id = wanted.id AND d.status IN ('{WAITING[0]}', '{WAITING[1]}')
            RETURNING {", ".join(f"d.{name}" for name in _CLAIMED)}, wanted.attempt_id, wanted.place
        ), noted AS (
            INSERT INTO {_ATTEMPTS} ({", ".join(_ATTEMPT)})
            SELECT attempt_id, id, endpoint_id, attempts, cause = '{Cause.TEST}', %s,
                '', '', '{{}}', '{{}}', ''
            FROM leased ORDER BY place
        )
        SELECT * FROM leased ORDER BY place
        """,
        [list(chosen), attempts, owner, now + timedelta(seconds=LEASE_SECONDS), now, now],
    )
    return [dict(zip(_LEASED, values, strict=True)) for values in found]


def _lease_and_note(
    chosen: Sequence[UUID], attempts: Sequence[UUID], owner: str, now: datetime
) -> list[dict[str, Any]]:
    """The same in two statements, where a change cannot be part of another statement."""
    at = connection.ops.adapt_datetimefield_value
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {_DELIVERIES} SET status = 'delivering', lease_owner = %s, lease_until = %s,
                lease_token = lease_token + 1, attempts = attempts + 1, updated_at = %s
            WHERE id IN ({", ".join(["%s"] * len(chosen))}) AND status IN ('{WAITING[0]}', '{WAITING[1]}')
            RETURNING {", ".join(_CLAIMED)}
            """,
            [owner, at(now + timedelta(seconds=LEASE_SECONDS)), at(now), *[key.hex for key in chosen]],
        )
        found = {}
        for values in cursor.fetchall():
            row = dict(zip(_CLAIMED, values, strict=True))
            row |= {name: UUID(row[name]) for name in _KEYS if row[name] is not None}
            found[row["id"]] = row
    rows = [
        found[key] | {"attempt_id": attempt}
        for key, attempt in zip(chosen, attempts, strict=True)
        if key in found
    ]
    bulk.insert(DeliveryAttempt, _ATTEMPT, [_attempt_row(row, now) for row in rows])
    return rows


def _attempt_row(row: dict[str, Any], now: datetime) -> tuple[Any, ...]:
    """An attempt that is under way, in the order of `_ATTEMPT`."""
    is_test = row["cause"] == Cause.TEST
    return (
        row["attempt_id"], row["id"], row["endpoint_id"], row["attempts"], is_test, now,
        "", "", "{}", "{}", "",
    )  # fmt: skip


def _messages(keys: set[UUID | None]) -> dict[UUID, tuple[str, str, bytes]]:
    """The message id, content type and bytes of payloads; the forgotten ones are missing."""
    wanted = [key for key in keys if key is not None]
    if connection.vendor == "postgresql":
        sql = f"SELECT id, message_id, content_type, body FROM {_PAYLOADS} WHERE id = ANY(%s::uuid[])"
        found: Any = bulk.fetch(sql, [wanted]) if wanted else ()
    else:
        rows = Payload.objects.filter(pk__in=wanted).order_by()
        found = rows.values_list("pk", "message_id", "content_type", "body")
    return {key: (message_id, kind, bytes(body)) for key, message_id, kind, body in found}


def _single(delivery_id: UUID) -> list[Head]:
    row = (
        Delivery.objects.filter(pk=delivery_id)
        .values_list("endpoint_id", "endpoint__version", "organization__allow_http")
        .first()
    )
    if row is None:
        return []
    return [Head(row[0], row[1], row[2], probe=False, allowance=1)]


def _move_probes(probing: Sequence[Head], now: datetime) -> None:
    if probing:
        WebhookEndpoint.objects.filter(
            pk__in=[head.endpoint_id for head in probing], status=EndpointStatus.PAUSED
        ).update(next_probe_at=now + health.PROBE_EVERY)


def _job(row: dict[str, Any], head: Head, message: tuple[str, str, bytes] | None, now: datetime) -> Claimed:
    message_id, content_type, body = message or ("", "", None)
    return Claimed(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        organization_id=row["organization_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        cause=row["cause"],
        ordering_key=row["ordering_key"],
        attempt=row["attempts"],
        attempt_id=row["attempt_id"],
        step=row["step"],
        token=row["lease_token"],
        started_at=now,
        version=head.version,
        allow_http=head.allow_http,
        probe=head.probe,
        message_id=message_id,
        content_type=content_type,
        body=body,
    )


def renew(*, owner: str, ids_: Sequence[UUID]) -> set[UUID]:
    """Prolong the leases of deliveries in flight; returns those that are still ours."""
    mine = Delivery.objects.filter(pk__in=ids_, lease_owner=owner, status=DeliveryStatus.DELIVERING)
    mine.update(lease_until=timezone.now() + timedelta(seconds=LEASE_SECONDS))
    return set(mine.values_list("pk", flat=True))


def _uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
