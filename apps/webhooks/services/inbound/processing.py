"""Working off what came in: claimed under a lease, every effect and the verdict in one transaction.

A worker that is killed in between leaves a transaction that never was and a lease that runs out; the webhook
is then worked off by another, so that its effects happen once.

Neighbours that need no more than an effect that takes many at once (the default one does) share a transaction
and its statements. If anything in it fails, each is worked off by itself, so that one cannot fail the others.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import groupby
from random import uniform
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.events import inbound
from apps.events.inbound import NotNow, Source
from apps.events.services import outbox
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError, TransientError
from apps.kernel.leases import LeaseLost, claim, fenced_update, fenced_update_many, owner_name, renew
from apps.kernel.redaction import redact_text
from apps.kernel.states import move
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.events import INBOUND_FAILED
from apps.webhooks.inbound_statuses import BY_HAND, DONE, InboundStatus
from apps.webhooks.models import InboundAttempt, InboundReceiver, InboundWebhook
from apps.webhooks.services.inbound import counting, routing
from apps.webhooks.services.inbound.planning import (
    Plan,
    Verdict,
    arrival_of,
    effect_note,
    kind_of,
    no_route,
    route_name,
    shared_plan,
    verdict_at_once,
)  # fmt: skip
from apps.webhooks.services.inbound.receiving import TASK

logger = logging.getLogger(__name__)

BATCH = 100
LEASE = 60.0  # seconds for a batch; renewed for those whose turn comes late
GATHER = 0.2  # seconds between looks: what comes meanwhile is worked off together
FIRST_PAUSE, FACTOR, LONGEST_PAUSE = 5.0, 4.0, 6 * 3600.0
NOT_NOW_PAUSE = timedelta(seconds=15)
MAX_WAIT = timedelta(hours=24)  # of NotNow, before it counts as a failure
_DATABASE = (OperationalError, InterfaceError)


class _Failed(Exception):
    """Leaves the transaction of the effects, with what went wrong in which route."""

    def __init__(self, error: Exception, route: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.route = route


def drain(*, seconds: float = 20.0, linger: float = 1.0, stop: Callable[[], bool] = lambda: False) -> int:
    """Work off what is due, until nothing new came for `linger` seconds or `seconds` are over; returns how
    many.
    """
    deadline = time.monotonic() + seconds
    quiet_since = time.monotonic()
    owner = owner_name()
    done = 0
    while time.monotonic() < deadline and not stop():
        rows = claim_due(owner)
        if rows:
            sources = _Sources()
            first_looks = [row for row in rows if not row.counted]
            done += _work_all(rows, sources)
            _count_received(first_looks)
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= linger:
            break
        if len(rows) < BATCH and linger:
            time.sleep(min(GATHER, linger))
    return done


def claim_due(owner: str) -> list[InboundWebhook]:
    """Lease the next batch; those that a killed worker left behind come with it."""
    with transaction.atomic():
        due = InboundWebhook.objects.filter(
            status=InboundStatus.PENDING, next_attempt_at__lte=timezone.now()
        ).order_by("next_attempt_at")
        rows = claim(due, owner=owner, seconds=LEASE, limit=BATCH)
        if len(rows) < BATCH:
            left = InboundWebhook.objects.filter(status=InboundStatus.PROCESSING).order_by("lease_until")
            rows += claim(left, owner=owner, seconds=LEASE, limit=BATCH - len(rows))
        fresh = [row.pk for row in rows if row.status == InboundStatus.PENDING]
        if fresh:
            InboundWebhook.objects.filter(pk__in=fresh).update(status=InboundStatus.PROCESSING)
    return rows


def is_due() -> bool:
    """Whether anything waits to be worked off."""
    now = timezone.now()
    pending = InboundWebhook.objects.filter(status=InboundStatus.PENDING, next_attempt_at__lte=now)
    left = InboundWebhook.objects.filter(status=InboundStatus.PROCESSING, lease_until__lt=now)
    return pending.exists() or left.exists()


class _Sources:
    """Receivers and sources of one batch, each read once."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[InboundReceiver, Source | None]] = {}

    def of(self, row: InboundWebhook) -> tuple[InboundReceiver, Source | None]:
        if row.receiver_id not in self._known:
            receiver = InboundReceiver.objects.select_related("organization").get(pk=row.receiver_id)
            found = inbound.by_number(receiver.organization, receiver.number)
            self._known[row.receiver_id] = (receiver, found[1] if found else None)
        return self._known[row.receiver_id]


