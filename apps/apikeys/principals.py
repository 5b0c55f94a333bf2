"""A key as a caller."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from apps.apikeys.models import APIKey
from apps.tenants.principals import Principal
from apps.tenants.roles import allows

_PERMISSION_OF = {"read": "can_read", "write": "can_write", "delete": "can_delete"}


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


@lru_cache(maxsize=4096)
def _allows(granted: frozenset[str], scope: str) -> bool:
    return allows(granted, scope)
