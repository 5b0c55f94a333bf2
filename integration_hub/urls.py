"""Every address that the hub answers."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from integration_hub import metrics

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/admin/"), name="home"),
    path("admin/", admin.site.urls),
    path("api/", include("integration_hub.api")),
    path("", include("apps.apikeys.oauth.urls")),
    path("metrics", metrics.view, name="metrics"),
]

handler400 = "apps.kernel.api.handlers.bad_request"
handler403 = "apps.kernel.api.handlers.permission_denied"
handler404 = "apps.kernel.api.handlers.page_not_found"
handler500 = "apps.kernel.api.handlers.server_error"
