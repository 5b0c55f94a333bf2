"""Django's admin with the hub's own site in it."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class HubAdminConfig(AdminConfig):
    default_site = "apps.kernel.admin.site.HubAdminSite"

    def ready(self) -> None:
        from integration_hub import admin_home

        admin_home.register()
        super().ready()
        self._keep_own()

    @staticmethod
    def _keep_own() -> None:
        """Only admins that scope, audit and confirm stay; those that packages bring along are taken out."""
        from django.contrib.admin import site

        from apps.kernel.admin import HubModelAdmin

        for model, registered in list(site._registry.items()):
            if not isinstance(registered, HubModelAdmin):
                site.unregister(model)
