"""Assembles the REST API from the apps' urls: every route once under its version and once without."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.urls import URLPattern, URLResolver, include, path, re_path

from apps.kernel.api import docs
from apps.kernel.api.handlers import api_not_found

# Apps with an `api/urls.py`, in the order of the documentation.
APPS = (
    "records",
    "events",
    "connectors",
    "jobs",
    "webhooks",
    "apikeys",
    "audit",
    "tenants",
    "accounting",
    "esign",
    "backups",
    "health",
)


def _routes() -> list[URLPattern | URLResolver]:
    found: list[URLPattern | URLResolver] = []
    for app in APPS:
        package = f"apps.{app}"
        if apps.is_installed(package) and find_spec(f"{package}.api") and find_spec(f"{package}.api.urls"):
            if find_spec(f"{package}.api.changes"):
                import_module(f"{package}.api.changes")
            module = import_module(f"{package}.api.urls")
            found.extend(module.urlpatterns if hasattr(module, "urlpatterns") else module.router_urls)
    return found


routes = _routes()

urlpatterns: list[URLPattern | URLResolver] = [
    path("schema", docs.SchemaView.as_view(), name="api-schema"),
    path("docs", docs.SwaggerView.as_view(), name="api-docs"),
    path("docs/search", docs.SearchView.as_view(), name="api-docs-search"),
    path("docs/oauth2-redirect", docs.OAuthReturnView.as_view(), name="api-docs-oauth"),
    path("docs/<slug:name>", docs.GuideView.as_view(), name="api-docs-guide"),
    path("redoc", docs.RedocView.as_view(), name="api-redoc"),
    path("changelog", docs.ChangelogView.as_view(), name="api-changelog"),
    path("errors", docs.ErrorsView.as_view(), name="api-errors"),
    re_path(r"^(?P<version>v[0-9]+)/", include(routes)),
    path("", include(routes)),
    re_path(r"^.*$", api_not_found),
]
