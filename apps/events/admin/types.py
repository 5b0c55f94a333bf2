"""The catalog of event types: what each tells, its schema and a sample."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from apps.events.catalog import EventType
from apps.events.selectors import types_like
from apps.kernel.admin import allows
from apps.kernel.admin.site import site_urls


def types_view(request: HttpRequest) -> HttpResponse:
    """All event types by group, narrowed by `q`."""
    if not allows(request, "events:read"):
        raise PermissionDenied
    text = request.GET.get("q", "").strip()[:100]
    groups: dict[str, list[EventType]] = {}
    for declared in types_like(request.organization, search=text):  # type: ignore[attr-defined]
        groups.setdefault(declared.group or declared.name.partition(".")[0], []).append(declared)
    request.current_app = admin.site.name
    context = {
        **admin.site.each_context(request),
        "title": "Event types",
        "hub_trail": [
            {"title": "Events", "link": reverse("admin:events_event_changelist")},
            {"title": "Event types"},
        ],
        "groups": [(name.replace("_", " "), found) for name, found in sorted(groups.items())],
        "query": text,
        "own_url": reverse("admin:events_owneventtype_changelist"),
    }
    return TemplateResponse(request, "hub/events/types.html", context)


def _urls() -> list[URLPattern | URLResolver]:
    return [path("event-types/", admin.site.admin_view(types_view), name="events_types")]


if _urls not in site_urls:
    site_urls.append(_urls)
