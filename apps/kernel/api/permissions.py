"""What a caller is to the views, and the check of scopes that every view declares."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Protocol

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apps.kernel.api.problems import CHALLENGE
from apps.kernel.errors import Forbidden, Unauthenticated

# Declared instead of a scope by what everybody may call without credentials.
PUBLIC: Final = "public"
# Declared instead of a scope by what every authenticated caller may call: questions about themselves.
ANY_CALLER: Final = "any caller"


class Caller(Protocol):
    """`request.auth`: an authenticated caller (see `apps.tenants.principals.Principal`)."""

    @property
    def organization(self) -> Any: ...
    @property
    def actor(self) -> Any: ...
    @property
    def scopes(self) -> Collection[str]: ...
    def allows(self, scope: str) -> bool: ...


class DeclaredScope(BasePermission):
    """Lets in callers that hold the scope which the view declares for the action; undeclared is refused."""

    def has_permission(self, request: Request, view: Any) -> bool:
        scope = view.needed_scope()
        if scope == PUBLIC:
            return True
        caller: Any = request.auth
        if caller is None:
            raise Unauthenticated(
                "Give an API key in the header “Authorization: Bearer <key>” or in “X-API-Key”, or sign in."
            )
        if request.method == "OPTIONS" or scope == ANY_CALLER:
            return True
        if scope is None:
            raise Forbidden(
                "This operation declares no scope, so nobody may call it.", code="undeclared_scope"
            )
        if not caller.allows(scope):
            error = Forbidden(f"This operation needs the scope “{scope}”.", code="insufficient_scope")
            error.headers = {  # type: ignore[attr-defined]
                "WWW-Authenticate": f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
            }
            raise error
        return True
