"""Scopes as applications ask for them, and what each means to the person who is asked.

A scope is `resource:action` with `*` for every resource or action, as roles have them, or one of the standard
ones about the person (`openid`, `profile`, `email`, `offline_access`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from oauth2_provider.scopes import BaseScopes

from apps.tenants.roles import SCOPES

PERSONAL = {
    "openid": "Know that it is you, each time you sign in with this hub",
    "profile": "See your name",
    "email": "See your e-mail address",
    "offline_access": "Keep this access while you are away, until you take it back",
}
ACTIONS = ("read", "write", "delete", "manage")
_SHAPE = re.compile(r"(\*|[a-z][a-z0-9-]{0,39}):(\*|read|write|delete|manage)")

NOUNS = {
    "records": "records of every kind",
    "datasets": "datasets and their fields",
    "mappings": "mappings",
    "events": "events",
    "integrations": "integrations",
    "syncs": "sync jobs",
    "jobs": "imports and exports",
    "schedules": "schedules of imports and exports",
    "locations": "places that files are fetched from and delivered to",
    "webhooks": "webhooks",
    "api-keys": "API keys",
    "applications": "OAuth applications",
    "audit": "the audit log",
    "health": "the state of the system",
    "members": "members and their roles",
    "organization": "the organization's settings",
    "projects": "projects",
    "backups": "backups",
    "security": "security settings and numbers",
    "accounting": "accounting",
    "e-signature": "documents to be signed",
}
_VERBS = {
    "read": "See {}",
    "write": "Create and change {}",
    "delete": "Delete {}",
    "manage": "Manage {}",
    "*": "See, create, change and delete {}",
}
_RISKY = frozenset({"delete", "manage", "*"})
_SENSITIVE = frozenset({"api-keys", "applications", "members", "backups", "locations", "*"})


@dataclass(frozen=True, slots=True)
class Told:
    """A scope in a plain sentence. `grave`: it can lock people out or lose data."""

    scope: str
    sentence: str
    grave: bool


def is_scope(text: str) -> bool:
    """Whether a text is a scope of resources."""
    return _SHAPE.fullmatch(text) is not None


def mistake_in(scope: Any, held: Collection[str] = ()) -> str:
    """What is wrong with a scope that is to be given; empty if nothing is.

    Of `held`, which were given before, the resource may be gone since.
    """
    if not isinstance(scope, str) or not is_scope(scope):
        return "A scope is resource:action, such as records:read, records:* or *:read."
    resource = scope.partition(":")[0]
    if resource == "*" or scope in held or scope == "admin:*" or resource in known_resources():
        return ""
    return f"There is no resource “{resource}”. The resources are {', '.join(known_resources())}."


def known_resources() -> list[str]:
    """Every resource that a scope may name."""
    return sorted(
        ({scope.partition(":")[0] for held in SCOPES.values() for scope in held} | {*NOUNS}) - {"*"}
    )


def supported() -> list[str]:
    """Every scope that may be asked for, without the wildcards."""
    return [*PERSONAL, *(f"{name}:{action}" for name in known_resources() for action in ACTIONS)]


@lru_cache(maxsize=512)
def tell(scope: str) -> Told:
    """What a scope means, for a consent page."""
    if scope in PERSONAL:
        return Told(scope, PERSONAL[scope], False)
    resource, _, action = scope.partition(":")
    if resource in ("*", "admin"):
        if action == "read":
            return Told(scope, "See everything in the organization that you can see", False)
        if action == "*" or resource == "admin":
            return Told(scope, "Do everything in the organization that you can do", True)
        return Told(scope, _VERBS.get(action, "Manage {}").format("everything that you can"), True)
    noun = NOUNS.get(resource, resource.replace("-", " "))
    grave = action in _RISKY or (resource in _SENSITIVE and action != "read")
    return Told(scope, _VERBS.get(action, "Manage {}").format(noun), grave)


def resource_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Those about the organization's resources."""
    return frozenset(scope for scope in scopes if scope not in PERSONAL)


@lru_cache(maxsize=4096)
def intersection(one: frozenset[str], other: frozenset[str]) -> frozenset[str]:
    """What both sets of resource scopes allow, in as few scopes as it takes."""
    found = {
        scope
        for first in map(_parts, one)
        for second in map(_parts, other)
        if (scope := _meet(first, second)) is not None
    }
    return frozenset(scope for scope in found if not any(_covers(wide, scope) for wide in found))


def _parts(scope: str) -> tuple[str, str]:
    resource, _, action = scope.partition(":")
    return ("*", "*") if scope == "admin:*" else (resource, action)


def _meet(first: tuple[str, str], second: tuple[str, str]) -> str | None:
    both = []
    for left, right in zip(first, second, strict=True):
        if left != right and "*" not in (left, right):
            return None
        both.append(right if left == "*" else left)
    return ":".join(both)


def _covers(wide: str, scope: str) -> bool:
    """Whether another scope makes this one needless."""
    if wide == scope:
        return False
    return all(mine in ("*", theirs) for mine, theirs in zip(_parts(wide), _parts(scope), strict=True))


class HubScopes(BaseScopes):
    """The toolkit's question which scopes an application may have."""

    def get_all_scopes(self) -> dict[str, str]:
        return {scope: tell(scope).sentence for scope in supported()}

    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return [*PERSONAL, *application.scopes] if application is not None else []

    def get_default_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return list(application.scopes) if application is not None else []


__all__ = [
    "ACTIONS", "PERSONAL", "HubScopes", "Told", "intersection", "is_scope", "known_resources", "mistake_in",
    "resource_scopes", "supported", "tell",
]  # fmt: skip
