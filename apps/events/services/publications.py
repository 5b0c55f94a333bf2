"""Publishing an organization's own events, which come from outside and are checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.db import transaction
from django.utils import timezone
from jsonschema import Draft202012Validator

from apps.events.catalog import EventType, event_types
from apps.events.models import Event
from apps.kernel.background import enqueue
from apps.kernel.errors import FieldError, InvalidInput, TooLarge
from apps.kernel.safejson import dumps_canonical
from apps.tenants.models import Organization

OWN = "custom."
MAX_BYTES = 256 * 1024
MAX_PROBLEMS = 50

_NAME = re.compile(r"custom(\.[a-z0-9][a-z0-9_-]{0,39}){1,4}", re.ASCII)


def publish_own(
    *,
    organization: Organization,
    type: str,
    data: Mapping[str, Any],
    subject: str = "",
    ordering_key: str = "",
) -> Event:
    """Write an event of the organization's own, `custom.…`, whether or not somebody listens.

    Raises InvalidInput with a pointer for each wrong value; TooLarge above 256 KiB.
    """
    errors = list(type_problems(type))
    if not isinstance(data, Mapping):
        errors.append(FieldError("/data", "type", "data must be an object."))
    for name, text in (("subject", subject), ("ordering_key", ordering_key)):
        if not isinstance(text, str) or len(text) > 120 or "\x00" in text:
            errors.append(FieldError(f"/{name}", "invalid", f"{name} is text of at most 120 characters."))
    if errors:
        raise InvalidInput("The event was not published.", errors=errors)
    size = len(dumps_canonical(dict(data)))
    if size > MAX_BYTES:
        raise TooLarge(f"The event's data has {size:,} bytes; at most {MAX_BYTES:,} are allowed.")
    declared = event_types.get(type)
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


def type_problems(name: Any) -> list[FieldError]:
    """What is wrong with the name of an event of one's own."""
    if isinstance(name, str) and _NAME.fullmatch(name) and len(name) <= 100:
        return []
    return [
        FieldError(
            "/type",
            "event_type",
            "Events of your own are named custom. and one to four parts of small letters, digits, "
            "- and _, such as custom.order.shipped.",
        )
    ]


def schema_problems(declared: EventType, data: Any) -> list[FieldError]:
    """What in `data` contradicts the type's JSON Schema, each with its pointer below `/data`."""
    if not declared.schema:
        return []
    validator = _validator(declared.name, declared.version)
    found = []
    for error in validator.iter_errors(data):
        pointer = "/data" + "".join(
            "/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.absolute_path
        )
        found.append(FieldError(pointer, str(error.validator), error.message[:500]))
        if len(found) == MAX_PROBLEMS:
            break
    return found


@lru_cache(maxsize=512)
def _validator(name: str, version: int) -> Draft202012Validator:
    return Draft202012Validator(
        dict(event_types[name].schema), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
