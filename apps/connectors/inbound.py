"""Integrations as sources of inbound webhooks, and the sync that a webhook may cause.

Registered in `apps.events.inbound`, where the app that receives webhooks finds them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.connectors.errors import SyncRunning
from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import integrations, syncs
from apps.connectors.statuses import IntegrationStatus, SyncMode, SyncStatus, SyncTrigger
from apps.events.inbound import Arrival, Effect, NotNow, Source
from apps.kernel.errors import NotFound
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

_STATES = {IntegrationStatus.DISCONNECTED: "closed", IntegrationStatus.INACTIVE: "held"}


_NEEDED = (
    "organization_id", "number", "code", "name", "display_name", "connector", "provider", "status",
    "webhook_secret",
)  # fmt: skip


class Integrations:
    """The keeper of integrations."""

    name = "integrations"

    def by_code(self, code: str) -> Source | None:
        # In the provider's request: building a statement of sixty columns costs more than running it.
        rows = Integration.objects.only(*_NEEDED).filter(
            code=code, removed_at=None, organization__is_active=True
        )
        row = next(iter(rows.order_by()[:1]), None)
        return None if row is None else _source(row)

    def by_number(self, organization: Organization, number: str) -> Source | None:
        row = Integration.objects.live().filter(organization=organization, number=number).first()
        return None if row is None else _source(row)

    def set_secret(self, organization: Organization, number: str, secret: str, actor: Actor) -> None:
        row = _row(organization, number)
        integrations.set_webhook_secret(integration=row, secret=secret, actor=actor)

    def streams(self, organization: Organization, number: str) -> Sequence[str]:
        rows = Integration.objects.live().filter(organization=organization, number=number)
        return [
            name for name in rows.order_by("streams__name").values_list("streams__name", flat=True) if name
        ]


def _row(organization: Organization, number: str) -> Integration:
    row: Integration | None = (
        Integration.objects.live()
        .select_related("organization")
        .filter(organization=organization, number=number)
        .first()
    )
    if row is None:
        raise NotFound(f"There is no integration “{number[:60]}”.")
    return row


def _source(row: Integration) -> Source:
    return Source(
        organization_id=row.organization_id,
        number=row.number,
        code=row.code,
        name=str(row),
        connector=row.connector,
        provider=row.provider,
        state=_STATES.get(IntegrationStatus(row.status), "open"),
        url=row.webhook_url,
        _secret=lambda: row.webhook_secret,
    )


# --- the effect “sync”


def check_sync(organization: Organization, number: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong with a route's parameters."""
    problems = [
        (f"/{name}", "is not known; known are streams, mode.")
        for name in given
        if name not in ("streams", "mode")
    ]
    names = given.get("streams")
    if names is not None:
        known = keeper.streams(organization, number)
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            problems.append(("/streams", "is a list of names of streams; leave it out for all of them."))
        else:
            problems += [
                ("/streams", f"There is no stream “{name[:60]}”; there are: {', '.join(known) or 'none'}.")
                for name in names
                if name not in known
            ]
    if given.get("mode") not in (None, *SyncMode.values):
        problems.append(("/mode", f"is {' or '.join(SyncMode.values)}."))
    return problems


def run_sync(arrival: Arrival, given: Mapping[str, Any]) -> dict[str, str]:
    """Start a sync of the streams. One that waits for its start already will see the change, and is enough.

    Raises NotNow while a sync runs, which may have read past the change.
    """
    row = _row(arrival.organization, arrival.source.number)
    names = given.get("streams")
    waiting = (
        SyncJob.objects.filter(integration=row, status=SyncStatus.PENDING, started_at=None)
        .prefetch_related("streams")
        .order_by("-id")
        .first()
    )
    if waiting is not None and (names is None or set(names) <= {s.name for s in waiting.streams.all()}):
        return {"ref": waiting.number, "text": "Is waiting to start already."}
    try:
        job = syncs.start(
            integration=row,
            actor=Actor("integration", row.number, str(row)),
            streams=names,
            mode=given.get("mode"),
            trigger=SyncTrigger.WEBHOOK,
            metadata={"inbound_webhook": arrival.id},
        )
    except SyncRunning as error:
        raise NotNow(error.detail) from None
    return {"ref": job.number, "text": ", ".join(names or []) or "all streams"}


keeper = Integrations()
SYNC = Effect(name="sync", title="Sync streams of the integration", check=check_sync, run=run_sync)
