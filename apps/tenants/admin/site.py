"""What tenants add to the admin site itself: switching organizations, and who one is here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path, reverse

from apps.kernel.admin.site import site_context, site_urls
from apps.tenants.middleware import SESSION_KEY
from apps.tenants.models import Membership, User
from apps.tenants.roles import Role
from apps.tenants.selectors import organizations_of

LISTED = 100


def switch_organization(request: HttpRequest) -> HttpResponse:
    """POST: work in another of one's organizations. A foreign one is told like a missing one."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    user = request.user
    slug = request.POST.get("organization", "")
    chosen = organizations_of(user).filter(slug=slug).first() if isinstance(user, User) else None
    if chosen is None:
        messages.error(request, "That organization does not exist.")
    else:
        request.session[SESSION_KEY] = chosen.slug
        messages.success(request, f"You are now working in {chosen.name}.")
    return HttpResponseRedirect(reverse("admin:index"))


def _urls() -> list[URLPattern | URLResolver]:
    view = admin.site.admin_view(switch_organization)
    return [path("switch-organization/", view, name="switch_organization")]


def _context(request: HttpRequest) -> dict[str, Any]:
    """The switcher's list, read only when a template shows it, and the user's role."""
    user = request.user
    organization = getattr(request, "organization", None)
    if not isinstance(user, User) or organization is None:
        return {}
    role = (
        Membership.objects.filter(user=user, organization=organization, is_active=True)
        .values_list("role", flat=True)
        .first()
    )
    label = Role(role).label if role in Role.values else "Operator" if user.is_superuser else ""
    return {"hub_organizations": organizations_of(user)[:LISTED], "hub_role": label}


if _urls not in site_urls:
    site_urls.append(_urls)
if _context not in site_context:
    site_context.append(_context)
