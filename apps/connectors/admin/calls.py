"""How calls to providers are shown in lists and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.urls import reverse
from django.utils.html import format_html

from apps.connectors.models import Integration, IntegrationLog
from apps.connectors.statuses import HealthStatus
from apps.kernel.admin import ago, link, milliseconds, muted, status_badge

_TONES = {HealthStatus.DOWN: "critical", HealthStatus.DEGRADED: "degraded", HealthStatus.HEALTHY: "healthy"}


def call_shown(log: IntegrationLog) -> str:
    """Method and path; the whole address on hover."""
    shown = log.path if len(log.path) <= 60 else log.path[:59] + "…"
    return format_html(
        '<span class="hub-chip">{}</span> <code class="hub-mono" title="{}">{}</code>',
        log.method,
        log.endpoint,
        shown,
    )


def answer_badge(log: IntegrationLog) -> str:
    return status_badge("ok" if log.ok else "failed", str(log.status_code or "no answer"))


def health_badge(row: Integration) -> str:
    return status_badge(
        _TONES.get(HealthStatus(row.health_status), "unknown"), row.get_health_status_display()
    )


def integration_shown(row: Integration) -> str:
    """A link to the integration's page, if it is still there."""
    if row.removed_at is not None:
        return muted(f"{row} (removed)")
    return link(reverse("admin:connectors_integration_change", args=[row.number]), row)


def rows_of(logs: Iterable[IntegrationLog]) -> list[dict[str, Any]]:
    """For the table of calls on other pages."""
    return [
        {
            "log": log,
            "call": call_shown(log),
            "when": ago(log.created_at),
            "url": reverse("admin:connectors_integrationlog_change", args=[log.public_id]),
            "badge": answer_badge(log),
            "took": milliseconds(log.duration_ms),
        }
        for log in logs
    ]
