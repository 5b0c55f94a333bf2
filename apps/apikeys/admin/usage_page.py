"""“API usage”: what came in, how it was answered, how long it took, and who asked."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, URLPattern, URLResolver, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.apikeys.models.usage import Grain
from apps.apikeys.usage import export, performance, selectors
from apps.apikeys.usage.selectors import Group, Narrowed, Point, Span
from apps.kernel.admin import Series, allows, bar_chart, line_chart, milliseconds, number, size
from apps.kernel.admin.site import site_urls
from apps.kernel.errors import BadRequest

SCOPE = "api-keys:read"
MOST_BARS = 60
RANGE_NAMES = {
    "1h": "1 hour", "6h": "6 hours", "24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "90 days",
}  # fmt: skip


def usage_view(request: HttpRequest) -> HttpResponse:
    """The dashboard over a chosen span, narrowed to a caller and an endpoint."""
    if not allows(request, SCOPE):
        raise PermissionDenied
    organization = request.organization  # type: ignore[attr-defined]
    span, chosen = _span(request)
    narrowed = _narrowed(request)
    points = selectors.series(organization, span, narrowed)
    numbers = selectors.total(points)
    callers = selectors.ranking(organization, span, "key", narrowed)
    endpoints = selectors.ranking(organization, span, "endpoint", narrowed)
    versions = selectors.ranking(organization, span, "version", narrowed, limit=5)
    operator = bool(getattr(request.user, "is_superuser", False))
    strangers = selectors.may_see_strangers(organization, operator=operator) and narrowed.subject is None
    query = {name: str(value) for name, value in request.GET.items() if value}
    request.current_app = admin.site.name
    context = {
        **admin.site.each_context(request),
        "title": "API usage",
        "hub_trail": [{"title": "API usage"}],
        "ranges": [
            (name, text, _link(query, range=name), name == chosen) for name, text in RANGE_NAMES.items()
        ],
        "custom": chosen == "",
        "since": timezone.localtime(span.start),
        "until": timezone.localtime(span.end),
        "span": span,
        "callers_to_choose": _callers_to_choose(organization, narrowed),
        "endpoints_to_choose": _endpoints_to_choose(organization, narrowed),
        "chosen_caller": " ".join(narrowed.subject) if narrowed.subject else "",
        "chosen_endpoint": " ".join(narrowed.endpoint) if narrowed.endpoint else "",
        "query": query,
        "kept": {name: query[name] for name in ("range", "from", "to") if name in query},
        "csv": "?" + urlencode({**query, "download": "csv"}),
        "empty": not numbers.count,
        "tiles": _tiles(organization, span, narrowed, numbers),
        "charts": _charts(points, span),
        "callers": [_line(group, query, "caller") for group in callers],
        "endpoints": [_line(group, query, "endpoint") for group in endpoints],
        "versions": [_line(group, query, "") for group in versions],
        "advice": performance.advise(organization, span) if narrowed == selectors.EVERYTHING else None,
        "refused": selectors.refused_requests(organization),
        "strangers": selectors.refused_requests(None) if strangers else [],
        "stranger_count": selectors.total(selectors.series(None, span)).refused if strangers else 0,
        "log": _url("admin:apikeys_requestlog_changelist"),
        "keys_url": _url("admin:apikeys_apikey_changelist"),
    }
    return TemplateResponse(request, "hub/apikeys/usage.html", context)


def door(request: HttpRequest) -> HttpResponseBase:
    """The page, or with `download=csv` its numbers as a file."""
    if request.GET.get("download") == "csv" and allows(request, SCOPE):
        organization = request.organization  # type: ignore[attr-defined]
        return export.response(organization, _span(request)[0], _narrowed(request))
    return usage_view(request)


def _span(request: HttpRequest) -> tuple[Span, str]:
    """The chosen span; what makes no sense is told, and the last day shown."""
    start, end = (_moment(request.GET.get(name, "")) for name in ("from", "to"))
    chosen = request.GET.get("range", "")
    try:
        if start is not None:
            return selectors.span_of(start=start, end=end), ""
        chosen = chosen if chosen in selectors.RANGES else "24h"
        return selectors.span_of(chosen), chosen
    except BadRequest as refusal:
        messages.error(request, refusal.detail)
        return selectors.span_of("24h"), "24h"


def _moment(text: str) -> datetime | None:
    with contextlib.suppress(ValueError, OverflowError):
        found = parse_datetime(text[:40])
        if found is not None:
            return found if timezone.is_aware(found) else timezone.make_aware(found)
    return None


def _narrowed(request: HttpRequest) -> Narrowed:
    caller, endpoint = request.GET.get("caller", ""), request.GET.get("endpoint", "")
    kind, _, subject_id = caller.partition(" ")
    method, _, route = endpoint.partition(" ")
    return Narrowed(
        (kind[:12], subject_id[:120]) if subject_id and "\x00" not in caller else None,
        (method[:8], route[:200]) if route and "\x00" not in endpoint else None,
    )


def _callers_to_choose(organization: Any, narrowed: Narrowed) -> list[tuple[str, str]]:
    """The busiest callers of the last 30 days, and the chosen one."""
    groups = selectors.ranking(organization, selectors.span_of("30d"), "key", limit=50)
    found = [(" ".join(group.key), group.label) for group in groups]
    if narrowed.subject and " ".join(narrowed.subject) not in dict(found):
        known = selectors.labels([narrowed.subject])
        found.insert(0, (" ".join(narrowed.subject), known[narrowed.subject]))
    return found


def _endpoints_to_choose(organization: Any, narrowed: Narrowed) -> list[str]:
    groups = selectors.ranking(organization, selectors.span_of("30d"), "endpoint", limit=100)
    found = sorted((" ".join(group.key) for group in groups), key=lambda text: text.partition(" ")[2])
    if narrowed.endpoint and " ".join(narrowed.endpoint) not in found:
        found.insert(0, " ".join(narrowed.endpoint))
    return found


def _tiles(organization: Any, span: Span, narrowed: Narrowed, numbers: Any) -> list[dict[str, Any]]:
    rate = numbers.success_rate
    tiles = [
        {"title": "Requests", "value": number(numbers.count), "note": f"{size(numbers.bytes_out)} sent"},
        {
            "title": "Errors",
            "value": number(numbers.errors),
            "note": f"{100 - rate:.1f} % of all, {number(numbers.failures)} the hub's"
            if rate is not None
            else "",
            "tone": "bad" if numbers.failures else "warn" if numbers.errors else "good",
        },
        {
            "title": "Latency p95",
            "value": milliseconds(numbers.percentile(0.95)) if numbers.count else "–",
            "note": f"median {milliseconds(numbers.percentile(0.5))}" if numbers.count else "",
        },
        {"title": "Stopped by limits", "value": number(numbers.limited), "note": "answers 429"},
        {"title": "Unauthorized", "value": number(numbers.refused), "note": "answers 401 and 403"},
    ]
    if narrowed.endpoint is None:
        count = selectors.distinct_addresses(organization, span, narrowed.subject)
        tiles.append({"title": "Addresses", "value": number(count), "note": "different ones"})
    return tiles


def _charts(points: Sequence[Point], span: Span) -> list[dict[str, Any]]:
    folded = _folded(points)
    step = timedelta(seconds=span.grain) * max(1, -(-len(points) // MOST_BARS))
    names = [_label(point.start, span, step) for point in folded]
    many = [point.numbers for point in folded]
    return [
        {
            "title": "Requests",
            "chart": bar_chart(
                names,
                [
                    Series("successful", tuple(n.count - n.errors for n in many), "good"),
                    Series("refused or wrong (4xx)", tuple(n.errors - n.failures for n in many), "warn"),
                    Series("failed (5xx)", tuple(n.failures for n in many), "bad"),
                ],
                unit="requests",
            ),
        },
        {
            "title": "Latency",
            "chart": line_chart(
                names,
                [
                    ("median", [n.percentile(0.5) for n in many], "a"),
                    ("p95", [n.percentile(0.95) for n in many], "warn"),
                    ("p99", [n.percentile(0.99) for n in many], "bad"),
                ],
                unit="ms",
            ),
        },
        {
            "title": "Stopped",
            "chart": bar_chart(
                names,
                [
                    Series("by a limit (429)", tuple(n.limited for n in many), "busy"),
                    Series("unauthorized (401, 403)", tuple(n.refused for n in many), "bad"),
                ],
                unit="stopped requests",
            ),
        },
    ]


def _folded(points: Sequence[Point]) -> list[Point]:
    """At most so many bars, so that they can be told apart on a phone."""
    size_ = max(1, -(-len(points) // MOST_BARS))
    return [
        Point(points[n].start, selectors.total(points[n : n + size_])) for n in range(0, len(points), size_)
    ]


def _label(start: datetime, span: Span, step: timedelta) -> str:
    if span.grain == Grain.DAY:
        return f"{start:%d %b}"
    local = timezone.localtime(start)
    long = span.end - span.start > timedelta(hours=26)
    return f"{local:%d %b %H:%M}" if long else f"{local:%H:%M}"


def _line(group: Group, query: dict[str, str], name: str) -> dict[str, Any]:
    numbers = group.numbers
    return {
        "label": group.label,
        "href": _link(query, **{name: " ".join(group.key)}) if name and group.key[0] else "",
        "count": number(numbers.count),
        "errors": number(numbers.errors),
        "limited": number(numbers.limited),
        "p95": milliseconds(numbers.percentile(0.95)),
        "last_at": group.last_at,
    }


def _link(query: dict[str, str], **values: str) -> str:
    merged = {**query, **values}
    if "range" in values:
        merged.pop("from", None), merged.pop("to", None)
    return "?" + urlencode(merged)


def _url(name: str) -> str:
    with contextlib.suppress(NoReverseMatch):
        return reverse(name)
    return ""


def _urls() -> list[URLPattern | URLResolver]:
    return [path("api-usage/", admin.site.admin_view(door), name="apikeys_usage")]


if _urls not in site_urls:
    site_urls.append(_urls)
