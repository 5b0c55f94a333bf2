"""What health shows on the home page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.health.models import HealthCheck
from apps.health.selectors import overall
from apps.kernel.admin import dashboard

TONES = {"pass": "good", "warn": "warn", "fail": "bad"}
WORDS = {"pass": "Healthy", "warn": "Warning", "fail": "Critical"}


def system(request: HttpRequest) -> dict[str, Any]:
    """The whole hub in one word."""
    health = overall()
    troubled = [check for check in health.checks if check.status != HealthCheck.Status.PASS]
    if health.stale:
        note = "No worker has reported for three minutes."
    elif troubled:
        note = ", ".join(check.title for check in troubled[:3])
    else:
        note = f"{len(health.checks)} checks pass"
    return {
        "title": "System",
        "value": WORDS[health.status],
        "note": note,
        "tone": TONES[health.status],
        "href": reverse("admin:health_healthcheck_changelist"),
    }


def problems(request: HttpRequest) -> list[dashboard.Problem]:
    """Checks that warn or fail, and the silence of all workers, which no check can tell."""
    href = reverse("admin:health_healthcheck_changelist")
    found = []
    if overall().stale:
        found.append(
            dashboard.Problem(
                title="No worker reports",
                text="Syncs, imports and webhooks wait until one runs. Start the hub with make run.",
                href=href,
            )
        )
    return found + [
        dashboard.Problem(
            title=check.title,
            text=check.detail,
            href=href,
            tone="bad" if check.status == HealthCheck.Status.FAIL else "warn",
            when=check.since,
        )
        for check in HealthCheck.objects.filter(status__in=("warn", "fail")).order_by("status", "name")[:5]
    ]


def register() -> None:
    dashboard.cards.register(dashboard.Card("system", "health", 5, system, scope="health:read"))
    dashboard.attention.register(dashboard.Attention("system", problems, scope="health:read"))
