"""Which addresses the hub may call: the guard against server-side request forgery.

`ipaddress.is_global` lets a dozen dangerous ranges through, so the list is ours. A name is resolved once; it
is refused if any address of the answer is not allowed; the connection goes to an address that was checked.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import httpx
from django.conf import settings

from apps.kernel.outbound.errors import OutboundBlocked, OutboundConnectionFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
GetAddrInfo = Callable[..., Iterable[tuple[Any, ...]]]

_V4_BLOCKED = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_V6_GLOBAL = IPv6Network("2000::/3")
_V6_BLOCKED = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    )
)
_V6_EMBEDDED = (
    # (network, bits to the right of the embedded IPv4 address)
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped, RFC 4291
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
)


def is_public(ip: Address) -> bool:
    """Whether an address belongs to the public Internet. IPv4 inside IPv6 is judged as IPv4."""
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in _V4_BLOCKED)
    if ip.scope_id is not None:
        return False
    inner = embedded_v4(ip)
    if inner is not None:
        return is_public(inner)
    return ip in _V6_GLOBAL and not any(ip in network for network in _V6_BLOCKED)


def embedded_v4(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, NAT64 or 6to4 address leads to."""
    for network, shift in _V6_EMBEDDED:
        if ip in network:
            return IPv4Address((int(ip) >> shift) & 0xFFFF_FFFF)
    return None


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """What may be called: the public Internet, the networks in `allow`; plain HTTP if `allow_http`."""

    allow: tuple[Network, ...] = ()
    allow_http: bool = False

    def permits(self, ip: Address) -> bool:
        return is_public(ip) or self._excepted(ip)

    def _excepted(self, ip: Address) -> bool:
        if any(ip.version == network.version and ip in network for network in self.allow):
            return True
        inner = embedded_v4(ip) if isinstance(ip, IPv6Address) else None
        return inner is not None and self._excepted(inner)


def default_policy() -> OutboundPolicy:
    """The policy of the settings: HUB_OUTBOUND_ALLOW (CIDR strings) and HUB_ALLOW_HTTP."""
    allow = getattr(settings, "HUB_OUTBOUND_ALLOW", None) or ()
    return _policy(tuple(map(str, allow)), bool(getattr(settings, "HUB_ALLOW_HTTP", False)))


@lru_cache(maxsize=32)
def _policy(allow: tuple[str, ...], allow_http: bool) -> OutboundPolicy:
    return OutboundPolicy(tuple(ipaddress.ip_network(text, strict=False) for text in allow), allow_http)


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the static part of the check."""

    url: httpx.URL
    host: str
    port: int
    tls: bool
    text: str

    @property
    def origin(self) -> str:
        """What messages may say of the URL."""
        return f"{self.host}:{self.port}" if self.port not in (80, 443) else self.host


_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\\\u2028\u2029\ud800-\udfff]")
_USERINFO = re.compile(r"[^/?#]*//[^/?#]*@")
_MAX_URL = 8000


def check_url(url: str, policy: OutboundPolicy, *, allow_http: bool | None = None) -> Target:
    """The static part of the check: scheme, host, port, no credentials. Raises OutboundBlocked.

    `allow_http` overrides the policy's own (an organization may allow plain HTTP for itself).
    """
    target = _parse(url)
    if not target.tls and not (policy.allow_http if allow_http is None else allow_http):
        raise OutboundBlocked(
            f"{target.origin} would be called without encryption: use an https address.",
            code="https_required",
        )
    return target


@lru_cache(maxsize=4096)
def _parse(url: str) -> Target:
    if len(url) > _MAX_URL:
        raise OutboundBlocked(f"The URL is longer than {_MAX_URL} characters.", code="url_invalid")
    if _CONTROL.search(url):
        raise OutboundBlocked(
            "The URL contains a space, a backslash or a control character.", code="url_invalid"
        )
    try:
        parsed = httpx.URL(url)
        host, port, scheme = parsed.raw_host.decode("ascii"), parsed.port, parsed.scheme
    except (httpx.InvalidURL, ValueError, UnicodeError):
        raise OutboundBlocked("The URL is not valid.", code="url_invalid") from None
    if scheme not in ("http", "https"):
        raise OutboundBlocked("Only https and http addresses can be called.", code="url_invalid")
    if parsed.userinfo or _USERINFO.match(url):
        raise OutboundBlocked(
            "The URL contains a user name or password: put credentials into the settings for authentication.",
            code="url_invalid",
        )
    if not host or host == "." or len(host) > 255 or "%" in host:
        raise OutboundBlocked("The URL names no valid host.", code="url_invalid")
    if port is None:
        port = 443 if scheme == "https" else 80
    if not 0 < port < 65536:
        raise OutboundBlocked("The URL has a port that is not between 1 and 65535.", code="url_invalid")
    whole = parsed.copy_with(fragment=None)
    return Target(whole, host, port, scheme == "https", str(whole))


def numeric_address(host: str) -> list[str] | None:
    """The address that a host literally spells, also in octal, hex or as one number; None for a name."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def check_spelled(url: str, policy: OutboundPolicy, *, allow_http: bool | None = None) -> Target:
    """`check_url`, and the address where the URL spells one (or this machine's own name): without a resolver.

    For saving settings, where a name that does not resolve now is no error. Raises OutboundBlocked.
    """
    target = check_url(url, policy, allow_http=allow_http)
    host = target.host.strip("[]").rstrip(".").lower()
    local = host == "localhost" or host.endswith(".localhost")
    spelled = ["127.0.0.1"] if local else numeric_address(host)
    if spelled:
        admit(target.host, spelled, policy)
    return target


def lookup(host: str, port: int, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> list[str]:
    """The addresses of a host, blocking. Raises OutboundConnectionFailed if the name does not resolve."""
    try:
        found = getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    except (OSError, UnicodeError):
        addresses = []
    if not addresses:
        raise OutboundConnectionFailed(
            f"The name {host} cannot be resolved: check its spelling and the name servers.",
            code="name_not_resolved",
        )
    return addresses


def admit(host: str, addresses: Iterable[str], policy: OutboundPolicy) -> list[str]:
    """`addresses` if the policy permits every one of them. Raises OutboundBlocked."""
    admitted = list(addresses)
    for text in admitted:
        if not permits_text(text, policy):
            raise OutboundBlocked(
                f"{host} leads to an address that is not public. If it is a system in your own network, "
                "add its network to HUB_OUTBOUND_ALLOW."
            )
    return admitted


def permits_text(address: str, policy: OutboundPolicy) -> bool:
    """Whether the policy permits an address as the resolver spells it."""
    try:
        return policy.permits(ipaddress.ip_address(address))
    except ValueError:
        return False


def resolve(
    host: str, port: int, policy: OutboundPolicy, getaddrinfo: GetAddrInfo = socket.getaddrinfo
) -> list[str]:
    """The addresses to connect to, blocking. Raises OutboundBlocked if any is not allowed."""
    return admit(host, lookup(host.strip("[]"), port, getaddrinfo), policy)
