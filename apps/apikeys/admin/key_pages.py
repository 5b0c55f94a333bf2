"""What the pages of keys show of their use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from apps.apikeys.activity import activity_of, recent_alerts, recent_requests, totals_of
from apps.apikeys.models import APIKey
from apps.kernel.admin import Series, ago, badge, bar_chart, milliseconds
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.admin.display import size


class KeyChangeList(HubChangeList):
    """Puts the last day of the keys on the page onto its rows: one query for all of them."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        found = activity_of(rows)
        for row in rows:
            row.activity = found[row.group.hex]
        self.result_list = rows


def _tone(status: int) -> str:
    return "good" if status < 400 else "warn" if status < 500 else "bad"


def summary_of(admin: Any, key: APIKey) -> dict[str, Any]:
    """What stands above the form of a key: status, numbers, alerts and last calls."""
    activity = activity_of([key])[key.group.hex]
    totals = totals_of(key)
    labels = [f"{timezone.localtime(hour.start):%H:%M}" for hour in activity.hours]
    series = [
        Series("succeeded", tuple(hour.succeeded for hour in activity.hours), "good"),
        Series("failed", tuple(hour.failed - hour.limited for hour in activity.hours), "bad"),
        Series("over a limit", tuple(hour.limited for hour in activity.hours), "warn"),
    ]
    waiting = (
        APIKey.objects.filter(group=key.group, id__gt=key.pk)
        .exclude(waiting_secret__isnull=True)
        .order_by("-id")
        .first()
    )
    next_rotation = key.next_rotation_at
    return {
        "key": key,
        "status": admin.state(key),
        "activity": activity,
        "totals": totals,
        "calls": f"{activity.calls:,}",
        "total": f"{totals.calls:,}",
        "average": milliseconds(activity.average_ms),
        "bytes": size(activity.bytes),
        "chart": bar_chart(labels, series, unit="calls"),
        "ends": admin.ends(key),
        "used": admin.used(key),
        "exposed": admin.exposed(key),
        "limits_url": reverse("admin:apikeys_limits_of", args=["key", key.number]),
        "revoked": ago(key.revoked_at),
        "rotation": (
            format_html("rotates {}", ago(next_rotation)) if next_rotation else "rotated by hand only"
        ),
        "waiting": waiting,
        "waiting_url": admin.object_url(waiting) if waiting is not None else "",
        "told": [
            {"kind": alert.get_kind_display(), "text": alert.text, "at": ago(alert.at)}
            for alert in recent_alerts(key)
        ],
        "recent": [
            {
                "at": ago(row.at),
                "call": f"{row.method} {row.path}",
                "status": badge(row.status, _tone(row.status), dot=False),
                "code": row.code,
                "time": milliseconds(row.time_us / 1000),
                "ip": row.ip,
                "agent": row.user_agent,
            }
            for row in recent_requests(key)
        ],
    }
