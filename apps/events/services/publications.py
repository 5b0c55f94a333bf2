"""Publishing an organization's own events, which come from outside and are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.events.catalog import EventType, event_types
from apps.events.models import Event
from apps.events.selectors import declared_by, own_types_of, versions_of
from apps.events.services.schemas import problems_in
from apps.kernel.background import enqueue
from apps.kernel.errors import FieldError, InvalidInput, TooLarge
from apps.kernel.safejson import dumps_canonical
from apps.tenants.models import Organization

OWN = "custom."
MAX_BYTES = 256 * 1024

_NAME = re.compile(r"custom(\.[a-z0-9][a-z0-9_-]{0,39}){1,4}", re.ASCII)


def publish_own(
    *,
    organization: Organization,
    type: str,
    data: Mapping[str, Any],
    subject: str = "",
    ordering_key: str = "",
    version: int | None = None,
) -> Event:
    """Write an event of the organization's own, whether or not somebody listens.

    Its type is one that the organization declared, or any `custom.…`; `version` is that of the schema that
    the data follow, the newest if None. Raises InvalidInput with a pointer for each wrong value; TooLarge
    above 256 KiB.
    """
    own = _declared(organization, type)
    errors = [] if own is not None else list(type_problems(type))
    if not isinstance(data, Mapping):
        errors.append(FieldError("/data", "type", "data must be an object."))
    for name, text in (("subject", subject), ("ordering_key", ordering_key)):
        if not isinstance(text, str) or len(text) > 120 or "\x00" in text:
            errors.append(FieldError(f"/{name}", "invalid", f"{name} is text of at most 120 characters."))
    declared = own if version is None else _of_version(organization, own, version)
    if version is not None and declared is None:
        errors.append(FieldError("/version", "unknown_version", f"{type} has no version {version}."))
    if errors:
        raise InvalidInput("The event was not published.", errors=errors)
    size = len(dumps_canonical(dict(data)))
    if size > MAX_BYTES:
        raise TooLarge(f"The event's data has {size:,} bytes; at most {MAX_BYTES:,} are allowed.")
    problems = [] if declared is None else schema_problems(declared, data)
    if problems:
        raise InvalidInput(f"The data does not fit the schema of {type}.", errors=problems)
    with transaction.atomic():
        event = Event.objects.create(
            organization=organization,
            type=type,
            version=1 if declared is None else declared.version,
            subject=subject,
            ordering_key=ordering_key,
            data=dict(data),
            occurred_at=timezone.now(),
        )
        enqueue("events.sweep", queue="webhooks")
    return event


def _declared(organization: Organization, name: Any) -> EventType | None:
    """The declaration that the organization publishes by: its own, or one of the code's for `custom.…`."""
    known = event_types.get(name) if isinstance(name, str) and name.startswith(OWN) else None
    if known is not None:
        return known
    row = (
        own_types_of(organization).filter(name=name, is_active=True).first()
        if isinstance(name, str)
        else None
    )
    return None if row is None else declared_by(row)


def _of_version(organization: Organization, own: EventType | None, version: int) -> EventType | None:
    if own is None or version == own.version:
        return own
    return next((one for one in versions_of(organization, own.name) if one.version == version), None)


def type_problems(name: Any) -> list[FieldError]:
    """What is wrong with the name of an event of one's own."""
    if isinstance(name, str) and _NAME.fullmatch(name) and len(name) <= 100:
        return []
    return [
        FieldError(
            "/type",
            "event_type",
            "Publish a type that you have declared under event-types, or one that is named custom. and "
            "one to four parts of small letters, digits, - and _, such as custom.order.shipped.",
        )
    ]


def schema_problems(declared: EventType, data: Any) -> list[FieldError]:
    """What in `data` contradicts the type's JSON Schema, each with its pointer below `/data`."""
    return problems_in(declared.schema, data, "/data") if declared.schema else []
