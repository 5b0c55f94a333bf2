"""Projects: parts of an organization that integrations, webhooks and imports may be assigned to."""

from __future__ import annotations

from django.contrib import admin

from apps.kernel.admin import HubModelAdmin, ago, yes_no
from apps.tenants.models import Project


@admin.register(Project)
class ProjectAdmin(HubModelAdmin):
    scope_resource = "projects"
    audit_name = "project"
    list_display = ("name", "slug", "active", "created")
    list_filter = ("is_active",)
    search_fields = ("name__istartswith", "slug__istartswith")
    search_help_text = "Search by the beginning of the name"
    palette_fields = ("name",)
    fields = ("name", "slug", "description", "is_active")
    prepopulated_fields = {"slug": ("name",)}
    empty_icon = "folder"
    empty_title = "No projects yet"
    empty_text = "Projects group integrations, webhooks and imports, for example by client or by department."

    @admin.display(description="Active", ordering="is_active")
    def active(self, obj: Project) -> str:
        return yes_no(obj.is_active)

    @admin.display(description="Created", ordering="created_at")
    def created(self, obj: Project) -> str:
        return ago(obj.created_at)
