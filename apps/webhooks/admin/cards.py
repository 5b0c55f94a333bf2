"""What the home page says about webhooks."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.kernel.admin import Series, bar_chart, capped_count, dashboard, sparkline
from apps.webhooks import selectors
from apps.webhooks.inbound_statuses import InboundStatus
from apps.webhooks.models import InboundReceiver, InboundWebhook, WebhookEndpoint
from apps.webhooks.selectors import Activity, Hour
from apps.webhooks.statuses import EndpointStatus, HealthStatus

_SCOPE = "webhooks:read"


def _day(request: HttpRequest) -> Activity | None:
    """The last 24 hours of all the organization's endpoints together; asked once per request."""
    known: Any = getattr(request, "_webhook_day", False)
    if known is False:
        organization = request.organization  # type: ignore[attr-defined]
        known = selectors.activity_of_all(organization)
        request._webhook_day = known  # type: ignore[attr-defined]
    found: Activity | None = known
    return found


def _numbers(request: HttpRequest) -> dict[str, Any] | None:
    day = _day(request)
    if day is None:
        return None
    rate = day.success_rate
    return {
        "title": "Webhooks delivered, 24 h",
        "value": f"{day.succeeded:,}",
        "note": "nothing was sent" if rate is None else f"{rate:.0f} %, {day.waiting:,} waiting",
        "tone": "quiet" if rate is None else "good" if rate >= 99 else "warn" if rate >= 90 else "bad",
        "href": reverse("admin:webhooks_delivery_changelist"),
        "spark": sparkline([hour.succeeded for hour in day.hours], label="delivered per hour"),
    }


def _chart(request: HttpRequest) -> dict[str, Any] | None:
    day = _day(request)
    if day is None:
        return None
    return {
        "title": "Webhook attempts, last 24 hours",
        "chart": bar_chart(
            [_label(hour) for hour in day.hours],
            [
                Series("succeeded", tuple(hour.succeeded for hour in day.hours), "good"),
                Series("failed", tuple(hour.failed for hour in day.hours), "bad"),
            ],
            unit="attempts",
        ),
        "href": reverse("admin:webhooks_webhookendpoint_changelist"),
    }


def _label(hour: Hour) -> str:
    return f"{timezone.localtime(hour.start):%H:%M}"


def _problems(request: HttpRequest) -> list[dashboard.Problem]:
    mine = WebhookEndpoint.objects.kept().filter(organization=request.organization)  # type: ignore[attr-defined]
    held = mine.filter(status__in=(EndpointStatus.PAUSED, EndpointStatus.FAILED))[:5]
    failing = mine.filter(status=EndpointStatus.ACTIVE, health_status=HealthStatus.FAILING)[:5]
    return [
        dashboard.Problem(
            title=f"{endpoint.name} is {endpoint.get_status_display().lower()}",
            text=endpoint.pause_reason or f"By {endpoint.paused_by or 'the hub'}; its deliveries are held.",
            href=reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.number]),
            tone="bad" if endpoint.status == EndpointStatus.FAILED else "warn",
            when=endpoint.paused_at,
        )
        for endpoint in held
    ] + [
        dashboard.Problem(
            title=f"{endpoint.name} keeps failing",
            text=f"{endpoint.consecutive_failures:,} attempts failed in a row.",
            href=reverse("admin:webhooks_webhookendpoint_change", args=[endpoint.number]),
            when=endpoint.first_failure_at,
        )
        for endpoint in failing
    ]


def _inbound_problems(request: HttpRequest) -> list[dashboard.Problem]:
    organization = request.organization  # type: ignore[attr-defined]
    silent = InboundReceiver.objects.filter(
        organization=organization, enabled=True, silent_since__isnull=False
    )[:5]
    found = [
        dashboard.Problem(
            title=f"{receiver} is not called any more",
            text="Its provider used to send webhooks. Ask whether the address is still entered there.",
            href=reverse("admin:webhooks_inboundreceiver_change", args=[receiver.number]),
            when=receiver.silent_since,
        )
        for receiver in silent
    ]
    failed = InboundWebhook.objects.filter(organization=organization, status=InboundStatus.FAILED)
    last = failed.order_by("-id").defer("body", "headers", "response").first()
    if last is not None:
        count = capped_count(failed, 999)
        shown = "1,000 and more" if count > 999 else f"{count:,}"
        found.append(
            dashboard.Problem(
                title=f"{shown} inbound webhook{'' if count == 1 else 's'} could not be worked off",
                text=last.error_message[:200],
                href=reverse("admin:webhooks_inboundwebhook_changelist") + "?status=failed",
                when=last.processed_at,
            )
        )
    return found


def _has_endpoint(request: HttpRequest) -> bool:
    return WebhookEndpoint.objects.kept().filter(organization=request.organization).exists()  # type: ignore[attr-defined]


def register() -> None:
    """Put the cards on the home page."""
    dashboard.cards.register(dashboard.Card("webhooks", "health", 30, build=_numbers, scope=_SCOPE))
    dashboard.cards.register(
        dashboard.Card("webhook-attempts", "charts", 30, build=_chart, template=dashboard.CHART, scope=_SCOPE)
    )
    dashboard.attention.register(dashboard.Attention("webhooks", _problems, scope=_SCOPE))
    dashboard.attention.register(dashboard.Attention("inbound-webhooks", _inbound_problems, scope=_SCOPE))
    dashboard.steps.register(
        dashboard.Step(
            "webhook",
            40,
            "Add a webhook",
            "An address of yours is told, within moments, what happens here.",
            "webhook",
            "admin:webhooks_webhookendpoint_add",
            done=_has_endpoint,
            scope="webhooks:write",
        )
    )
    dashboard.quick_actions.register(
        dashboard.QuickAction(
            "webhook",
            40,
            "Add a webhook",
            "webhook",
            "admin:webhooks_webhookendpoint_add",
            scope="webhooks:write",
        )
    )
