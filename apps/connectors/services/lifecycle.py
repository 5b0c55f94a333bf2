"""Testing, activating, pausing and disconnecting integrations."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.connectors.engine.errors import EngineError, Kind
from apps.connectors.engine.manifest import ManifestError
from apps.connectors.engine.probe import ProbeResult, probe
from apps.connectors.errors import NotActive, TestFailed
from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import connections, health, schedules
from apps.connectors.services.calls import Caller
from apps.connectors.statuses import INTEGRATION, LIVE, ConnectionAction, IntegrationStatus
from apps.events.services import outbox
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict, RaceLost
from apps.kernel.states import move
from apps.tenants.principals import Actor


def test_connection(*, integration: Integration, actor: Actor) -> ProbeResult:
    """Make the connector's test call and take note of how it went. Never raises for a test that fails.

    The call is made outside of any transaction.
    """
    _refuse_removed(integration)
    result = _probe(integration, "test")
    with transaction.atomic():
        Integration.objects.filter(pk=integration.pk).update(test_passed=result.ok, tested_at=timezone.now())
        integration.refresh_from_db(fields=["test_passed", "tested_at"])
        health.record(
            integration,
            ok=result.ok,
            reason=result.reason,
            latency_ms=result.latency_ms,
            final=result.kind == Kind.AUTH,
        )
        connections.note(
            integration,
            ConnectionAction.TESTED,
            actor,
            result.reason or f"It works; answered in {result.latency_ms} ms.",
            ok=result.ok,
            latency_ms=result.latency_ms,
            status=result.status,
            identity=result.identity,
        )
        entries.record(
            organization=integration.organization,
            actor=actor,
            action="integration.tested",
            target=integration,
            changes={"result": ["", "passed" if result.ok else result.reason]},
        )
    return result


def check_health(*, integration: Integration) -> ProbeResult:
    """The same call on schedule: it counts for health, and leaves no line in the history."""
    result = _probe(integration, "check")
    health.record(
        integration,
        ok=result.ok,
        reason=result.reason,
        latency_ms=result.latency_ms,
        final=result.kind == Kind.AUTH,
    )
    return result


def _probe(integration: Integration, action: str) -> ProbeResult:
    try:
        connection = connections.resolve(integration)
        return probe(connection, Caller(integration, connection, action))
    except (EngineError, ManifestError) as error:
        return ProbeResult(False, str(error), getattr(error, "kind", None))


def connect(*, integration: Integration, actor: Actor) -> ProbeResult:
    """Activate an integration: test it, and only if the test passes let it work.

    Raises TestFailed with the reason; the integration is then as it was.
    """
    result = test_connection(integration=integration, actor=actor)
    if not result.ok:
        raise TestFailed(f"{integration} was not activated. {result.reason}")
    now = timezone.now()
    with transaction.atomic():
        integration.refresh_from_db(fields=["status", "auto_sync", "sync_enabled", "test_passed"])
        if not integration.test_passed:
            raise RaceLost(f"{integration} was changed during its test: test it again.")
        if integration.status == IntegrationStatus.ACTIVE:
            return result
        before = integration.status
        move(
            integration,
            IntegrationStatus.ACTIVE,
            INTEGRATION,
            status_reason="",
            connected_at=now,
            disconnected_at=None,
            disconnected_by="",
            next_sync_at=now if schedules.next_run(integration, now) else None,
            next_check_at=now + health.CHECK_EVERY,
        )
        action = (
            ConnectionAction.RESUMED if before == IntegrationStatus.INACTIVE else ConnectionAction.CONNECTED
        )
        _say(integration, actor, action, "integration.connected", before)
        enqueue("connectors.tick")
    return result


def pause(*, integration: Integration, actor: Actor) -> None:
    """Stop syncing until it is connected again. A running sync ends after its page."""
    _stop(integration, actor, IntegrationStatus.INACTIVE, ConnectionAction.PAUSED, "integration.paused")


def disconnect(*, integration: Integration, actor: Actor) -> None:
    """End the connection; settings and credentials stay, so that it can be connected again."""
    _stop(
        integration,
        actor,
        IntegrationStatus.DISCONNECTED,
        ConnectionAction.DISCONNECTED,
        "integration.disconnected",
    )


@transaction.atomic
def _stop(integration: Integration, actor: Actor, to: str, action: ConnectionAction, event: str) -> None:
    _refuse_removed(integration)
    integration.refresh_from_db(fields=["status"])
    before = integration.status
    if before == to:
        return
    if to == IntegrationStatus.INACTIVE and before not in (IntegrationStatus.ACTIVE, IntegrationStatus.ERROR):
        raise NotActive(
            f"{integration} is {integration.get_status_display().lower()}: there is nothing to pause."
        )
    also: dict[str, Any] = (
        {"disconnected_at": timezone.now(), "disconnected_by": actor.label[:200]}
        if to == IntegrationStatus.DISCONNECTED
        else {}
    )
    move(integration, to, INTEGRATION, status_reason="", next_sync_at=None, next_check_at=None, **also)
    SyncJob.objects.filter(integration=integration, status__in=LIVE, cancel_requested_at=None).update(
        cancel_requested_at=timezone.now(), due_at=timezone.now()
    )
    _say(integration, actor, action, event, before)
    enqueue("connectors.tick")


def _say(integration: Integration, actor: Actor, action: ConnectionAction, event: str, before: str) -> None:
    """Audit entry, history and event of a change of status."""
    connections.note(integration, action, actor)
    entries.record(
        organization=integration.organization,
        actor=actor,
        action=event,
        target=integration,
        changes={"status": [before, integration.status]},
    )
    outbox.publish(
        organization=integration.organization,
        type=event,
        data=connections.event_data(integration),
        subject=integration.number,
    )


def _refuse_removed(integration: Integration) -> None:
    if integration.removed_at is not None:
        raise Conflict(f"{integration} was removed.")
