"""Nobody gives a key more than they hold themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_network
from typing import Any

from apps.apikeys.errors import ScopeNotHeld
from apps.apikeys.models import APIKey, RateLimit
from apps.apikeys.principals import Subject, subject_of
from apps.tenants.principals import Principal
from apps.tenants.roles import allows

PERMISSIONS = ("read", "write", "delete", "admin")
# Lists that restrict when they are not empty.
_LISTS = (
    "allowed_resources",
    "allowed_endpoints",
    "allowed_origins",
    "allowed_referers",
    "allowed_user_agents",
)


@dataclass(frozen=True)
class Ceiling:
    """The most that a key may be allowed."""

    scopes: frozenset[str]
    permissions: frozenset[str] = frozenset(PERMISSIONS)
    restrictions: dict[str, list[str]] = field(default_factory=dict)
    ip_blacklist: tuple[str, ...] = ()
    max_request_size: int | None = None
    require_https: bool = False
    signature_required: bool = False
    until: datetime | None = None
    maker: Subject | None = None

    @property
    def is_restricted(self) -> bool:
        """Whether more than scopes and permissions is limited."""
        return bool(
            any(self.restrictions.values())
            or self.ip_blacklist
            or self.max_request_size is not None
            or self.require_https
            or self.signature_required
        )


def of_key(key: APIKey) -> Ceiling:
    return Ceiling(
        scopes=frozenset(key.scopes),
        permissions=frozenset(name for name, given in key.permissions.items() if given),
        restrictions={name: list(getattr(key, name)) for name in (*_LISTS, "ip_whitelist")},
        ip_blacklist=tuple(key.ip_blacklist),
        max_request_size=key.max_request_size,
        require_https=key.require_https,
        signature_required=key.signature_required,
        until=key.expires_at,
        maker=Subject(RateLimit.For.KEY, key.group.hex),
    )


def of(principal: Principal) -> Ceiling:
    """What a caller may give away: a key what it has, a person what their role has."""
    key: Any = getattr(principal, "key", None)
    if isinstance(key, APIKey):
        return of_key(key)
    program = getattr(principal, "application", None) is not None
    return Ceiling(scopes=principal.scopes, maker=subject_of(principal) if program else None)


def of_calling_key(principal: Principal) -> Ceiling | None:
    """The ceiling for stopping and limiting keys. People with the right may stop any (a leak cannot wait for
    the owner); a program stops only what it could have made, or the least of keys would lock out its owner's.
    """
    key: Any = getattr(principal, "key", None)
    if isinstance(key, APIKey):
        return of_key(key)
    program = getattr(principal, "application", None) is not None
    return Ceiling(scopes=principal.scopes) if program else None


def check(key: APIKey, ceiling: Ceiling) -> None:
    """Raises ScopeNotHeld if the key may do more than the ceiling."""
    check_not_raised(key, ceiling)
    for name in _LISTS:
        held = ceiling.restrictions.get(name) or []
        if held and not (set(getattr(key, name)) and set(getattr(key, name)) <= set(held)):
            raise ScopeNotHeld(f"You are limited by {name} to {', '.join(held)}; the key must be, too.")
    held = ceiling.restrictions.get("ip_whitelist") or []
    if held and not (key.ip_whitelist and all(_inside(network, held) for network in key.ip_whitelist)):
        raise ScopeNotHeld(f"You are limited to the addresses {', '.join(held)}; the key must be, too.")
    if not all(_inside(network, key.ip_blacklist) for network in ceiling.ip_blacklist):
        raise ScopeNotHeld(
            f"You are kept out from the addresses {', '.join(ceiling.ip_blacklist)}; the key must be, too."
        )
    most = ceiling.max_request_size
    if most is not None and (key.max_request_size is None or key.max_request_size > most):
        raise ScopeNotHeld(f"You are limited to {most:,} bytes a call; the key must be, too.")
    if ceiling.require_https and not key.require_https:
        raise ScopeNotHeld("You are limited to HTTPS; the key must be, too.")
    if ceiling.signature_required and not key.signature_required:
        raise ScopeNotHeld("You are limited to signed calls; the key must be, too.")


def check_life(key: APIKey, ceiling: Ceiling) -> None:
    """Raises ScopeNotHeld if the key outlives the one that makes or changes it."""
    if ceiling.until is not None and (key.expires_at is None or key.expires_at > ceiling.until):
        raise ScopeNotHeld(
            f"You end on {ceiling.until:%Y-%m-%d %H:%M} UTC; what you make must not live longer. "
            "Give it an expires_at before that."
        )


def check_not_raised(key: APIKey, ceiling: Ceiling) -> None:
    """Raises ScopeNotHeld if the key has scopes or permissions that the ceiling has not."""
    lacking = [scope for scope in key.scopes if not allows(ceiling.scopes, scope)]
    if lacking:
        raise ScopeNotHeld(
            f"Not to be given: {', '.join(sorted(lacking))}. A new key may have at most your own scopes, and "
            "a change adds none to a key."
        )
    over = [name for name, given in key.permissions.items() if given and name not in ceiling.permissions]
    if over:
        raise ScopeNotHeld(f"Not to be given: the permission to {', '.join(over)}.")


def _inside(network: str, held: Iterable[str]) -> bool:
    inner = ip_network(network, strict=False)
    for text in held:
        outer: Any = ip_network(text, strict=False)
        if outer.version == inner.version and inner.subnet_of(outer):
            return True
    return False
