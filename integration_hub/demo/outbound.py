"""Webhook endpoints with every temper, the events they hear, and the keys that programs call with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.apikeys.models import APIKey
from apps.apikeys.services import keys
from apps.events.models import Event
from apps.events.services import fanout, publications
from apps.kernel.errors import HubError
from apps.webhooks.models import Delivery, WebhookEndpoint
from apps.webhooks.services import deliveries, dispatch, endpoints, pausing
from apps.webhooks.statuses import Cause, DeliveryStatus, EndpointStatus
from integration_hub.demo.state import HOST
from integration_hub.demo.story import ADMIN, DEVELOPER, Story

RECEIVER, BILLING, LEGACY, NIGHTLY = "Rental app", "Billing system", "Old data warehouse", "Nightly reports"
NOBODY = f"http://{HOST}:9/hooks"  # the discard port: nothing listens there
KEY_FOR_YOU = "Try it yourself"


def subscribe(story: Story) -> None:
    """One that works, one that is busy at times, one that is gone, one that is paused."""
    actor, state = story.actor(DEVELOPER), story.state
    _endpoint(
        story,
        RECEIVER,
        state.receiver_url,
        ["orders.*", "clients.updated", "inspections.*", "custom.*", "integration.*"],
        description="The receiver beside this demo: it verifies each signature and prints a line.",
        secret=state.receiver_secret,
        headers={"X-Meridian-Env": "demo"},
        include_metadata=True,
    )
    _endpoint(
        story,
        BILLING,
        state.flaky_url,
        ["orders.updated", "inspections.updated", "job.*", "custom.*"],
        description="Takes most messages at the second or third try, and some never.",
        retry_intervals=[20, 60, 180],
        retry_attempts=3,
        project=story.projects["finance"],
    )
    _endpoint(
        story,
        LEGACY,
        NOBODY,
        ["job.*", "inspections.*", "custom.*"],
        description="Was switched off by the people who ran it. Nobody answers any more.",
        retry_intervals=[1, 5],
        retry_attempts=2,
        timeout=5,
    )
    nightly = _endpoint(
        story,
        NIGHTLY,
        state.receiver_url,
        ["inspections.*", "custom.*"],
        description="Paused while the report is rebuilt: what is owed to it waits.",
        secret=state.receiver_secret,
    )
    if nightly.status == EndpointStatus.ACTIVE and not Delivery.objects.filter(endpoint=nightly).exists():
        pausing.pause(endpoint=nightly, actor=actor, reason="The report is being rebuilt.")


def _endpoint(story: Story, name: str, url: str, events: list[str], **options: Any) -> WebhookEndpoint:
    known = WebhookEndpoint.objects.kept().filter(organization=story.organization, name=name).first()
    actor = story.actor(DEVELOPER)
    if known is None:
        return endpoints.create(
            organization=story.organization, actor=actor, name=name, url=url, events=events, **options
        )
    if known.url != url:
        endpoints.update(endpoint=known, actor=actor, url=url)
        story.say(f"Webhook “{name}”: the receiver has moved to {url}.")
    return known


def announce(story: Story) -> None:
    """A few events of the organization's own, once."""
    if Event.objects.filter(organization=story.organization, type__startswith="custom.").exists():
        return
    for station, cars in (("SFO", 4), ("ORD", 11), ("ATL", 2)):
        publications.publish_own(
            organization=story.organization,
            type="custom.station.short_of_cars",
            data={"station": station, "wanted": cars, "until": "18:00"},
            subject=station,
        )


def deliver(story: Story) -> None:
    """Send what is owed, and do with the deliveries what people do with them."""
    fanout.sweep()
    done = dispatch.drain(seconds=8, linger=0.5)
    rows = Delivery.objects.filter(organization=story.organization).select_related("endpoint")
    if not rows.filter(cause=Cause.TEST).exists():
        endpoint = WebhookEndpoint.objects.kept().get(organization=story.organization, name=RECEIVER)
        endpoints.send_test(endpoint=endpoint, actor=story.actor(DEVELOPER))
    actor = story.actor(ADMIN)
    if not rows.filter(cause=Cause.REPLAY).exists():
        for delivery in rows.filter(status=DeliveryStatus.DELIVERED, cause=Cause.EVENT)[:2]:
            _by_hand(story, deliveries.retry, delivery, actor)
    if not rows.filter(status=DeliveryStatus.CANCELLED).exists():
        for delivery in rows.filter(status=DeliveryStatus.RETRYING)[:2]:
            _by_hand(story, deliveries.cancel, delivery, actor)
    done.sent += dispatch.drain(seconds=4, linger=0.5).sent
    story.say(f"Webhooks: {done.sent} messages sent, {done.delivered} of them taken at once.")


def _by_hand(story: Story, deed: Any, delivery: Delivery, actor: Any) -> None:
    try:
        deed(delivery=delivery, actor=actor)
    except HubError as error:
        story.say(f"{delivery}: {error.detail}")


# (name, what `keys.create` is told)
_KEYS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "Rental app backend",
        {"scopes": ["records:read", "records:write", "events:*"], "description": "Bookings from the app."},
    ),
    (
        "Website widget",
        {
            "key_type": "public",
            "scopes": ["records:read"],
            "permissions": {"read": True, "write": False, "delete": False, "admin": False},
            "allowed_origins": ["https://www.meridian.example"],
            "allowed_endpoints": ["GET /records/products"],
            "description": "Shows models and prices on the website.",
        },
    ),
    (
        "Workshop tablet",
        {
            "key_type": "restricted",
            "scopes": ["records:read", "records:write"],
            "allowed_resources": ["inspections"],
            "ip_whitelist": ["192.0.2.0/24"],
            "description": "Inspections only, from the workshop's network.",
        },
    ),
    (
        "Audit export",
        {"scopes": ["audit:read", "records:read"], "days": 5, "description": "For the yearly audit."},
    ),
    ("Partner sandbox", {"environment": "sandbox", "scopes": ["records:read", "webhooks:*"], "days": 90}),
    ("Former agency", {"scopes": ["records:read"], "revoked": "The contract ended."}),
    ("Night batch", {"scopes": ["records:*", "jobs:*"], "suspended": "Too many wrong rows last night."}),
)


def issue_keys(story: Story) -> str:
    """API keys of several kinds; returns the text of one for whoever runs the demo, when it is new."""
    have = set(APIKey.objects.filter(organization=story.organization).values_list("name", flat=True))
    actor = story.actor(DEVELOPER)
    for name, told in _KEYS:
        if name in have:
            continue
        options = dict(told)
        days, revoked = options.pop("days", 0), options.pop("revoked", "")
        suspended = options.pop("suspended", "")
        expires_at = timezone.now() + timedelta(days=days) if days else None
        key = keys.create(
            organization=story.organization, name=name, actor=actor, expires_at=expires_at, **options
        ).key
        if revoked:
            keys.revoke(key=key, actor=story.actor(ADMIN), reason=revoked)
        if suspended:
            keys.suspend(key=key, actor=story.actor(ADMIN), reason=suspended)
    if KEY_FOR_YOU in have:
        return ""
    issued = keys.create(
        organization=story.organization,
        name=KEY_FOR_YOU,
        actor=actor,
        scopes=["*:read", "records:*"],
        permissions={"read": True, "write": True, "delete": True, "admin": False},
        expires_at=timezone.now() + timedelta(days=30),
        description="Printed once by make demo.",
    )
    return issued.secret
