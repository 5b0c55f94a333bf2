"""The staff door: how the hub is."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.health.models import HealthCheck, Heartbeat
from apps.kernel.admin import HubModelAdmin, ago, status_badge


class InstallationAdmin(HubModelAdmin):
    """Rows of the whole installation, readable with `health:read`; nobody edits them."""

    scope_resource = "health"
    organization_path = None
    read_only = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            self.model._default_manager.all()
            if self.has_view_permission(request)
            else self.model.objects.none()
        )


@admin.register(HealthCheck)
class HealthCheckAdmin(InstallationAdmin):
    list_display = ("title", "state", "detail", "since_when", "checked")
    list_filter = ("status",)
    search_fields = ("title",)
    fields = ("title", "name", "state", "detail", "observed", "unit", "since", "checked_at")
    readonly_fields = fields
    empty_title = "No check has run yet"
    empty_text = (
        "The scheduler asks every fifteen seconds how the hub is. Nothing here means that no worker runs."
    )

    @admin.display(description="Status", ordering="status")
    def state(self, check: HealthCheck) -> str:
        return status_badge(check.status, check.get_status_display())

    @admin.display(description="Since", ordering="since")
    def since_when(self, check: HealthCheck) -> str:
        return ago(check.since)

    @admin.display(description="Checked", ordering="checked_at")
    def checked(self, check: HealthCheck) -> str:
        return ago(check.checked_at)


@admin.register(Heartbeat)
class HeartbeatAdmin(InstallationAdmin):
    list_display = ("title", "heard", "host")
    search_fields = ("title", "host")
    fields = ("title", "name", "at", "host")
    readonly_fields = fields
    empty_title = "Nobody has been heard yet"
    empty_text = "Workers and the scheduler give a sign of life every fifteen seconds."

    @admin.display(description="Last heard", ordering="at")
    def heard(self, beat: Heartbeat) -> str:
        return ago(beat.at)
