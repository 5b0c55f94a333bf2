"""The admin site: Unfold's, with the hub's home page, its own search, and addresses that apps add to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path
from unfold.sites import UnfoldAdminSite

from apps.kernel.admin import dashboard, search
from apps.kernel.admin.access import organization_of
from apps.kernel.admin.auditing import journal

# Filled by admins that need an address outside their model's, such as `/admin/data/clients/`.
site_urls: list[Callable[[], list[URLPattern | URLResolver]]] = []
# What every page of the admin needs to know, from the apps above: callables of the request.
site_context: list[Callable[[HttpRequest], dict[str, Any]]] = []


class HubAdminSite(UnfoldAdminSite):
    """The one admin site. Staff get in who are members of an organization."""

    index_title = "Home"
    site_title = "Integration Hub"
    site_header = "Integration Hub"
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and organization_of(request) is not None

    def extra_urls(self) -> list[URLPattern | URLResolver]:
        return [pattern for urls in site_urls for pattern in urls()]

    def extra_context(self, context: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
        for provide in site_context:
            context.update(provide(request))
        return context

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        context = {
            **self.each_context(request),
            "title": self.index_title,
            "index": True,
            "home": dashboard.home(request),
            **(extra_context or {}),
        }
        request.current_app = self.name
        return TemplateResponse(request, "admin/index.html", context)

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Of one's own; written to the audit log."""
        answer = super().password_change(request, {"title": "Change password", **(extra_context or {})})
        if request.method == "POST" and answer.status_code == 302 and isinstance(request.user, models.Model):
            journal.record(request, action="user.password_changed", target=request.user)
        return answer

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Unfold's caches results by user alone; the hub's must never outlive a change of organization."""
        return search.respond(self, request)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        urls: list[URLPattern | URLResolver] = super().get_urls()
        return [path("home/", self.admin_view(self.index), name="home"), *urls]
