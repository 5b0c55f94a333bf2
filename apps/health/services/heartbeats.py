"""Signs of life."""

from __future__ import annotations

import socket

from django.utils import timezone

from apps.health.models import Heartbeat


def beat(*, name: str, title: str) -> None:
    """Note that this part of the hub lives."""
    now = timezone.now()
    values = {"title": title, "at": now, "host": socket.gethostname()[:120]}
    if not Heartbeat.objects.filter(name=name).update(**values):
        Heartbeat.objects.update_or_create(name=name, defaults=values)