def _work_all(rows: Sequence[InboundWebhook], sources: _Sources) -> int:
    """Work a batch off in its order, neighbours together where they may be; returns how many."""
    claimed = time.monotonic()
    done = 0
    plans = [(row, shared_plan(row, *sources.of(row))) for row in rows]
    for shared, run in groupby(plans, key=lambda item: item[1] is not None):
        planned = list(run)
        if shared and len(planned) > 1:
            together = _work_together([(row, plan) for row, plan in planned if plan is not None], sources)
            if together is not None:
                done += together
                continue
        for row, _ in planned:
            if time.monotonic() - claimed < LEASE / 3 or renew(row, LEASE):
                done += _work(row, sources)
    return done


def _work_together(planned: Sequence[tuple[InboundWebhook, Plan]], sources: _Sources) -> int | None:
    """Work off in one transaction; returns how many, or None if each is to be worked off by itself."""
    started, clock = timezone.now(), time.monotonic()
    verdicts: list[tuple[InboundWebhook, Verdict]] = []
    try:
        with transaction.atomic():
            for (_, route, _), run in groupby(planned, key=kind_of):
                group = list(run)
                plan = group[0][1]
                if plan.effect is None or plan.effect.run_many is None:
                    verdicts += [(row, one.verdict) for row, one in group if one.verdict is not None]
                    continue
                arrivals = [arrival_of(row, *sources.of(row), one.payload) for row, one in group]
                notes = plan.effect.run_many(arrivals, plan.given or {})
                verdicts += [
                    (row, Verdict(InboundStatus.COMPLETED, [effect_note(route, plan.effect, noted)]))
                    for (row, _), noted in zip(group, notes, strict=True)
                ]
            _record_together(verdicts, started, clock)
    except _DATABASE:
        if connection.in_atomic_block:
            raise
        logger.warning("Inbound webhooks could not be recorded; they are tried again.", exc_info=True)
        return 0
    except Exception as error:  # whatever an effect raises; by itself it is judged and told
        logger.debug("%d inbound webhooks are worked off one by one: %s.", len(planned), type(error).__name__)
        return None
    return len(verdicts)


def _record_together(verdicts: Sequence[tuple[InboundWebhook, Verdict]], started: Any, clock: float) -> None:
    """Write verdicts that end the work, only while all leases are ours; raises LeaseLost."""
    now = timezone.now()
    same: dict[str, list[tuple[InboundWebhook, Verdict]]] = defaultdict(list)
    for row, verdict in verdicts:
        same[repr((verdict.status, verdict.code, verdict.effects))].append((row, verdict))
    for group in same.values():
        verdict = group[0][1]
        fenced_update_many(
            [row for row, _ in group],
            status=verdict.status,
            effects=verdict.effects,
            error_code=verdict.code,
            error_message=verdict.message,
            processed_at=now,
            next_attempt_at=None,
            counted=True,
            lease_owner="",
            lease_until=None,
        )
    share = round((time.monotonic() - clock) * 1000 / max(1, len(verdicts)))
    InboundAttempt.objects.bulk_create(
        InboundAttempt(
            webhook=row,
            started_at=started,
            duration_ms=share,
            status=verdict.status,
            error_code=verdict.code,
            error_message=verdict.message,
            effects=verdict.effects,
        )
        for row, verdict in verdicts
    )


def _work(row: InboundWebhook, sources: _Sources) -> int:
    """Work one off under its lease; returns 1, or 0 if the lease was lost."""
    started, clock = timezone.now(), time.monotonic()
    receiver, source = sources.of(row)
    try:
        try:
            with transaction.atomic():
                verdict = _follow(row, receiver, source)
                _record(row, receiver, verdict, started, clock)
        except _Failed as failure:
            with transaction.atomic():
                _record(row, receiver, _judged(row, failure), started, clock)
    except LeaseLost:
        return 0
    except _DATABASE:
        logger.warning("An inbound webhook could not be recorded; it is tried again.", exc_info=True)
        if connection.in_atomic_block:
            raise
        return 0
    return 1


def _follow(row: InboundWebhook, receiver: InboundReceiver, source: Source | None) -> Verdict:
    verdict = verdict_at_once(source)
    if verdict is not None:
        return verdict
    payload = row.payload
    routes = routing.fitting(receiver.routes, row.event_type, payload)
    if not routes:
        return no_route()
    arrival = arrival_of(row, receiver, source, payload)
    effects = []
    for number, route in enumerate(routes, start=1):
        name = route_name(route, number)
        effect = inbound.effects.get(str(route["effect"]))
        try:
            if effect is None:
                raise HubError(f"There is no effect “{route['effect']}” in this version of the hub.")
            with transaction.atomic():
                noted = effect.run(arrival, route.get("with") or {})
        except _DATABASE:
            raise
        except Exception as error:
            raise _Failed(error, name) from error
        effects.append(effect_note(name, effect, noted))
    return Verdict(InboundStatus.COMPLETED, effects)


