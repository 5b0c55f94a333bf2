"""The live page: what happens with webhooks at this moment, loaded anew every two seconds."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from apps.kernel.admin import Series, badge, bar_chart, milliseconds, status_badge
from apps.kernel.admin.access import allows
from apps.kernel.admin.display import duration
from apps.kernel.admin.site import site_urls
from apps.webhooks import live
from apps.webhooks.admin.endpoint_summary import health_badge
from apps.webhooks.admin.replays import bar
from apps.webhooks.models import DeliveryAttempt

EVERY_MS = 2000


def page(request: HttpRequest) -> HttpResponse:
    """The page; with `?part=1` only what changes."""
    if not allows(request, "webhooks:read"):
        raise PermissionDenied
    now = live.now_of(request.organization)  # type: ignore[attr-defined]
    shown: dict[str, Any] = {
        "now": now,
        "tiles": _tiles(now),
        "charts": _charts(now),
        "endpoints": [_endpoint(one) for one in now.shown_endpoints],
        "left_out": len(now.endpoints) - len(now.shown_endpoints),
        "sending": [_try(attempt, now) for attempt in now.sending],
        "finished": [_try(attempt, now) for attempt in now.finished],
        "inbound": [
            {
                "row": row,
                "url": reverse("admin:webhooks_inboundwebhook_change", args=[row.public_id]),
                "status": status_badge(row.status),
                "time": _clock(row.received_at),
            }
            for row in now.inbound
        ],
        "replays": [(row, bar(row, compact=True)) for row in now.replays],
    }
    if "part" in request.GET:
        return TemplateResponse(request, "hub/webhooks/live_part.html", shown)
    request.current_app = admin.site.name
    context = {**admin.site.each_context(request), "title": "Live", "every": EVERY_MS, **shown}
    return TemplateResponse(request, "hub/webhooks/live.html", context)


def _tiles(now: live.Now) -> list[dict[str, Any]]:
    age = now.queue_age.total_seconds()
    failing = sum(1 for one in now.endpoints if one.trouble >= 2)
    failed = sum(now.failed)
    return [
        {"title": "Sent a second", "value": f"{now.sent_per_second:,.1f}", "note": "over the last minute"},
        {
            "title": "Failed, last minute",
            "value": f"{failed:,}",
            "note": f"of {failed + sum(now.succeeded):,} tries",
            "tone": "bad" if failed else "good",
        },
        {"title": "On their way", "value": f"{now.in_flight:,}", "note": "deliveries that workers hold"},
        {
            "title": "Due now",
            "value": f"{now.due:,}",
            "note": f"the oldest since {duration(age)}" if now.due else "nothing waits to be sent",
            "tone": "good" if age < 5 else "warn" if age < 60 else "bad",
        },
        {
            "title": "Later or held",
            "value": f"{now.later + now.held:,}",
            "note": f"{now.held:,} by paused endpoints",
        },
        {
            "title": "Endpoints in trouble",
            "value": f"{failing:,}",
            "note": f"of {len(now.endpoints):,}",
            "tone": "bad" if failing else "good",
        },
        {
            "title": "Received a second",
            "value": f"{now.received_per_second:,.1f}",
            "note": "inbound, over the last minute",
        },
        {
            "title": "To be worked off",
            "value": f"{now.inbound_waiting:,}",
            "note": f"the oldest since {duration((now.at - now.inbound_oldest).total_seconds())}"
            if now.inbound_oldest
            else "nothing inbound waits",
        },
    ]  # fmt: skip


def _charts(now: live.Now) -> list[dict[str, Any]]:
    labels = [f"{timezone.localtime(second):%H:%M:%S}" for second in now.seconds]
    return [
        {
            "title": "Tries each second, last minute",
            "chart": bar_chart(
                labels,
                [
                    Series("succeeded", tuple(now.succeeded), "good"),
                    Series("failed", tuple(now.failed), "bad"),
                ],
                unit="tries",
                height=110,
            ),
        },
        {
            "title": "Inbound each second, last minute",
            "chart": bar_chart(
                labels, [Series("received", tuple(now.received), "a")], unit="webhooks", height=110
            ),
        },
    ]


def _endpoint(one: live.EndpointNow) -> dict[str, Any]:
    total = one.succeeded + one.failed
    return {
        "one": one,
        "url": reverse("admin:webhooks_webhookendpoint_change", args=[one.endpoint.number]),
        "status": status_badge(one.endpoint.status),
        "health": health_badge(one.endpoint),
        "rate": f"{one.per_second:,.1f}",
        "success": f"{100 * one.succeeded / total:.0f} %" if total else "–",
        "latency": milliseconds(one.average_ms),
    }


def _try(attempt: DeliveryAttempt, now: live.Now) -> dict[str, Any]:
    delivery = attempt.delivery
    since = (now.at - attempt.started_at).total_seconds()
    label = str(attempt.status_code) if attempt.status_code else attempt.error_code.replace("_", " ")
    return {
        "attempt": attempt,
        "url": reverse("admin:webhooks_delivery_change", args=[delivery.public_id]),
        "type": delivery.event_type,
        "endpoint": attempt.endpoint,
        "endpoint_url": reverse("admin:webhooks_webhookendpoint_change", args=[attempt.endpoint.number]),
        "result": badge(label or "?", "good" if attempt.succeeded else "bad"),
        "took": milliseconds(attempt.duration_ms),
        "since": duration(max(0.0, since)),
        "time": _clock(attempt.finished_at or attempt.started_at),
    }


def _clock(when: Any) -> str:
    return f"{timezone.localtime(when):%H:%M:%S}"


site_urls.append(lambda: [path("webhooks/live/", admin.site.admin_view(page), name="webhooks_live")])
