"""“Authorized apps”: each person sees whom they let in, and takes it back."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from apps.apikeys.models import Consent, TokenFamily
from apps.apikeys.scopes import tell
from apps.apikeys.services import consents, sessions
from apps.kernel.admin import ago
from apps.kernel.admin.site import site_urls
from apps.tenants.models import User

NAME = "authorized_apps"


def page(request: HttpRequest) -> HttpResponse:
    """GET lists, POST takes back one consent or ends one chain of JSON Web Tokens. Always only one's own."""
    user = request.user
    assert isinstance(user, User)
    if request.method == "POST":
        _end(request, user)
        return HttpResponseRedirect(reverse(f"admin:{NAME}"))
    last = consents.last_uses(user)
    rows: list[dict[str, Any]] = [
        {
            "consent": consent,
            "told": [tell(scope) for scope in consent.scopes],
            "last": ago(used) if used is not None else None,
        }
        for consent in consents.of_user(user)[:200]
        for used in [last.get((consent.application_id, consent.organization_id))]
    ]
    context = {
        **admin.site.each_context(request),
        "title": "Authorized apps",
        "rows": rows,
        "sessions": sessions.of_user(user)[:100],
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "hub/apikeys/authorized.html", context)


def _end(request: HttpRequest, user: User) -> None:
    actor = request.actor  # type: ignore[attr-defined]
    ref = request.POST.get("end", "")
    consent_id, family_id = Consent.parse_public_id(ref), TokenFamily.parse_public_id(ref)
    if consent_id is not None:
        consent = consents.of_user(user).select_related("user").filter(pk=consent_id).first()
        if consent is not None:
            consents.withdraw(consent=consent, actor=actor)
            messages.success(request, f"{consent.application} can no longer use {consent.organization}.")
            return
    elif family_id is not None and sessions.end(user=user, family_id=family_id, actor=actor):
        messages.success(request, "Ended: its tokens no longer work.")
        return
    messages.error(request, "That is not among yours, or was ended already.")


def _urls() -> list[URLPattern | URLResolver]:
    return [path("authorized-apps/", admin.site.admin_view(page), name=NAME)]


if _urls not in site_urls:
    site_urls.append(_urls)
