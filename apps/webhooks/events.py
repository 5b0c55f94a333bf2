"""What this app tells the house, and the message of a test."""

from __future__ import annotations

from typing import Any

from apps.events.catalog import EventType

GROUP = "Webhooks"
OWN_PREFIX = "webhook."

TEST = "webhook.test"
ENDPOINT_CREATED = "webhook.endpoint.created"
ENDPOINT_UPDATED = "webhook.endpoint.updated"
ENDPOINT_REMOVED = "webhook.endpoint.removed"
ENDPOINT_DEGRADED = "webhook.endpoint.degraded"
ENDPOINT_PAUSED = "webhook.endpoint.paused"
ENDPOINT_RESUMED = "webhook.endpoint.resumed"
DELIVERY_EXHAUSTED = "webhook.delivery.exhausted"
INBOUND_RECEIVED = "inbound.received"
INBOUND_FAILED = "inbound.failed"
INBOUND_SILENT = "inbound.silent"
INBOUND_HEARD = "inbound.heard"

_ENDPOINT: dict[str, Any] = {
    "endpoint": {"type": "string", "description": "Number of the endpoint."},
    "name": {"type": "string"},
}
_SAMPLE = {"endpoint": "WHK-2026-00001", "name": "Order service"}


def _type(name: str, description: str, sample: dict[str, Any], **properties: Any) -> EventType:
    return EventType(
        name=name,
        description=description,
        group=GROUP,
        sample={**_SAMPLE, **sample},
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["endpoint", "name"],
            "properties": {**_ENDPOINT, **properties},
        },
    )


_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def _inbound(name: str, description: str, sample: dict[str, Any], **properties: Any) -> EventType:
    base = {
        "id": "inw_01hv9k6zq3e8v7m2n4p5r6s7t8",
        "integration": "INT-2026-00001",
        "event_type": "orders/create",
        "external_id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
    }
    return EventType(
        name=name,
        description=description,
        group="Inbound webhooks",
        sample={**base, **sample},
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": list(base),
            "properties": {**dict.fromkeys(base, _TEXT), **properties},
        },
    )


def _silence(name: str, description: str) -> EventType:
    return EventType(
        name=name,
        description=description,
        group="Inbound webhooks",
        sample={
            "integration": "INT-2026-00001",
            "name": "Shop",
            "last_received_at": "2026-03-01T09:30:00+00:00",
        },
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["integration", "name"],
            "properties": {
                "integration": _TEXT,
                "name": _TEXT,
                "last_received_at": {"type": ["string", "null"]},
            },
        },
    )


EVENT_TYPES = (
    EventType(
        name=TEST,
        description="A test message that an administrator sends to one endpoint.",
        group=GROUP,
        schema={
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "required": ["message"],
            "properties": {"message": _TEXT},
        },
        sample={"message": "It works: this endpoint receives the messages of Integration Hub."},
    ),
    _type(ENDPOINT_CREATED, "A webhook endpoint was created.", {}),
    _type(
        ENDPOINT_UPDATED,
        "Settings of a webhook endpoint were changed.",
        {"changed": ["url"]},
        changed={"type": "array", "items": _TEXT},
    ),
    _type(ENDPOINT_REMOVED, "A webhook endpoint was removed; its waiting deliveries were cancelled.", {}),
    _type(
        ENDPOINT_DEGRADED,
        "An endpoint has used up 50, 70 or 90 per cent of the failures in a row that pause it.",
        {"consecutive_failures": 50, "max_consecutive_failures": 100, "percent": 50},
        consecutive_failures=_COUNT,
        max_consecutive_failures=_COUNT,
        percent={"enum": [50, 70, 90, 100]},
    ),
    _type(
        ENDPOINT_PAUSED,
        "An endpoint was paused, by a person or by itself; its deliveries are held.",
        {"reason": "It answered 410 Gone.", "paused_by": "The hub", "automatic": True},
        reason=_TEXT,
        paused_by=_TEXT,
        automatic={"type": "boolean"},
    ),
    _type(
        ENDPOINT_RESUMED,
        "A paused endpoint is sent to again, the held deliveries first.",
        {"resumed_by": "Ada Lovelace", "automatic": False},
        resumed_by=_TEXT,
        automatic={"type": "boolean"},
    ),
    _type(
        DELIVERY_EXHAUSTED,
        "The last permitted attempt at a delivery failed; it waits for a manual retry.",
        {
            "delivery": "dlv_01hv9k6zq3e8v7m2n4p5r6s7t8",
            "event": "evt_01hv9k6zq3e8v7m2n4p5r6s7t8",
            "event_type": "invoice.created",
            "attempts": 10,
            "last_error": "The receiver answered 503.",
        },
        delivery=_TEXT,
        event={"type": ["string", "null"]},
        event_type=_TEXT,
        attempts=_COUNT,
        last_error=_TEXT,
    ),
    _inbound(
        INBOUND_RECEIVED,
        "A provider sent a webhook, which was verified.",
        {"provider": "Shopify", "received_at": "2026-03-01T09:30:00+00:00", "payload": {"id": 1}},
        provider=_TEXT,
        received_at=_TEXT,
        payload={"description": "What the provider sent; null above 256 KiB, to be fetched by its id."},
    ),
    _inbound(
        INBOUND_FAILED,
        "A webhook of a provider could not be worked off; it waits for a person.",
        {"error": "record 1: A row was refused, so none was written.", "tries": 6},
        error=_TEXT,
        tries=_COUNT,
    ),
    _silence(INBOUND_SILENT, "An integration that used to be called by its provider is called no more."),
    _silence(INBOUND_HEARD, "An integration that had fallen silent is called again."),
)
