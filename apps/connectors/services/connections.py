"""From an integration's row to a connection of the engine, and the history of connections."""

from __future__ import annotations

from typing import Any

from apps.connectors.engine import connection as connections
from apps.connectors.engine.connection import Connection
from apps.connectors.engine.errors import ConfigurationError
from apps.connectors.models import ConnectionEvent, Integration
from apps.connectors.statuses import ConnectionAction
from apps.tenants.principals import Actor


def resolve(integration: Integration) -> Connection:
    """The connection of an integration. Raises EngineError (fatal) if its settings do not fit."""
    entry = integration.catalog_entry
    if entry is None:
        raise ConfigurationError(f"The connector “{integration.connector}” is not in this hub's catalog.")
    return connections.resolve(
        entry.manifest,
        auth=integration.auth_mode,
        environment=integration.environment,
        config=integration.config,
        credentials=integration.credentials or {},
    )


def note(
    integration: Integration, action: ConnectionAction, actor: Actor, details: str = "", **data: Any
) -> ConnectionEvent:
    """Write a line of the connection's history, in the transaction of the deed."""
    return ConnectionEvent.objects.create(
        organization_id=integration.organization_id,
        integration=integration,
        action=action,
        performed_by=actor.label[:200] or actor.kind,
        details=details[:500],
        data=data,
    )


def event_data(integration: Integration) -> dict[str, str]:
    """What events about an integration tell."""
    return {
        "id": integration.number,
        "name": str(integration),
        "connector": integration.connector,
        "provider": integration.provider,
        "type": integration.type,
        "status": integration.status,
    }
