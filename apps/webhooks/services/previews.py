"""What an endpoint would get for a past event: rendered now, sent to nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from apps.events.catalog import EventType, matches
from apps.events.models import Event
from apps.events.selectors import event_of, types_of
from apps.kernel import ids
from apps.kernel.errors import FieldError, InvalidInput
from apps.webhooks import events
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.payloads import render
from apps.webhooks.services.intake import filter_of, message_of, style_of
from apps.webhooks.templating import TemplateFailed, TemplateInvalid
from apps.webhooks.validation import problems

LOOKED_AT = 500  # past events among which one is looked for
# What a preview may try out without saving it.
TRIAL = (
    "event_filters", "payload_format", "include_full_payload", "include_metadata", "include_timestamp",
    "custom_template", "custom_content_type",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Preview:
    """A message as the endpoint would get it. `wanted`: its subscription and filter let it through."""

    event: str
    event_type: str
    is_sample: bool
    wanted: bool
    content_type: str
    body: str


def preview(
    *, endpoint: WebhookEndpoint, event_ref: str = "", settings: Mapping[str, Any] | None = None
) -> Preview:
    """Render a past event: the given one, else the last one that the endpoint listens for, else a sample.

    `settings` (of TRIAL) replace the endpoint's, for this once. Raises InvalidInput with what is wrong in
    them or with the template; NotFound for an unknown event.
    """
    draft = WebhookEndpoint.objects.select_related("organization").get(pk=endpoint.pk)
    given = {name: value for name, value in (settings or {}).items() if name in TRIAL}
    for name, value in given.items():
        setattr(draft, name, value)
    found = problems(draft, fields=given)
    if found:
        raise InvalidInput("These settings cannot be used.", errors=found)
    event, is_sample = _event(draft, event_ref)
    message = message_of(event)
    try:
        content_type, body = render(message, style_of(draft))
    except (TemplateInvalid, TemplateFailed) as error:
        raise InvalidInput(errors=[FieldError("/custom_template", "template", str(error))]) from None
    return Preview(
        event=message.id,
        event_type=event.type,
        is_sample=is_sample,
        wanted=draft.subscribes_to(event.type) and (not draft.event_filters or filter_of(draft)(event.data)),
        content_type=content_type,
        body=body.decode("utf-8", "replace"),
    )


def _event(endpoint: WebhookEndpoint, ref: str) -> tuple[Event, bool]:
    if ref:
        return event_of(endpoint.organization, ref), False
    recent = Event.objects.filter(organization=endpoint.organization).order_by("-id")
    kinds = list(dict.fromkeys(recent.values_list("type", flat=True)[:LOOKED_AT]))
    heard = [kind for kind in kinds if endpoint.subscribes_to(kind)]
    for kind in heard[:1]:
        past = recent.filter(type=kind).first()
        if past is not None:
            return past, False
    return sample_event(endpoint, _sample_type(endpoint)), True


def _sample_type(endpoint: WebhookEndpoint) -> EventType:
    known = types_of(endpoint.organization)
    test = next(declared for declared in known if declared.name == events.TEST)
    return next(
        (one for one in known if one.sample and any(matches(p, one.name) for p in endpoint.events)), test
    )


def sample_event(endpoint: WebhookEndpoint, declared: EventType) -> Event:
    """An event that never was, with the sample of its type."""
    return Event(
        id=ids.uuid7(),
        organization=endpoint.organization,
        type=declared.name,
        version=declared.version,
        data=dict(declared.sample),
        occurred_at=timezone.now(),
    )
