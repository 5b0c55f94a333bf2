"""From where, and to where, a key may be used. Every restriction that is not empty must be satisfied."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.apikeys.models import APIKey
from apps.apikeys.principals import KeyPrincipal
from apps.apikeys.signatures import check_signature
from apps.kernel.api.addresses import parse_address
from apps.kernel.api.versions import canonical_path
from apps.kernel.errors import Forbidden, TooLarge


def check_source(key: APIKey, request: Any, ip: str | None) -> None:
    """Raises Forbidden if the key may not be used from here: address, HTTPS, origin, referer, user agent."""
    if key.ip_blacklist and (ip is None or _within(ip, tuple(key.ip_blacklist))):
        raise Forbidden(f"This key may not be used from {ip or 'an unknown address'}.", code="ip_not_allowed")
    if key.ip_whitelist and (ip is None or not _within(ip, tuple(key.ip_whitelist))):
        raise Forbidden(f"This key may not be used from {ip or 'an unknown address'}.", code="ip_not_allowed")
    meta = request.META
    if key.require_https and not request.is_secure():
        raise Forbidden("This key may be used over HTTPS only.", code="https_required")
    if key.allowed_origins:
        origin = origin_of(request)
        if origin.rstrip("/").lower() not in {one.rstrip("/").lower() for one in key.allowed_origins}:
            where = f"from {origin}" if origin else "by a program that is no web page"
            raise Forbidden(f"This key may not be used {where[:300]}.", code="origin_not_allowed")
    if key.allowed_referers and not _refers(meta.get("HTTP_REFERER", ""), key.allowed_referers):
        raise Forbidden("This key may not be used from this page.", code="referer_not_allowed")
    if key.allowed_user_agents:
        agent = meta.get("HTTP_USER_AGENT", "")
        if not any(_matches(pattern, agent) for pattern in key.allowed_user_agents):
            raise Forbidden("This key may not be used by this user agent.", code="user_agent_not_allowed")


def origin_of(request: Any) -> str:
    """The origin of the page that calls, as its browser says; empty for what is no page.

    Browsers leave `Origin` out when a page reads from its own server, as “Try it” of the documentation does,
    but say `Sec-Fetch-Site: same-origin`, which no script can set: the page's origin is then this server's.
    """
    told: str = request.META.get("HTTP_ORIGIN", "")
    if not told and request.META.get("HTTP_SEC_FETCH_SITE") == "same-origin":
        return f"{request.scheme}://{request.get_host()}"
    return told


class KeyRestrictions(BasePermission):
    """After the scope: which endpoints and resources a key may reach, how much it may send, its signature."""

    def has_permission(self, request: Request, view: Any) -> bool:
        meta = request.META
        if "HTTP_AUTHORIZATION" not in meta and "HTTP_X_API_KEY" not in meta:
            return True
        caller = request.auth
        if not isinstance(caller, KeyPrincipal) or caller.key is None:
            return True
        key = caller.key
        if key.allowed_endpoints:
            path = canonical_path(request.path).removeprefix("/api")
            if not any(_endpoint(text, request.method or "", path) for text in key.allowed_endpoints):
                raise Forbidden(
                    f"This key may not call {request.method} {path}.", code="endpoint_not_allowed"
                )
        if key.allowed_resources:
            named = {str(value) for name, value in view.kwargs.items() if name != "version"}
            if not named & set(key.allowed_resources):
                raise Forbidden(
                    "This key may reach only addresses that name one of its resources.",
                    code="resource_not_allowed",
                )
        if key.max_request_size is not None:
            length = request.META.get("CONTENT_LENGTH") or "0"  # negative: sent in chunks, so nobody knows
            if not length.isdecimal() or int(length) > key.max_request_size:
                raise TooLarge(f"This key may send at most {key.max_request_size:,} bytes.")
        if key.signature_required:
            check_signature(key, request, view)
        return True


def _endpoint(text: str, method: str, path: str) -> bool:
    """Whether `GET /records/*` covers a call. HEAD counts as GET; a path alone covers every method."""
    verb, _, pattern = text.rpartition(" ")
    method = "GET" if method == "HEAD" else method
    return verb in ("", "*", method) and _matches(pattern, path)


def _matches(pattern: str, text: str) -> bool:
    """Whether a text has a form in which * stands for anything.

    Each part is taken where it first occurs, without ever going back: a regular expression would, and
    `*a*a*a*a*b` against a long user agent would stop the whole process for hours.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return text == first
    last = parts.pop()
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in parts:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _refers(referer: str, allowed: list[str]) -> bool:
    """Whether a referer is one of the hosts, or lies under one of the addresses."""
    try:
        parts = urlsplit(referer)
    except ValueError:  # http://[
        return False
    host = (parts.hostname or "").lower()
    address = f"{parts.scheme}://{parts.netloc}{parts.path}".lower()
    for text in allowed:
        if "//" in text:
            front = text.lower().rstrip("*").rstrip("/")
            if address == front or address.startswith(front + "/"):
                return True
        elif _matches(text.lower(), host):
            return True
    return False


@lru_cache(maxsize=16384)
def _within(ip: str, networks: tuple[str, ...]) -> bool:
    address = parse_address(ip)
    return address is not None and any(address in network for network in _parsed(networks))


@lru_cache(maxsize=1024)
def _parsed(networks: tuple[str, ...]) -> list[IPv4Network | IPv6Network]:
    return [ip_network(text, strict=False) for text in networks]
