"""What the templates of the jobs need besides Django's own filters."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from apps.kernel.admin import Progress, duration, progress_bar, status_badge

register = template.Library()


@register.filter
def grouped(value: Any) -> str:
    """A whole number with thousands separators."""
    return f"{int(value or 0):,}"


@register.filter
def state_badge(value: Any) -> SafeString:
    return status_badge(value)


@register.filter
def lasting(seconds: Any) -> str:
    """Seconds in words."""
    return duration(float(seconds))


@register.simple_tag
def live_bar(progress: Progress, url: str) -> SafeString:
    """A bar that moves, and loads the page anew in the end."""
    return progress_bar(progress, url, reload=True)
