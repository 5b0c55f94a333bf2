"""An event when an organization's audit log is found broken. The audit app lies below and knows no events."""

from __future__ import annotations

from apps.audit.services import verification
from apps.events.catalog import EventType, event_types
from apps.events.services import outbox

BROKEN = EventType(
    "audit.found_broken",
    "The audit log is not what the hub has written: entries were changed, removed, put in or put back.",
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["problems", "first", "entries"],
        "properties": {
            "problems": {"type": "integer", "description": "How many things are wrong."},
            "first": {"type": "string", "description": "The first of them, in a sentence."},
            "entries": {"type": "integer", "description": "How many entries were verified."},
        },
    },
    {"problems": 1, "first": "Entry 17 (api_key.revoked) is not as the hub wrote it.", "entries": 2310},
    group="Audit",
)


def connect() -> None:
    event_types.register(BROKEN)
    if _publish not in verification.alarms:
        verification.alarms.append(_publish)


def _publish(result: verification.Result) -> None:
    if result.organization is None:
        return  # belongs to nobody who could subscribe; it is in the log and on the operator's home page
    outbox.publish(
        organization=result.organization,
        type=BROKEN.name,
        data={
            "problems": result.found,
            "first": result.problems[0].detail if result.problems else "",
            "entries": result.checked,
        },
        subject=result.chain,
    )
