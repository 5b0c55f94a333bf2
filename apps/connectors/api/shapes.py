"""Between the nested form of integrations in the API and the flat names of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.connectors.services.checking import StreamSettings
from apps.kernel.errors import FieldError, InvalidInput

# Group in the API → its names there → names of the fields.
GROUPS: dict[str, dict[str, str]] = {
    "sync_settings": {
        "enabled": "sync_enabled",
        "direction": "sync_direction",
        "auto_sync": "auto_sync",
        "interval_minutes": "sync_interval_minutes",
        "crontab": "sync_crontab",
        "sync_on_create": "sync_on_create",
        "sync_on_update": "sync_on_update",
        "sync_on_delete": "sync_on_delete",
    },
    "rate_limits": {name: name for name in ("requests_per_minute", "requests_per_hour", "requests_per_day")},
}
_POINTERS = {field: f"/{group}/{name}" for group, names in GROUPS.items() for name, field in names.items()}


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The services' names for validated input."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name in GROUPS:
            found |= {GROUPS[name][inner]: given for inner, given in value.items()}
        else:
            found[name] = value
    return found


def nested(error: InvalidInput) -> InvalidInput:
    """The same refusal with pointers into the caller's input."""
    moved = []
    for one in error.errors:
        field, slash, rest = one.pointer.removeprefix("/").partition("/")
        moved.append(FieldError(_POINTERS.get(field, f"/{field}") + slash + rest, one.code, one.detail))
    return InvalidInput(error.detail, errors=moved, code=error.code)


def streams(given: list[Mapping[str, Any]] | None) -> list[StreamSettings] | None:
    return (
        None
        if given is None
        else [StreamSettings(**{**item, "mapping": item.get("mapping") or ""}) for item in given]
    )


def sync_settings(obj: Any) -> dict[str, Any]:
    """The group as it is shown, with what only the hub writes."""
    shown = {name: getattr(obj, field) for name, field in GROUPS["sync_settings"].items()}
    return {
        **shown,
        "schedule": obj.schedule_text,
        "last_sync_at": obj.last_sync_at,
        "last_sync_status": obj.last_sync_status or None,
        "next_sync_at": obj.next_sync_at,
    }


def rate_limits(obj: Any) -> dict[str, Any]:
    return {name: getattr(obj, field) for name, field in GROUPS["rate_limits"].items()}
