"""Calls by the scripts of web pages from elsewhere (CORS): who may read an answer.

Before a call with a key or a token a browser asks, without either, whether the call may be made at all. Every
page is told yes: its script may send what any program may send, and nothing of the visitor's goes along,
because cookies are never allowed. What protects is that an answer may be read only

- by pages whose origin the key (`allowed_origins`) or the token's application names,
- by pages that the installation trusts (`HUB_CORS_ORIGINS`), whatever is called, and
- if it tells no more than why a caller was refused, so that a program in a browser can tell it.

That a key is *used* from its origins only is held by `restrictions`, for every caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from apps.apikeys.models import Application
from apps.apikeys.services import bearers

SECONDS = 600  # for which browsers remember that they may call
METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
# What the hub reads of a call, besides what every page may send.
HEADERS = (
    "Authorization, X-API-Key, Content-Type, Idempotency-Key, If-Match, If-None-Match, API-Revision, "
    "X-Request-ID, Hub-Signature"
)
# What a script may read of an answer, besides what every one may.
EXPOSED = (
    "API-Version, API-Revision, Content-Disposition, Deprecation, ETag, Idempotent-Replayed, Link, Location, "
    "RateLimit, RateLimit-Policy, Retry-After, Sunset, WWW-Authenticate, X-RateLimit-Limit, "
    "X-RateLimit-Remaining, X-RateLimit-Reset, X-Request-ID"
)
_PREFIXES = ("/api/", "/oauth/token", "/oauth/revoke", "/oauth/userinfo", "/oauth/device-authorization")


class Cors:
    """Middleware: answers what browsers ask beforehand, and says of answers who may read them."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        meta = request.META
        origin = meta.get("HTTP_ORIGIN")
        if origin is None or not request.path_info.startswith(_PREFIXES):
            return self.get_response(request)
        if request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in meta:
            response = HttpResponse(status=204)
            response.headers["Access-Control-Allow-Methods"] = METHODS
            response.headers["Access-Control-Allow-Headers"] = HEADERS
            response.headers["Access-Control-Max-Age"] = str(SECONDS)
            readable = True
        else:
            response = self.get_response(request)
            readable = may_read(request, response, origin)
        patch_vary_headers(response, ["Origin"])
        if readable and origin.isascii() and origin.isprintable():
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        return response


def may_read(request: HttpRequest, response: HttpResponse, origin: str) -> bool:
    """Whether the scripts of an origin's pages may read this answer."""
    wanted = plain(origin)
    trusted = settings.CORS_ORIGINS
    if "*" in trusted or wanted in map(plain, trusted):
        return True
    principal = getattr(request, "hub_principal", None)
    if principal is None and request.path_info.startswith("/api/"):
        return response.status_code in (401, 403, 429)
    return wanted in map(plain, _named_by(request, principal))


def _named_by(request: HttpRequest, principal: Any) -> Iterable[str]:
    """The origins that whoever calls has named."""
    key = getattr(principal, "key", None)
    if key is not None:
        return list(key.allowed_origins)
    application = getattr(principal, "application", None)
    if application is None and principal is None:
        application = _client(request)
    return application.allowed_origins.split() if application is not None else ()


def _client(request: HttpRequest) -> Application | None:
    """The application that calls an endpoint of OAuth2: by its id in the form, or by its token."""
    form = getattr(request, "_post", None)  # read by the view, or not at all
    client_id = form.get("client_id", "") if form else ""
    if client_id and "\x00" not in client_id:
        return Application.objects.filter(client_id=client_id[:100]).first()
    kind, _, text = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    bearer = bearers.find(text.strip()) if kind.lower() == "bearer" else None
    return bearer.application if bearer is not None else None


def plain(origin: str) -> str:
    """An origin as it is compared."""
    return origin.rstrip("/").lower()
