"""The integrations: one at work, one whose token was revoked, one that waits for its credentials."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import integrations, lifecycle, running, syncs
from apps.connectors.services.checking import StreamSettings
from apps.connectors.statuses import LIVE, IntegrationStatus
from apps.records.models import Mapping as SavedMapping
from apps.records.services import mappings
from integration_hub.demo.server import FLEET_TOKEN, STAFF_TOKEN, DemoServer
from integration_hub.demo.story import ADMIN, OWNER, Story

FLEET, STAFF_DIRECTORY, CRM = "Fleet system", "Staff directory", "HubSpot marketing"
PATIENCE = 300  # seconds that another worker may have a sync

LOCATIONS_MAPPING: dict[str, Any] = {
    "fields": [
        {"target": "external_id", "source": "code"},
        {"target": "name", "source": "name", "transforms": "trim"},
        {"target": "kind", "constant": "company"},
        {
            "target": "status",
            "source": "state",
            "transforms": "map({'open': 'active', 'seasonal': 'inactive', 'closed': 'archived'})",
        },
        {"target": "email", "source": "desk.email", "transforms": "lower"},
        {"target": "phone", "source": "desk.phone"},
        {"target": "city", "source": "address.city"},
        {"target": "country", "source": "address.country", "transforms": "country"},
        {
            "target": "address",
            "transforms": [
                {"name": "concat", "parts": ["{address.city}", "{address.region}"], "separator": ", "}
            ],
        },
        {"target": "currency", "constant": "USD"},
        {"target": "since", "source": "opened_on"},
        {"target": "tags", "source": "tags"},
        {"target": "notes", "source": "desk.hours", "transforms": "prefix('Desk hours: ')"},
    ]
}
RENTALS_MAPPING: dict[str, Any] = {
    "fields": [
        {"target": "number", "source": "id"},
        {"target": "client", "source": "station"},
        {
            "target": "status",
            "source": "state",
            "transforms": "map({'reserved': 'open', 'out': 'shipped', 'returned': 'delivered', "
            "'invoiced': 'paid', 'cancelled': 'cancelled'})",
        },
        {"target": "ordered_at", "source": "booked_at"},
        {"target": "total", "source": "price.gross", "transforms": "currency('USD')"},
        {"target": "tax", "source": "price.tax", "transforms": "currency('USD')"},
        {"target": "payment_method", "source": "payment"},
        {"target": "shipped_at", "source": "picked_up_at"},
        {"target": "lines", "source": "[{sku: car.sku, name: car.name, quantity: days, price: car.rate}]"},
        {"target": "notes", "source": "driver.name", "transforms": "prefix('Driver: ')"},
    ]
}
POSITIONS_MAPPING: dict[str, Any] = {
    "fields": [
        {"target": "external_id", "source": "id"},
        {"target": "device", "source": "device"},
        {"target": "recorded_at", "source": "at"},
        {"target": "latitude", "source": "lat"},
        {"target": "longitude", "source": "lon"},
        {"target": "speed", "source": "speed"},
        {"target": "heading", "source": "heading"},
        {"target": "event", "source": "event"},
    ]
}
EMPLOYEES_MAPPING: dict[str, Any] = {
    "fields": [
        {"target": "external_id", "source": "id"},
        {"target": "name", "source": "name"},
        {"target": "email", "source": "email"},
        {"target": "department", "source": "department"},
        {"target": "hired_on", "source": "hired"},
        {"target": "active", "constant": True},
    ]
}
# (stream, dataset, mapping's name, mapping); streams are read in the order of their names.
FLEET_STREAMS = (
    ("locations", "clients", "Fleet locations", LOCATIONS_MAPPING),
    ("positions", "gps_data", "Shuttle positions", POSITIONS_MAPPING),
    ("rentals", "orders", "Fleet rentals", RENTALS_MAPPING),
)
STAFF_STREAMS = (("employees", "users", "Staff directory", EMPLOYEES_MAPPING),)
_Streams = tuple[tuple[str, str, str, Mapping[str, Any]], ...]


def connect(story: Story, server: DemoServer) -> None:
    """Set up what is missing, lead it to where the other side is now, and read everything once."""
    _fleet(story)
    _staff_directory(story, server)
    _crm(story)


def _fleet(story: Story) -> None:
    integration = _settled(
        story,
        FLEET,
        story.state.fleet_url,
        FLEET_STREAMS,
        values={
            "description": "Stations, rentals and shuttle positions. Asked for changes every two minutes.",
            "project": story.projects["rental-desk"],
            "auto_sync": True,
            "sync_interval_minutes": 2,
            "requests_per_minute": 600,
        },
        token=FLEET_TOKEN,
    )
    if integration.status == IntegrationStatus.PENDING_SETUP:
        lifecycle.connect(integration=integration, actor=story.actor(ADMIN))
    if integration.status == IntegrationStatus.ACTIVE:
        job = read(story, integration)
        story.say(f"{FLEET}: {job.processed:,} rows read, {job.failed} of them refused ({job.number}).")


def _staff_directory(story: Story, server: DemoServer) -> None:
    """It worked until its token was revoked: it is in error, and says why."""
    integration = _settled(
        story,
        STAFF_DIRECTORY,
        story.state.staff_url,
        STAFF_STREAMS,
        values={
            "description": "Who works where. Its token was revoked: enter a new one to mend it.",
            "project": story.projects["fleet-care"],
            "auto_sync": True,
            "sync_crontab": "0 6 * * mon-fri",
        },
        token=STAFF_TOKEN,
    )
    if integration.status == IntegrationStatus.PENDING_SETUP:
        server.staff_open = True
        lifecycle.connect(integration=integration, actor=story.actor(OWNER))
        read(story, integration)
        server.staff_open = False
    if integration.status == IntegrationStatus.ACTIVE:
        read(story, integration)
        integration.refresh_from_db()
        story.say(f"{STAFF_DIRECTORY}: {integration.get_status_display().lower()}, as its token was revoked.")


def _crm(story: Story) -> None:
    if _known(story, CRM) is None:
        integrations.create(
            organization=story.organization,
            actor=story.actor(ADMIN),
            connector="hubspot",
            values={
                "name": CRM,
                "description": "Waits for the private app's token from the agency.",
                "project": story.projects["finance"],
            },
        )
        story.say(f"{CRM}: waits for its credentials.")


def _known(story: Story, name: str) -> Integration | None:
    found: Integration | None = (
        Integration.objects.live().filter(organization=story.organization, name=name).first()
    )
    return found


def _settled(
    story: Story, name: str, base_url: str, streams: _Streams, *, values: dict[str, Any], token: str
) -> Integration:
    """The integration, made now or led to the other side's present address."""
    config = {
        "base_url": base_url,
        "test_path": "/me",
        "streams": [_definition(stream, dataset) for stream, dataset, _, _ in streams],
    }
    settings = [
        StreamSettings(name=stream, dataset=dataset, mapping=_saved(story, label, dataset, spec).public_id)
        for stream, dataset, label, spec in streams
    ]
    integration = _known(story, name)
    if integration is None:
        return integrations.create(
            organization=story.organization,
            actor=story.actor(ADMIN),
            connector="rest",
            values={"name": name, "auth_mode": "bearer", "config": config, **values},
            credentials={"token": token},
            streams=settings,
        )
    if integration.config.get("base_url") != base_url:
        story.say(f"{name}: the other side has moved to {base_url}.")
        was_active = integration.status == IntegrationStatus.ACTIVE
        integrations.update(
            integration=integration,
            actor=story.actor(ADMIN),
            values={"config": {**integration.config, "base_url": base_url}},
        )
        if was_active:
            lifecycle.connect(integration=integration, actor=story.actor(ADMIN))
    return integration


