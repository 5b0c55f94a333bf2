"""Limits by the client's address on what everybody may call: signing in, OAuth2, tokens, documentation.

They are counted by django-ratelimit, whose guarantee (a fixed window) is enough here. While the cache does
not answer, this process counts by itself. The address is the one that the trusted proxies vouch for; IPv6
clients count as one for each /64, which is what one customer is given.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_network
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_ratelimit.core import get_usage

from apps.apikeys import limiter, sign_in
from apps.apikeys.limiter import plans
from apps.apikeys.limiter.local import LocalStore
from apps.kernel.api.addresses import client_ip, parse_address
from apps.kernel.api.problems import respond
from apps.kernel.errors import RateLimited

logger = logging.getLogger("hub.limits")

# What a public view of the API takes from one address, unless it says otherwise in `public_rate`.
DEFAULT_RATE = "600/m"

_PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class Door:
    """Addresses that share a limit. Every rate holds; `only_failures` counts what was not let in."""

    name: str
    path: re.Pattern[str]
    methods: tuple[str, ...]
    rates: tuple[str, ...]
    only_failures: bool = False

    def covers(self, request: HttpRequest) -> bool:
        return request.method in self.methods and self.path.fullmatch(request.path_info) is not None


def _door(name: str, path: str, methods: str, *rates: str, only_failures: bool = False) -> Door:
    return Door(name, re.compile(path), tuple(methods.split()), rates, only_failures)


DOORS = (
    _door("sign-in", r"/admin/login/?", "POST", "20/m", "200/h", only_failures=True),
    _door("password", r"/(?:admin|accounts)/(?:password_)?reset/.*", "POST", "5/m", "30/h"),
    _door("consent", r"/oauth/authorize/?", "GET POST", "60/m"),
    _door("device", r"/oauth/device.*", "GET POST", "30/m", "300/h"),
    _door("token", r"/oauth/(?:token|revoke(?:_token)?|introspect)/?", "POST", "600/m"),
    _door("jwt", r"/api/(?:v[0-9]+/)?auth/.+", "POST", "60/m"),
    _door("callback", r"/api/oauth/.+", "GET POST", "60/m"),
    _door("docs", r"/api/(?:docs|redoc|schema|changelog|errors)/?", "GET HEAD", "240/m"),
)
_PREFIXES = ("/admin/login", "/admin/reset", "/admin/password_reset", "/accounts/", "/oauth/", "/api/")

_local = LocalStore()


class PublicLimits:
    """Middleware: refuses with 429 what comes too often from one address, as a page or a problem."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(_PREFIXES):
            return self.get_response(request)
        door = next((door for door in DOORS if door.covers(request)), None)
        if door is None:
            return self.get_response(request)
        wait = left_to_wait(request, door.name, door.rates, count=not door.only_failures)
        if wait:
            return refusal(request, wait)
        if door.name != "sign-in":
            return self.get_response(request)
        attempt = sign_in.Attempt(request)
        if attempt.wait:
            return refusal(request, attempt.wait)
        response = self.get_response(request)
        if sign_in.succeeded(request, response):
            attempt.succeeded(response)
        else:
            left_to_wait(request, door.name, door.rates)
        return response


def check_view(request: HttpRequest, view: Any) -> None:
    """Raises RateLimited if a public view of the API is called too often from one address."""
    rate = getattr(view, "public_rate", DEFAULT_RATE)
    if rate:
        wait = left_to_wait(request, f"api:{type(view).__name__}", (rate,))
        if wait:
            raise RateLimited(_sentence(wait), retry_after=wait)


def left_to_wait(request: HttpRequest, group: str, rates: tuple[str, ...], *, count: bool = True) -> int:
    """0 if the address may go on, else after how many seconds it may. Never raises."""
    waits = [_usage(request, group, rate, count) for rate in rates]
    return max(waits)


def place_of(request: HttpRequest) -> str:
    """The client's address as it is counted."""
    address = parse_address(client_ip(request) or "")
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False).network_address)
    return str(address or "unknown")


def refusal(request: HttpRequest, wait: int) -> HttpResponse:
    """429: a problem for programs, a page for people."""
    path = request.path_info
    program = path.startswith("/api/") and not path.startswith(("/api/docs", "/api/redoc", "/api/changelog"))
    if program or (path.startswith("/oauth/") and "text/html" not in request.headers.get("Accept", "")):
        error = RateLimited(_sentence(wait), retry_after=wait)
        if path.startswith("/oauth/"):
            # What OAuth2 clients look for (RFC 6749 §5.2).
            error.problem_members = {  # type: ignore[attr-defined]
                "error": "temporarily_unavailable",
                "error_description": error.detail,
            }
        return respond(request, error)
    context = {"minutes": -(-wait // 60), "seconds": wait, "back": path}
    response = render(request, "429.html", context, status=429)
    response.headers["Retry-After"] = str(wait)
    response.headers["Cache-Control"] = "no-store"
    return response


def _usage(request: HttpRequest, group: str, rate: str, count: bool) -> int:
    if not limiter.get().is_down:
        try:
            usage = get_usage(request, group=f"hub:{group}", key=_key, rate=rate, increment=count)
        except Exception as error:  # whatever a cache raises that is away
            logger.warning("django-ratelimit could not count (%s); this process does.", type(error).__name__)
        else:
            # 0 of 0: it could not count.
            if usage is not None and usage["limit"]:
                # Without counting, the one that is asked about comes on top.
                if usage["count"] + (not count) <= usage["limit"]:
                    return 0
                return max(1, int(usage["time_left"]))
    number, period = re.fullmatch(r"(\d+)/([smhd])", rate).groups()  # type: ignore[union-attr]
    counter = plans.window(rate, f"{group}:{place_of(request)}:{rate}", int(number), _PERIODS[period])
    verdict = _local.check(plans.plan([counter]), take=count)
    return 0 if verdict.passed else verdict.retry_after


def _key(group: str, request: HttpRequest) -> str:
    return place_of(request)


def _sentence(wait: int) -> str:
    return f"Too many calls came from your address. Try again in {wait} second{'' if wait == 1 else 's'}."
