"""Django's admin with the hub's own site in it."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class HubAdminConfig(AdminConfig):
    default_site = "apps.kernel.admin.site.HubAdminSite"

    def ready(self) -> None:
        from integration_hub import admin_home

        admin_home.register()
        super().ready()
