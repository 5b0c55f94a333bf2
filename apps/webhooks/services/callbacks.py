"""Endpoints for single addresses: told only of what names them, such as jobs that somebody asked about."""

from __future__ import annotations

from apps.kernel.errors import FieldError, InvalidInput
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.addresses import shown_url
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.services import endpoints

NOTIFY = "notify"
"""The path in an event's data that holds the number of the endpoint which is to be told."""
EVENTS = ["job.*", "export.*", "schedule.*"]


def ensure(organization: Organization, url: str, actor: Actor) -> str:
    """The number of the endpoint that tells this address what names it; made if there is none.

    It is an endpoint as all are: its secret signs, it retries, it pauses when the address fails, and it can
    be seen and changed among them. Raises InvalidInput. Looks names up: call outside of transactions.
    """
    if len(url) > 2000:
        raise InvalidInput(errors=[FieldError("/url", "too_long", "The address is too long.")])
    # Addresses are encrypted: those that show alike are compared in clear.
    alike = WebhookEndpoint.objects.kept().filter(organization=organization, url_shown=shown_url(url)[:2000])
    for endpoint in alike.order_by("id")[:50]:
        if endpoint.url == url and endpoint.event_filters == {NOTIFY: endpoint.number}:
            return endpoint.number
    made = endpoints.create(
        organization=organization,
        actor=actor,
        name="Notifications of jobs",
        url=url,
        events=EVENTS,
        # Nothing fits until the number is known.
        event_filters={NOTIFY: "-"},
    )
    endpoints.update(endpoint=made, actor=actor, event_filters={NOTIFY: made.number}, looked_up=True)
    return made.number
