"""What is noted of every API call, for usage."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from django.http import HttpRequest, HttpResponse

from apps.apikeys.services import usage


class UsageMiddleware:
    """Times each call under /api/ and hands it to `services.usage`, which writes it later."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        started = perf_counter()
        response = self.get_response(request)
        usage.note(request, response, perf_counter() - started)
        return response
