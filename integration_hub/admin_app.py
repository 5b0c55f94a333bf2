"""Django's admin with the hub's own site in it."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class HubAdminConfig(AdminConfig):
    default_site = "apps.kernel.admin.site.HubAdminSite"
