"""Events about API keys. None carries the key or its hash."""

from __future__ import annotations

from typing import Any

from apps.events.catalog import EventType

_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["id", "name", "status", "environment", "key_type"],
    "properties": {
        "id": {"type": "string", "description": "The key's number."},
        "name": {"type": "string"},
        "prefix": {"type": "string", "description": "The beginning of the key, to recognize it by."},
        "status": {"type": "string", "enum": ["active", "suspended", "expired", "revoked"]},
        "key_type": {"type": "string", "enum": ["public", "secret", "restricted"]},
        "environment": {"type": "string", "enum": ["production", "sandbox", "development", "testing"]},
        "expires_at": {"type": ["string", "null"], "format": "date-time"},
        "successor": {"type": "string", "description": "After a rotation, the number of the new key."},
        "reason": {"type": "string"},
        "text": {"type": "string", "description": "For alerts, one sentence that says what happened."},
        "details": {"type": "object", "description": "For alerts, the numbers behind it."},
    },
}


def _sample(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "KEY-2026-00001",
        "name": "Web shop",
        "prefix": "sk_live_4fGh7Kq2Lm",
        "status": status,
        "key_type": "secret",
        "environment": "production",
        "expires_at": "2027-11-22T09:00:00Z",
        **more,
    }


def _type(verb: str, description: str, status: str, **more: Any) -> EventType:
    return EventType(f"api_key.{verb}", description, _SCHEMA, _sample(status, **more), group="API keys")


_OUTAGE: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["policy", "began_at", "ended_at"],
    "properties": {
        "policy": {
            "type": "string",
            "enum": ["local", "open", "closed"],
            "description": "What becomes of calls meanwhile.",
        },
        "began_at": {"type": "string", "format": "date-time"},
        "ended_at": {"type": ["string", "null"], "format": "date-time"},
    },
}

EVENT_TYPES = (
    _type("created", "An API key was created.", "active"),
    _type(
        "rotated",
        "An API key got a successor; it lives on until the overlap ends.",
        "active",
        successor="KEY-2026-00002",
    ),
    _type("suspended", "An API key was suspended.", "suspended", reason="Being looked into"),
    _type("resumed", "A suspended API key works again.", "active"),
    _type("revoked", "An API key was revoked for ever.", "revoked", reason="No longer needed"),
    _type("expired", "An API key reached the end of its life.", "expired"),
    _type("exposed", "An API key was seen in an address, where logs keep it. Rotate it.", "active"),
    _type(
        "high_usage",
        "An API key used more than the chosen share of a limit.",
        "active",
        text="80% of the limit of 10,000 calls a day is used.",
        details={"limit": "day", "quota": 10000, "used": 8012},
    ),
    _type(
        "suspicious",
        "An API key is used in a way that it was not before.",
        "active",
        text="It was refused 40 times within 5 minutes.",
        details={"reason": "refusals", "count": 40},
    ),
    _type(
        "expiring",
        "An API key ends soon.",
        "active",
        text="It ends in 7 days.",
        details={"days": 7},
    ),
    EventType(
        "rate_limits.degraded",
        "Redis does not answer: calls are not counted for all processes together until it does.",
        _OUTAGE,
        {"policy": "local", "began_at": "2026-11-22T09:00:00Z", "ended_at": None},
        group="API keys",
    ),
    EventType(
        "rate_limits.restored",
        "Redis answers again: limits hold for all processes together.",
        _OUTAGE,
        {"policy": "local", "began_at": "2026-11-22T09:00:00Z", "ended_at": "2026-11-22T09:04:10Z"},
        group="API keys",
    ),
)