def _definition(name: str, dataset: str) -> dict[str, Any]:
    """How the fleet system's API is read: pages by cursor, changes by time."""
    return {
        "name": name,
        "request": {"path": f"/{name}"},
        "records_path": "results",
        "remote_id": "code" if name == "locations" else "id",
        "remote_version": "updated_at",
        "paginate": {
            "kind": "cursor",
            "param": "after",
            "next_path": "paging.next.after",
            "size_param": "limit",
            "size": 500,
        },
        "incremental": {"cursor_path": "updated_at", "name": "updated_since", "op": "gte"},
        "dataset": dataset,
    }


def _saved(story: Story, name: str, dataset: str, spec: Mapping[str, Any]) -> SavedMapping:
    known = SavedMapping.objects.filter(organization=story.organization, name=name).first()
    return known or mappings.save(
        organization=story.organization,
        dataset=story.dataset(dataset),
        name=name,
        spec=spec,
        actor=story.actor(ADMIN),
    )


def read(story: Story, integration: Integration) -> SyncJob:
    """A sync from its beginning to its end, by this process or by the worker that was faster."""
    job = SyncJob.objects.filter(integration=integration, status__in=LIVE).first()
    if job is None:
        job = syncs.start(integration=integration, actor=story.actor(ADMIN))
    until = time.monotonic() + PATIENCE
    while job.is_live and time.monotonic() < until:
        if not running.run(job_id=job.pk):
            time.sleep(0.5)
        job.refresh_from_db()
        if job.is_live and job.due_at is not None and job.error_message:
            break  # it waits for better times; the scheduler goes on with it
    return job