def _judged(row: InboundWebhook, failure: _Failed) -> Verdict:
    """Again later, or never: by the kind of the error and the tries that are left."""
    error = failure.error
    if isinstance(error, HubError):
        code, text = error.code, error.detail
    else:
        logger.error("Route %s of an inbound webhook failed.", failure.route, exc_info=error)
        code, text = "unexpected", f"{type(error).__name__}: {error}"
    message = redact_text(f"{failure.route}: {text}")[:1000]
    if isinstance(error, NotNow) and timezone.now() - row.received_at < MAX_WAIT:
        return Verdict(InboundStatus.PENDING, [], code, message, pause=NOT_NOW_PAUSE, counted=False)
    terminal = isinstance(error, HubError) and not isinstance(error, TransientError)
    if terminal or row.retry_count >= row.max_retries:
        return Verdict(InboundStatus.FAILED, [], code, message)
    pause = min(FIRST_PAUSE * FACTOR**row.retry_count, LONGEST_PAUSE) * uniform(0.8, 1.2)  # noqa: S311
    return Verdict(InboundStatus.PENDING, [], code, message, pause=timedelta(seconds=pause))


def _record(
    row: InboundWebhook, receiver: InboundReceiver, verdict: Verdict, started: Any, clock: float
) -> None:
    """Write the verdict, only while the lease is ours; raises LeaseLost, which rolls the effects back."""
    waits = verdict.status == InboundStatus.PENDING
    now = timezone.now()
    fenced_update(
        row,
        status=verdict.status,
        effects=verdict.effects,
        error_code=verdict.code,
        error_message=verdict.message,
        processed_at=None if waits else now,
        next_attempt_at=now + (verdict.pause or timedelta()) if waits else None,
        retry_count=row.retry_count + (1 if waits and verdict.counted else 0),
        counted=True,
        lease_owner="",
        lease_until=None,
    )
    if verdict.code == "held":
        return  # looked at every few minutes: no try worth a row
    InboundAttempt.objects.create(
        webhook=row,
        started_at=started,
        duration_ms=round((time.monotonic() - clock) * 1000),
        status="retrying" if waits else verdict.status,
        error_code=verdict.code,
        error_message=verdict.message,
        effects=verdict.effects,
    )
    if verdict.status == InboundStatus.FAILED:
        outbox.publish(
            organization=receiver.organization,
            type=INBOUND_FAILED,
            data={
                "id": row.public_id,
                "integration": receiver.number,
                "event_type": row.event_type,
                "external_id": row.external_id,
                "error": verdict.message,
                "tries": row.retry_count + 1,
            },
            subject=row.public_id,
        )


def _count_received(rows: list[InboundWebhook]) -> None:
    """Add first looks to the counts of the hour: here, so that the provider need not wait for it."""
    hours = Counter(
        (row.receiver_id, row.received_at.replace(minute=0, second=0, microsecond=0)) for row in rows
    )
    for (receiver_id, hour), number in hours.items():
        counting.count(InboundReceiver(pk=receiver_id), "received", at=hour, by=number)


def retry(*, webhook: InboundWebhook, actor: Actor) -> InboundWebhook:
    """Work it off again from the beginning. Raises RaceLost if it waits or is worked off already."""
    with transaction.atomic():
        move(
            webhook,
            InboundStatus.PENDING,
            BY_HAND,
            retry_count=0,
            next_attempt_at=timezone.now(),
            processed_at=None,
            lease_owner="",
            lease_until=None,
            error_code="",
            error_message="",
        )
        entries.record(
            organization=webhook.organization, actor=actor, action="inbound_webhook.retried", target=webhook
        )
        enqueue(TASK, queue="webhooks")
    return webhook


def remove(*, webhook: InboundWebhook, actor: Actor) -> None:
    """Delete a webhook with its tries. The same event, sent again, would be taken as new."""
    with transaction.atomic():
        entries.record(
            organization=webhook.organization, actor=actor, action="inbound_webhook.deleted", target=webhook
        )
        webhook.delete()


def retry_many(*, organization: Organization, ids: list[Any], actor: Actor) -> int:
    """Work the finished ones of these off again; returns how many."""
    with transaction.atomic():
        count = InboundWebhook.objects.filter(organization=organization, pk__in=ids, status__in=DONE).update(
            status=InboundStatus.PENDING,
            retry_count=0,
            next_attempt_at=timezone.now(),
            processed_at=None,
            error_code="",
            error_message="",
        )
        if count:
            entries.record(
                organization=organization,
                actor=actor,
                action="inbound_webhook.retried",
                object_type="inboundwebhook",
                object_label=f"{count:,} webhooks",
                changes={"count": [None, count]},
            )
            enqueue(TASK, queue="webhooks")
    return count
