"""The event types that an organization declares itself."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from apps.events.models import OwnEventType
from apps.events.services import own_types
from apps.kernel.admin import HubModelAdmin, JSONFormField, ago, json_block, mono, muted, yes_no


class OwnEventTypeForm(forms.ModelForm):
    """The declaration, with JSON that says where it is wrong."""

    schema = JSONFormField(
        label="JSON Schema",
        required=False,
        help_text="JSON Schema (2020-12) of the data; another one is a new version. Empty: any object.",
    )
    sample = JSONFormField(required=False, help_text="Fits the schema; used for tests and previews.")

    class Meta:
        model = OwnEventType
        fields = ("name", "description", "group", "schema", "sample", "is_active")


@admin.register(OwnEventType)
class OwnEventTypeAdmin(HubModelAdmin):
    scope_resource = "events"
    audit_name = "event_type"
    form = OwnEventTypeForm
    list_display = ("named", "group", "version", "active", "changed")
    list_filter = ("is_active",)
    search_fields = ("name__istartswith",)
    search_help_text = "Search by the beginning of the name"
    ordering = ("name",)
    fields = ("name", "description", "group", "schema", "sample", "is_active", "earlier")
    readonly_fields = ("earlier",)
    add_label = "Declare an event type"
    empty_icon = "category"
    empty_title = "No event types of your own"
    empty_text = "Declare what you publish, and the hub checks every event against its JSON Schema."

    @admin.display(description="Type")
    def named(self, obj: OwnEventType) -> str:
        return format_html("{}<br>{}", mono(obj.name), muted(obj.description))

    @admin.display(description="Active")
    def active(self, obj: OwnEventType) -> str:
        return yes_no(obj.is_active)

    @admin.display(description="Changed")
    def changed(self, obj: OwnEventType) -> str:
        return ago(obj.updated_at)

    @admin.display(description="Versions of the schema")
    def earlier(self, obj: OwnEventType) -> str:
        if obj._state.adding:
            return muted("The first one is kept when it is saved.")
        blocks = [
            json_block(one.schema, title=f"version {one.version}, {one.created_at:%Y-%m-%d %H:%M}")
            for one in obj.versions.all()[:20]
        ]
        return format_html_join("", "{}", ((block,) for block in blocks))

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        return ("earlier",) if obj is None else ("name", "earlier")

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        return own_types.create(
            organization=request.organization,  # type: ignore[attr-defined]
            actor=request.actor,  # type: ignore[attr-defined]
            **{**values, "schema": values.get("schema") or {}, "sample": values.get("sample") or {}},
        )

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, OwnEventType)
        for name in ("schema", "sample"):
            if name in values:
                values[name] = values[name] or {}
        return own_types.update(event_type=obj, actor=request.actor, **values)  # type: ignore[attr-defined]

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        assert isinstance(obj, OwnEventType)
        own_types.remove(event_type=obj, actor=request.actor)  # type: ignore[attr-defined]
