"""The audit log: who did what, when, from where; to read only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.html import format_html

from apps.audit.admin.journal import spoken
from apps.audit.models import AuditEntry
from apps.audit.services import entries, export, verification
from apps.kernel.admin import (
    HubModelAdmin,
    actor_of,
    ago,
    badge,
    empty,
    mono,
    muted,
    organization_of,
    words_filter,
)
from apps.kernel.admin.display import exact
from apps.kernel.admin.distinct import distinct_values
from apps.kernel.admin.filters import WordsFilter

KINDS = {
    "user": "People",
    "api_key": "API keys",
    "application": "Applications",
    "job": "Jobs",
    "integration": "Integrations",
    "command": "Commands",
    "system": "The hub itself",
}


def _actions(request: HttpRequest) -> list[tuple[str, str]]:
    where = {"organization": request.organization}  # type: ignore[attr-defined]
    return [(value, spoken(value)) for value in distinct_values(AuditEntry, "action", where=where)]


def _types(request: HttpRequest) -> list[tuple[str, str]]:
    where = {"organization": request.organization}  # type: ignore[attr-defined]
    found = distinct_values(AuditEntry, "object_type", where=where)
    return [(value, value.replace("_", " ").capitalize()) for value in found if value]


class ActorFilter(WordsFilter):
    """A person, or all of one other kind."""

    title = "who"
    parameter_name = "who"

    def choices_for(self, request: HttpRequest) -> Sequence[tuple[str, str]]:
        organization = request.organization  # type: ignore[attr-defined]
        kinds = distinct_values(AuditEntry, "actor_kind", where={"organization": organization})
        people = distinct_values(
            AuditEntry, "actor_ref", where={"organization": organization, "actor_kind": "user"}
        )
        others = [(f"{kind}:", KINDS.get(kind, kind)) for kind in kinds if kind != "user"]
        return [*((f"user:{ref}", ref) for ref in people), *others]

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        kind, _, ref = (self.value() or "").partition(":")
        if not kind:
            return queryset
        rows = queryset.filter(actor_kind=kind)
        return rows.filter(actor_ref=ref) if ref else rows


@admin.register(AuditEntry)
class AuditEntryAdmin(HubModelAdmin):
    """Nothing here can be changed or deleted, by anybody."""

    list_export = False  # it has one of its own, with all fields and the chain's hashes
    scope_resource = "audit"
    read_only = True
    list_display = ("when", "who", "what", "target", "fields_changed", "from_where")
    list_display_links = ("when",)
    list_filter = (
        ActorFilter,
        words_filter("action", _actions, title="what was done"),
        words_filter("object_type", _types, title="kind of object"),
        "at",
    )
    allowed_lookups = ("object_ref",)
    search_fields = ("object_ref__exact", "request_id__exact")
    search_help_text = "The exact id or number of an object, such as INT-2026-00001, or of a request"
    ordering = ("-id",)
    sortable_by = ()
    fields = ("when_exactly", "who", "what", "target", "from_where", "request_id", "diff", "seal")
    readonly_fields = fields
    list_title = "Audit log"
    list_before_template = "hub/audit/verdict.html"
    empty_icon = "policy"
    empty_title = "Nothing has been done yet"
    empty_text = "Whatever an administrator, a program or the hub itself changes is listed here, for good."

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("verify/", wrap(self.verify_view), name="audit_verify"),
            path("export/<str:format>/", wrap(self.export_view), name="audit_export"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            "chain": verification.status_of(organization_of(request)),
            "may_verify": self.has_view_permission(request),
            "query": request.GET.urlencode(),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def verify_view(self, request: HttpRequest) -> HttpResponse:
        """Verify the organization's chain now, by POST."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            result = verification.verify_now(organization_of(request))
            if result.intact:
                messages.success(
                    request, f"{result.checked:,} entries were verified: all is as it was written."
                )
            else:
                messages.error(request, f"{result.problems[0].detail} {result.found:,} problems in all.")
        return HttpResponseRedirect(self.list_url())

    def export_view(self, request: HttpRequest, format: str) -> HttpResponseBase:
        """What the list shows, with its filters, as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if format not in export.FORMATS:
            raise Http404("There is no such format.")
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self.list_url())
        actor: Any = actor_of(request)
        organization = organization_of(request)
        entries.exported(organization=organization, actor=actor, format=format)
        return export.response(rows, format)

    @admin.display(description="When")
    def when(self, obj: AuditEntry) -> str:
        return ago(obj.at)

    @admin.display(description="When")
    def when_exactly(self, obj: AuditEntry) -> str:
        return format_html("{} ({})", exact(obj.at), ago(obj.at))

    @admin.display(description="Who")
    def who(self, obj: AuditEntry) -> str:
        name = obj.actor_label or obj.actor_ref or obj.actor_kind
        if obj.actor_kind == "user":
            return format_html("{}<br>{}", name, muted(obj.actor_ref)) if name != obj.actor_ref else name
        return format_html("{} {}", badge(obj.actor_kind.replace("_", " "), dot=False), name)

    @admin.display(description="What")
    def what(self, obj: AuditEntry) -> str:
        verb = obj.action.rpartition(".")[2]
        tone = {"created": "good", "deleted": "bad", "removed": "bad", "revoked": "bad"}.get(verb, "busy")
        return badge(spoken(obj.action), tone, dot=False)

    @admin.display(description="Object")
    def target(self, obj: AuditEntry) -> str:
        if not obj.object_label and not obj.object_ref:
            return empty()
        return format_html('<span class="hub-clip">{}</span><br>{}', obj.object_label, muted(obj.object_ref))

    @admin.display(description="Fields")
    def fields_changed(self, obj: AuditEntry) -> str:
        names = list(obj.changes)
        if not names:
            return empty()
        shown = ", ".join(name.replace("_", " ") for name in names[:4])
        return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")

    @admin.display(description="From")
    def from_where(self, obj: AuditEntry) -> str:
        return mono(obj.ip)

    @admin.display(description="Changes")
    def diff(self, obj: AuditEntry) -> str:
        if not obj.changes:
            return empty()
        from apps.kernel.templatetags.hub_admin import changes_table

        return render_to_string("hub/admin/changes_table.html", changes_table(obj.changes))

    @admin.display(description="Seal")
    def seal(self, obj: AuditEntry) -> str:
        return format_html(
            "{} {}<br>{}",
            muted(
                f"Entry {obj.sequence:,} of the chain; HMAC-SHA256"
                if obj.key_id
                else f"Entry {obj.sequence:,} of the chain; SHA-256"
            ),
            mono(obj.hash),
            muted("It covers the entry before it, so that a change of either shows."),
        )
