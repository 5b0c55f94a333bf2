"""Where a request comes from, as far as that can be known."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from django.conf import settings


def client_ip(request: Any) -> str | None:
    """The client's address, or None if the server gave none (a unix socket).

    With `HUB_TRUSTED_PROXIES` = n, the n-th entry of X-Forwarded-For from the right: each trusted proxy
    appended the address that connected to it, and everything further left is the client's own claim. A
    request with fewer entries did not come through all the proxies, so only its socket is believed.
    """
    meta = request.META
    remote = _normal(meta.get("REMOTE_ADDR") or "")
    trusted = settings.HUB_TRUSTED_PROXIES
    if trusted:
        entries = [
            part.strip() for part in (meta.get("HTTP_X_FORWARDED_FOR") or "").split(",") if part.strip()
        ]
        if len(entries) >= trusted:
            return _normal(entries[-trusted]) or remote or None
    return remote or None


@lru_cache(maxsize=4096)
def _normal(text: str) -> str:
    """One spelling for each address, without port, brackets or zone; IPv4-mapped IPv6 as IPv4."""
    address = parse_address(text)
    return str(address) if address is not None else ""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """The address in `1.2.3.4`, `1.2.3.4:80`, `[::1]:80` or `::ffff:1.2.3.4`, or None."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
