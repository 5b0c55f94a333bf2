"""Which organization a signed-in user works in, and as whom."""

from __future__ import annotations

from collections.abc import Callable
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import Resolver404, resolve, reverse
from django.utils import timezone

from apps.kernel.api.addresses import client_ip
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor, Principal
from apps.tenants.selectors import organizations_of, scopes_in

SESSION_KEY = "organization"
# Pages of the admin that a user without an organization still needs.
OPEN_VIEWS = frozenset({"login", "logout", "password_change", "password_change_done", "jsi18n"})


class OrganizationMiddleware:
    """Sets `request.organization`, `request.principal` and `request.actor`; None without a session's user.

    The choice is kept in the session and is believed only as long as the user may work there; otherwise the
    first of their organizations is taken. In the admin, a user without any sees a page that says so, and one
    with a password from somebody else changes it first.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        attach(request)
        user = request.user if settings.SESSION_COOKIE_NAME in request.COOKIES else None
        if isinstance(user, User) and self._is_closed(request):
            if request.organization is None:  # type: ignore[attr-defined]
                return render(request, "hub/no_organization.html", status=403)
            if user.must_change_password:
                messages.info(request, "Choose a password of your own first.")
                return HttpResponseRedirect(reverse("admin:password_change"))
        with timezone.override(_zone_of(request)):
            return self.get_response(request)

    @staticmethod
    def _is_closed(request: HttpRequest) -> bool:
        """Whether this is a page of the admin for those who have fully arrived."""
        if not request.path.startswith(reverse("admin:index")):
            return False
        try:
            return resolve(request.path_info).url_name not in OPEN_VIEWS
        except Resolver404:
            return False


def _zone_of(request: HttpRequest) -> ZoneInfo | None:
    """Times are shown and entered in the organization's zone; None is the installation's."""
    organization: Organization | None = request.organization  # type: ignore[attr-defined]
    return ZoneInfo(organization.timezone) if organization is not None else None


def attach(request: HttpRequest) -> None:
    """Put organization, principal and actor on the request."""
    request.organization = request.principal = request.actor = None  # type: ignore[attr-defined]
    if settings.SESSION_COOKIE_NAME not in request.COOKIES:
        return
    user = request.user
    if not isinstance(user, User) or not user.is_active:
        return
    actor = actor_of(request, user)
    request.actor = actor  # type: ignore[attr-defined]
    organization = current_organization(request, user)
    if organization is not None:
        request.organization = organization  # type: ignore[attr-defined]
        request.principal = Principal(organization, actor, scopes_in(user, organization))  # type: ignore[attr-defined]


def actor_of(request: HttpRequest, user: User) -> Actor:
    """The user as services and the audit log know them."""
    return Actor(
        kind="user",
        ref=user.email,
        label=str(user),
        ip=client_ip(request),
        request_id=getattr(request, "request_id", ""),
    )


def current_organization(request: HttpRequest, user: User) -> Organization | None:
    """The one chosen in the session, if the user may work there; else the first that they may work in."""
    mine = organizations_of(user)
    chosen = request.session.get(SESSION_KEY)
    if chosen and (found := mine.filter(slug=chosen).first()) is not None:
        return found
    return mine.first()
