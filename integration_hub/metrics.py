"""`/metrics`: what Prometheus scrapes, behind a token of its own."""

from __future__ import annotations

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.kernel import metrics


@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """All numbers of the hub, over all organizations. Without `HUB_METRICS_TOKEN` there is no such page."""
    token = settings.HUB_METRICS_TOKEN
    if not token:
        raise Http404
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        return HttpResponse(
            "A bearer token is needed: the value of HUB_METRICS_TOKEN.\n",
            status=401,
            content_type="text/plain; charset=utf-8",
            headers={"WWW-Authenticate": 'Bearer realm="metrics"', "Cache-Control": "no-store"},
        )
    return HttpResponse(
        metrics.render(), content_type=metrics.CONTENT_TYPE, headers={"Cache-Control": "no-store"}
    )
