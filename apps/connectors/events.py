"""What connectors tell the house."""

from __future__ import annotations

from typing import Any

from apps.events.catalog import EventType

_INTEGRATION: dict[str, Any] = {
    "id": {"type": "string", "description": "The integration's number."},
    "name": {"type": "string"},
    "connector": {"type": "string"},
    "provider": {"type": "string"},
    "type": {"type": "string"},
    "status": {"type": "string"},
}
_INTEGRATION_SAMPLE = {
    "id": "INT-2026-00001",
    "name": "Shop",
    "connector": "rest",
    "provider": "Any",
    "type": "api",
    "status": "active",
}
_COUNTS = ("processed", "created", "updated", "unchanged", "deleted", "failed")
_SYNC: dict[str, Any] = {
    "id": {"type": "string", "description": "The sync job's number."},
    "integration": {"type": "string", "description": "The integration's number."},
    "name": {"type": "string", "description": "The integration's name."},
    "type": {"type": "string"},
    "trigger": {"type": "string"},
    "status": {"type": "string"},
    "streams": {"type": "array", "items": {"type": "string"}},
    "started_at": {"type": ["string", "null"], "format": "date-time"},
    "completed_at": {"type": ["string", "null"], "format": "date-time"},
    "error": {"type": "string"},
    **{name: {"type": "integer"} for name in _COUNTS},
}
_SYNC_SAMPLE = {
    "id": "SYN-2026-00042",
    "integration": "INT-2026-00001",
    "name": "Shop",
    "type": "incremental",
    "trigger": "scheduled",
    "status": "completed",
    "streams": ["customers", "orders"],
    "started_at": "2026-01-31T10:00:00Z",
    "completed_at": "2026-01-31T10:00:12Z",
    "error": "",
    "processed": 120,
    "created": 100,
    "updated": 15,
    "unchanged": 5,
    "deleted": 0,
    "failed": 0,
}


def _schema(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": list(properties),
    }


def _integration(name: str, description: str, **more: Any) -> EventType:
    extra = {key: {"type": "string"} for key in more}
    return EventType(
        name=name,
        description=description,
        group="Integrations",
        schema=_schema({**_INTEGRATION, **extra}),
        sample={**_INTEGRATION_SAMPLE, **more},
    )


def _sync(name: str, description: str, **sample: Any) -> EventType:
    return EventType(
        name=name,
        description=description,
        group="Syncs",
        schema=_schema(_SYNC),
        sample={**_SYNC_SAMPLE, **sample},
    )


TYPES = (
    _integration("integration.created", "An integration was set up."),
    _integration("integration.updated", "The settings of an integration were changed."),
    _integration("integration.connected", "An integration was activated after a passed test."),
    _integration("integration.disconnected", "An integration was disconnected.", status="disconnected"),
    _integration("integration.paused", "An integration was paused.", status="inactive"),
    _integration(
        "integration.error",
        "An integration stopped because of an error.",
        status="error",
        reason="The provider refused the credentials (HTTP 401).",
    ),
    _integration("integration.recovered", "An integration in error works again."),
    _integration("integration.removed", "An integration was removed.", status="disconnected"),
    _sync("sync.started", "A sync began.", status="running", completed_at=None, processed=0, created=0,
          updated=0, unchanged=0),
    _sync("sync.completed", "A sync took everything over."),
    _sync("sync.partial", "A sync ended, but some rows or streams failed.", status="partial", failed=3,
          error="3 rows could not be taken over."),
    _sync("sync.failed", "A sync failed.", status="failed", error="The provider has a problem (HTTP 503)."),
    _sync("sync.cancelled", "A sync was cancelled.", status="cancelled"),
)  # fmt: skip
