"""What the current request may do: the answers that `OrganizationMiddleware` put on it, read in one place.

The kernel knows no tenants; it only relies on `request.organization`, `request.actor` and
`request.principal.allows(scope)`.
"""

from __future__ import annotations

from typing import Any, Protocol

from django.http import HttpRequest


class Allowing(Protocol):
    def allows(self, scope: str) -> bool: ...


def organization_of(request: HttpRequest) -> Any | None:
    """The organization that the user works in now, or None."""
    return getattr(request, "organization", None)


def actor_of(request: HttpRequest) -> Any | None:
    """Who asks, in the form that services want (`apps.tenants.principals.Actor`)."""
    return getattr(request, "actor", None)


def allows(request: HttpRequest, scope: str) -> bool:
    """Whether the user may do `scope` (`integrations:write`) in the current organization."""
    principal: Allowing | None = getattr(request, "principal", None)
    return principal is not None and principal.allows(scope)
