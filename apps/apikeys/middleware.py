"""What is noted of every API call, for usage."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

from django.db import connections
from django.http import HttpRequest, HttpResponse

from apps.apikeys.services import usage


class Statements:
    """How many SQL statements one call made on its connection, and how long it waited for them."""

    __slots__ = ("count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0

    def __call__(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        started = perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.count += 1
            self.seconds += perf_counter() - started


class UsageMiddleware:
    """Times each call under /api/ and hands it to `services.usage`, which writes it later."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        statements = Statements()
        wrappers = connections["default"].execute_wrappers
        wrappers.append(statements)
        started = perf_counter()
        try:
            response = self.get_response(request)
        finally:
            wrappers.remove(statements)
        usage.note(request, response, perf_counter() - started, statements)
        return response
