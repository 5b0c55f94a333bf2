"""Callers: a key, a token, or a person who is signed in. Each tells whom limits and usage count for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from apps.apikeys.models import APIKey
from apps.tenants.principals import Principal
from apps.tenants.roles import allows

_PERMISSION_OF = {"read": "can_read", "write": "can_write", "delete": "can_delete"}


class Subject(NamedTuple):
    """Whom a call is counted for: what stays the same when a key is rotated or a token refreshed.

    `kind` is key (`id` is the hex of the key's group), application (the client id) or user (the primary key).
    """

    kind: str
    id: str


@dataclass(frozen=True, slots=True)
class KeyPrincipal(Principal):
    """What came in with an API key: it needs the scope, and the permission for the scope's action."""

    key: APIKey | None = None

    def allows(self, scope: str) -> bool:
        # Anything but reading, writing and deleting is administration.
        permission = _PERMISSION_OF.get(scope.partition(":")[2], "can_admin")
        return bool(getattr(self.key, permission)) and _allows(self.scopes, scope)

    @property
    def api_version(self) -> str:
        return self.key.api_version if self.key is not None else ""

    @property
    def subject(self) -> Subject:
        assert self.key is not None
        found: Subject | None = self.key.__dict__.get("_subject")
        if found is None:
            found = self.key.__dict__["_subject"] = Subject("key", self.key.group.hex)
        return found


@dataclass(frozen=True, slots=True)
class SessionPrincipal(Principal):
    """A person who is signed in to the admin."""

    user: Any = None

    @property
    def subject(self) -> Subject:
        return Subject("user", str(self.user.pk))


@dataclass(frozen=True, slots=True)
class ApplicationPrincipal(Principal):
    """What came in with a token: an application for a person or for itself, or (a JSON Web Token) a person
    alone. `scopes` are what token, application and the person's role have in common.
    """

    application: Any = None
    user: Any = None
    token_id: str = ""

    def allows(self, scope: str) -> bool:
        return _allows(self.scopes, scope)

    @property
    def api_version(self) -> str:
        return self.application.api_version if self.application is not None else ""

    @property
    def subject(self) -> Subject:
        if self.application is not None:
            return Subject("application", self.application.client_id)
        return Subject("user", str(self.user.pk))


def subject_of(principal: Any) -> Subject | None:
    """Whom a caller's calls are counted for; None for callers that are not counted (the hub itself)."""
    return getattr(principal, "subject", None)


@lru_cache(maxsize=4096)
def _allows(granted: frozenset[str], scope: str) -> bool:
    return allows(granted, scope)
