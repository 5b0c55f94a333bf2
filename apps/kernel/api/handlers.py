"""Django's last-resort handlers: problems under /api/, Django's own pages elsewhere. Named in the URLconf."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt

from apps.kernel.api.problems import InternalError, respond
from apps.kernel.errors import BadRequest, Forbidden, NotFound


def _is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception, *args: Any) -> HttpResponse:
    if _is_api(request):
        return respond(request, BadRequest())
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception, *args: Any) -> HttpResponse:
    if _is_api(request):
        return respond(request, Forbidden())
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception, *args: Any) -> HttpResponse:
    if _is_api(request):
        return respond(request, NotFound(f"Nothing answers at {request.path}."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest, *args: Any) -> HttpResponse:
    if _is_api(request):
        return respond(request, InternalError())
    return defaults.server_error(request)


@csrf_exempt
def api_not_found(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
    """The last route under /api/: nothing matched. Programs that misspell addresses send no CSRF token."""
    return respond(
        request, NotFound(f"Nothing answers at {request.path}. The addresses are listed at /api/docs.")
    )
