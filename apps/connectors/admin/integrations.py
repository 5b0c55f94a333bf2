"""Integrations: how each one does, and what can be done to it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from apps.connectors.admin.calls import health_badge
from apps.connectors.admin.catalog import ConnectionPage
from apps.connectors.admin.overview import overview
from apps.connectors.models import Integration
from apps.connectors.services import integrations, lifecycle, syncs
from apps.connectors.statuses import IntegrationStatus
from apps.kernel.admin import HubModelAdmin, ago, allows, confirm_action, milliseconds, muted, status_badge
from apps.kernel.errors import HubError

_S = IntegrationStatus
# What is offered on the page of an integration in each state.
_OFFERED: dict[str, tuple[str, ...]] = {
    _S.PENDING_SETUP: ("activate", "test_now", "settings", "remove"),
    _S.TESTING: ("activate", "test_now", "settings", "disconnect", "remove"),
    _S.ACTIVE: ("sync_now", "test_now", "settings", "sync_fully", "pause", "disconnect", "remove"),
    _S.INACTIVE: ("activate", "test_now", "settings", "disconnect", "remove"),
    _S.ERROR: ("activate", "test_now", "settings", "pause", "disconnect", "remove"),
    _S.DISCONNECTED: ("activate", "test_now", "settings", "remove"),
}


@admin.register(Integration)
class IntegrationAdmin(HubModelAdmin):
    scope_resource = "integrations"
    audit_name = "integration"
    list_display = ("named", "state", "health", "score", "schedule", "last_sync", "next_sync", "kind")
    list_filter = ("status", "health_status", "connector", "type", "category", "environment")
    search_fields = ("number__istartswith", "name__istartswith", "code__istartswith")
    search_help_text = "Search by number, or the beginning of name or code"
    palette_fields = ("number", "name")
    ordering = ("-id",)
    sortable_by = ()
    actions = ("sync_now", "test_now", "pause")
    actions_detail = (
        "sync_now",
        "activate",
        "test_now",
        "settings",
        {"title": "More", "items": ["sync_fully", "pause", "disconnect", "remove"]},
    )
    empty_icon = "hub"
    empty_title = "No integrations yet"
    empty_text = "Connect a system, and its records flow in by schedule."
    empty_action = ("Connect a system", "admin:connectors_catalog")
    add_label = "Connect a system"
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Integration]:
        rows: Any = super().get_queryset(request)
        found: QuerySet[Integration] = (
            rows.live().with_health_score().select_related("organization", "project")
        )
        return found

    # --- columns

    @admin.display(description="Integration")
    def named(self, obj: Integration) -> str:
        entry = obj.catalog_entry
        icon = entry.icon_uri if entry else ""
        picture = format_html('<img class="hub-icon" src="{}" alt="">', icon) if icon else ""
        return format_html(
            '<span class="hub-named">{}<span>{}<br>{}</span></span>', picture, obj, muted(obj.number)
        )

    @admin.display(description="Status")
    def state(self, obj: Integration) -> str:
        return status_badge(obj.status, obj.get_status_display())

    @admin.display(description="Health")
    def health(self, obj: Integration) -> str:
        return health_badge(obj)

    @admin.display(description="Calls, 7 days")
    def score(self, obj: Integration) -> str:
        score = obj.health_score
        return muted("–") if score is None else f"{score} % good"

    @admin.display(description="Schedule")
    def schedule(self, obj: Integration) -> str:
        return obj.schedule_text

    @admin.display(description="Last sync")
    def last_sync(self, obj: Integration) -> str:
        if not obj.last_sync_status:
            return ago(None)
        return format_html("{} {}", ago(obj.last_sync_at), status_badge(obj.last_sync_status))

    @admin.display(description="Next")
    def next_sync(self, obj: Integration) -> str:
        due = obj.next_sync_at if obj.status == IntegrationStatus.ACTIVE else None
        return ago(due, never="–")

    @admin.display(description="Connector")
    def kind(self, obj: Integration) -> str:
        entry = obj.catalog_entry
        return entry.manifest.title if entry else muted(f"{obj.connector} (not in the catalog)")

    # --- pages

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:connectors_catalog"))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.settings_view)
        own = path("<path:object_id>/edit/", view, name="connectors_integration_edit")
        return [own, *super().get_urls()]

    def settings_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The connection form of an existing integration."""
        row = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        if row.catalog_entry is None:
            messages.error(request, f"The connector “{row.connector}” is not in this hub's catalog.")
            return HttpResponseRedirect(self.object_url(row))
        return ConnectionPage(request, row.catalog_entry, row).respond()

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, row) or request.method == "POST":
            raise PermissionDenied
        offered = _OFFERED[row.status]
        allowed = [
            action
            for action in self.get_actions_detail(request, row.number)
            if action.action_name.removeprefix("connectors_integration_") in offered
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": str(row),
            "original": row,
            "hub_trail": [{"title": "Integrations", "link": self.list_url()}, {"title": str(row)}],
            "actions_detail": self._get_actions_navigation(list(self.actions_detail), allowed, row.number),
            "media": self.media,
            "row": row,
            **overview(row),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "hub/connectors/integration.html", context)

    # --- deeds

    @confirm_action(
        description="Sync now",
        icon="sync",
        permissions=["sync"],
        instantly=True,
        title="Sync {object} now?",
        text="Reads what changed since the last sync.",
    )
    def sync_now(self, request: HttpRequest, objects: QuerySet[Integration]) -> HttpResponse | None:
        return self._sync(request, objects, None)

    @confirm_action(
        description="Sync everything",
        icon="sync_alt",
        permissions=["sync"],
        title="Read everything of {object} again?",
        text="Every stream is read from its beginning. Records that did not change are recognized; nothing "
        "is written twice.",
    )
    def sync_fully(self, request: HttpRequest, objects: QuerySet[Integration]) -> HttpResponse | None:
        return self._sync(request, objects, "full")

    def _sync(
        self, request: HttpRequest, objects: QuerySet[Integration], mode: str | None
    ) -> HttpResponse | None:
        started = []
        for row in objects:
            try:
                started.append(syncs.start(integration=row, actor=request.actor, mode=mode))  # type: ignore[attr-defined]
            except HubError as error:
                messages.error(request, error.detail)
        if len(started) == 1:
            return HttpResponseRedirect(reverse("admin:connectors_syncjob_change", args=[started[0].number]))
        if started:
            messages.success(request, f"{len(started)} syncs were started.")
        return None

    @confirm_action(
        description="Test connection",
        icon="network_check",
        permissions=["change"],
        instantly=True,
        title="Test the connection of {object}?",
        text="Makes one cheap call.",
    )
    def test_now(self, request: HttpRequest, objects: QuerySet[Integration]) -> None:
        for row in objects:
            result = lifecycle.test_connection(integration=row, actor=request.actor)  # type: ignore[attr-defined]
            if result.ok:
                who = f" as {result.identity}" if result.identity else ""
                messages.success(
                    request, f"“{row}” works{who}: it answered in {milliseconds(result.latency_ms)}."
                )
            else:
                messages.error(request, f"“{row}” does not work. {result.reason}")

    @confirm_action(
        description="Activate",
        icon="play_arrow",
        permissions=["change"],
        instantly=True,
        title="Activate {object}?",
        text="The connection is tested first; only if the test passes does it start to work.",
    )
    def activate(self, request: HttpRequest, objects: QuerySet[Integration]) -> None:
        for row in objects:
            lifecycle.connect(integration=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"“{row}” is active.")

    @admin.action(description="Settings")
    def settings(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.object_or_404(request, object_id)
        return HttpResponseRedirect(reverse("admin:connectors_integration_edit", args=[row.number]))

    settings.allowed_permissions = ("change",)  # type: ignore[attr-defined]
    settings.icon = "tune"  # type: ignore[attr-defined]
    settings.attrs = {}  # type: ignore[attr-defined]

    @confirm_action(
        description="Pause",
        icon="pause",
        permissions=["change"],
        title="Pause {object}?",
        text="Nothing is read until it is activated again. A running sync ends after its page.",
    )
    def pause(self, request: HttpRequest, objects: QuerySet[Integration]) -> None:
        for row in objects:
            lifecycle.pause(integration=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"“{row}” is paused.")

    @confirm_action(
        description="Disconnect",
        icon="link_off",
        permissions=["change"],
        danger=True,
        title="Disconnect {object}?",
        text="Syncs and health checks stop. Settings, credentials and records stay.",
    )
    def disconnect(self, request: HttpRequest, objects: QuerySet[Integration]) -> None:
        for row in objects:
            lifecycle.disconnect(integration=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"“{row}” is disconnected.")

    @confirm_action(
        description="Remove",
        icon="delete",
        permissions=["remove"],
        danger=True,
        title="Remove {object}?",
        text="Its credentials are wiped, and it leaves the list. Records, syncs and history stay. This "
        "cannot be undone.",
    )
    def remove(self, request: HttpRequest, objects: QuerySet[Integration]) -> HttpResponse:
        for row in objects:
            integrations.remove(integration=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"“{row}” was removed.")
        return HttpResponseRedirect(self.list_url())

    def has_sync_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return allows(request, "syncs:write")

    def has_remove_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return self.has_scope(request, "delete")
