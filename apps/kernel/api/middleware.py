"""What every request and answer carries: an id, and under /api/ the version that answered."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apps.kernel.api import context
from apps.kernel.api.versions import versions

HEADER = "X-Request-ID"
API = "/api/"


class RequestIdMiddleware:
    """Gives each request an id: the caller's X-Request-ID if it is acceptable, else a new one.

    It is in `request.request_id`, in a context variable for logs, and in the answer's X-Request-ID. Under
    /api/ a trailing slash is ignored and the answer names the version that gave it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request_id = context.accept_request_id(request.META.get("HTTP_X_REQUEST_ID"))
        request.request_id = request_id  # type: ignore[attr-defined]
        under_api = request.path_info.startswith(API)
        if under_api and request.path_info.endswith("/") and request.path_info != API:
            request.path_info = request.path_info.rstrip("/")
            request.path = request.path.rstrip("/")
        token = context.request_id.set(request_id)
        try:
            response = self.get_response(request)
        finally:
            context.request_id.reset(token)
        response.headers[HEADER] = request_id
        if under_api:
            _tell_version(request, response)
        return response


def _tell_version(request: HttpRequest, response: HttpResponse) -> None:
    """The version that answered, also where no view did, and when it ends; pages have no version."""
    version = response.headers.get("API-Version")
    if version is None:
        if getattr(response, "is_page", False):
            return
        version = response.headers["API-Version"] = versions.named_in(request.path_info).name
    for name, value in versions.headers_of(version).items():
        given = response.headers.get(name)
        response.headers[name] = f"{given}, {value}" if given and name == "Link" else value
