"""What the list and the page of an endpoint show of how it does."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.kernel.admin import Series, ago, badge, bar_chart, milliseconds, mono, status_badge
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.admin.display import duration, since_text
from apps.webhooks import selectors
from apps.webhooks.admin.replays import bar
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.retries import schedule_of
from apps.webhooks.services.requests import configured_schedule, timeout_of
from apps.webhooks.statuses import HealthStatus

_HEALTH_TONES = {
    HealthStatus.HEALTHY: "good",
    HealthStatus.DEGRADED: "warn",
    HealthStatus.FAILING: "bad",
}


def health_badge(endpoint: WebhookEndpoint) -> str:
    tone = _HEALTH_TONES.get(HealthStatus(endpoint.health_status), "quiet")
    return badge(endpoint.get_health_status_display(), tone)


class EndpointChangeList(HubChangeList):
    """Puts the last day of the endpoints on the page onto its rows: two queries for all of them."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        found = selectors.activity_of([row.pk for row in rows])
        for row in rows:
            row.activity = found[row.pk]
        self.result_list = rows


def summary_of(endpoint: WebhookEndpoint) -> dict[str, Any]:
    """What the page of an endpoint shows above its settings."""
    activity = selectors.activity_of([endpoint.pk])[endpoint.pk]
    labels = [f"{timezone.localtime(hour.start):%H:%M}" for hour in activity.hours]
    series = [
        Series("succeeded", tuple(hour.succeeded for hour in activity.hours), "good"),
        Series("failed", tuple(hour.failed for hour in activity.hours), "bad"),
    ]
    steps = schedule_of(
        intervals=endpoint.retry_intervals,
        attempts=endpoint.retry_attempts,
        fallback=configured_schedule(),
    )
    pauses = [steps.pause(step) for step in range(steps.retries)]
    list_url = reverse("admin:webhooks_delivery_changelist")
    now = timezone.now()
    return {
        "endpoint": endpoint,
        "status": status_badge(endpoint.status),
        "health": health_badge(endpoint),
        "activity": activity,
        "rate": activity.success_rate,
        "latency": milliseconds(activity.average_ms),
        "reason": endpoint.pause_reason.rstrip("."),
        "chart": bar_chart(labels, series, unit="attempts"),
        "ladder": ", ".join(
            since_text(pause) if pause >= 1 else duration(pause) for pause in pauses if pause
        ),
        "timeout": f"{timeout_of(endpoint):g} s",
        "paused": ago(endpoint.paused_at),
        "probe": ago(endpoint.next_probe_at) if endpoint.next_probe_at else "",
        "public_key": mono(endpoint.public_key, copy=True) if endpoint.public_key else "",
        "old_secrets": len(endpoint.live_secrets(now)) - 1,
        "recent": [
            {
                "url": reverse("admin:webhooks_delivery_change", args=[delivery.public_id]),
                "type": delivery.event_type,
                "created": ago(delivery.created_at),
                "status": status_badge(delivery.status),
                "attempts": delivery.attempts,
                "answer": delivery.last_status or delivery.last_error or "",
            }
            for delivery in selectors.recent_deliveries(endpoint)
        ],
        "replays": [(row, bar(row)) for row in selectors.unfinished_replays(endpoint)],
        "all_url": f"{list_url}?endpoint__id__exact={endpoint.pk}",
    }
