"""What pages need and programs do not: session, CSRF, user, messages, the organization of a session.

A call of the API that brings credentials in a header and no session cookie passes these by: there is no
session that they could serve, and they are half of what such a call would cost.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.middleware.csrf import CsrfViewMiddleware

from apps.tenants.middleware import OrganizationMiddleware


def is_keyed(request: HttpRequest) -> bool:
    """Whether a program calls the API with credentials of its own, and nobody's session."""
    known: bool | None = request.__dict__.get("hub_keyed")
    if known is None:
        meta = request.META
        known = request.__dict__["hub_keyed"] = (
            ("HTTP_AUTHORIZATION" in meta or "HTTP_X_API_KEY" in meta)
            and request.path_info.startswith("/api/")
            and settings.SESSION_COOKIE_NAME not in meta.get("HTTP_COOKIE", "")
        )
    return known


class _ForPages:
    """Passes keyed calls on."""

    get_response: Any

    def __call__(self, request: HttpRequest) -> Any:
        if is_keyed(request):
            return self.get_response(request)
        return super().__call__(request)  # type: ignore[misc]


class PageSession(_ForPages, SessionMiddleware):
    """Django's, for pages and for whoever has a session."""


class PageCsrf(_ForPages, CsrfViewMiddleware):
    """Django's, for pages and for whoever has a session: without one there is nothing to forge."""


class PageUser(_ForPages, AuthenticationMiddleware):
    """Django's, for pages and for whoever has a session."""


class PageMessages(_ForPages, MessageMiddleware):
    """Django's, for pages and for whoever has a session."""


class PageOrganization(_ForPages, OrganizationMiddleware):
    """The organization of a session; keyed calls have that of their credentials."""

    def __call__(self, request: HttpRequest) -> Any:
        if is_keyed(request):
            request.organization = request.principal = request.actor = None  # type: ignore[attr-defined]
        return super().__call__(request)
