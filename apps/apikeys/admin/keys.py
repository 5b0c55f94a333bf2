"""API keys: who holds one, what it may do, when it was used, and ending it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from apps.apikeys.activity import Activity
from apps.apikeys.admin.forms import KeyForm, NewKeyForm, ReasonForm, RotateForm, placed
from apps.apikeys.admin.key_pages import KeyChangeList, summary_of
from apps.apikeys.models import APIKey
from apps.apikeys.services import ceilings, keys, rotation
from apps.apikeys.services.keymaking import IssuedKey
from apps.apikeys.statuses import KeyStatus
from apps.kernel.admin import (
    HubModelAdmin,
    ago,
    allows,
    badge,
    chips,
    confirm_action,
    mono,
    muted,
    sparkline,
    status_badge,
)
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.errors import InvalidInput

_SOURCES = (
    ("ip_whitelist", "ip_blacklist"),
    ("allowed_origins", "allowed_referers"),
    ("allowed_user_agents", "max_request_size"),
    ("require_https", "signature_required"),
)
_REACH = (("allowed_resources", "allowed_endpoints"), "api_version")
_ROTATION = (("rotate_every_days", "rotation_overlap"),)
_ALERTS = (
    ("notify_on_high_usage", "usage_threshold"),
    ("notify_on_suspicious_activity", "notify_on_expiration"),
    "alert_emails",
)
_TABS = (
    ("Reach", {"classes": ("tab",), "fields": _REACH}),
    ("Where from", {"classes": ("tab",), "fields": _SOURCES}),
    ("Rotation", {"classes": ("tab",), "fields": _ROTATION}),
    ("Alerts", {"classes": ("tab",), "fields": _ALERTS}),
)
_SOON = timedelta(days=7)
# Two and two: four beside one another do not fit.
_PERMISSIONS = (("can_read", "can_write"), ("can_delete", "can_admin"))
_LIMITS = (("per_minute", "per_hour"), ("per_day", "burst"))


@admin.register(APIKey)
class APIKeyAdmin(HubModelAdmin):
    scope_resource = "api-keys"
    audit_name = "api_key"
    list_display = ("named", "beginning", "state", "kind", "may", "last_day", "used", "ends")
    list_filter = ("status", "environment", "key_type", "signature_required", "created_by")
    search_fields = ("name__istartswith", "number__istartswith", "prefix__istartswith")
    search_help_text = "Search by the beginning of name, number or key"
    palette_fields = ("number", "name")
    ordering = ("-id",)
    sortable_by = ()
    can_delete = False
    actions = ("suspend", "revoke")
    actions_detail = ("collect", "rotate", "signing_secret", "suspend", "resume", "revoke")
    change_form_before_template = "hub/apikeys/summary.html"
    empty_icon = "key"
    empty_title = "No API keys yet"
    empty_text = "A program that calls the API shows a key. It is shown once, and can be ended at any moment."
    add_label = "Create an API key"
    conditional_fields = {
        "chosen": "access == 'chosen'",
    }
    readonly_fields = (
        "number",
        "beginning",
        "state",
        "key_type",
        "environment",
        "used",
        "created",
        "rotated",
        "exposed",
        "created_by",
    )

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        kwargs["form"] = KeyForm if obj is not None else NewKeyForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any | None = None) -> Any:
        if obj is None:
            first: tuple[Any, ...] = (
                "name",
                "description",
                ("key_type", "environment"),
                "access",
                "chosen",
                *_PERMISSIONS,
                "expires_at",
                "never_expires",
            )
            limits = ("Limits", {"classes": ("tab",), "fields": _LIMITS})
            return ((None, {"fields": first}), *_TABS, limits)
        facts = (
            ("number", "beginning"),
            ("key_type", "environment"),
            ("state", "used"),
            ("created", "created_by"),
            ("rotated", "exposed"),
        )
        return (
            (
                None,
                {"fields": ("name", "description", "scopes", *_PERMISSIONS, "expires_at", "never_expires")},
            ),
            *_TABS,
            ("About this key", {"classes": ("tab",), "fields": facts}),
        )

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        """A revoked key is history."""
        ended = obj is not None and obj.status == KeyStatus.REVOKED
        return not ended and super().has_change_permission(request, obj)

    # --- columns

    @admin.display(description="Key")
    def named(self, obj: APIKey) -> str:
        return format_html("{}<br>{}", obj.name, muted(obj.number))

    @admin.display(description="Begins with")
    def beginning(self, obj: APIKey) -> str:
        return mono(f"{obj.prefix}_…")

    @admin.display(description="Status")
    def state(self, obj: APIKey) -> str:
        status = KeyStatus.EXPIRED if obj.status == KeyStatus.ACTIVE and obj.is_expired else obj.status
        shown = [status_badge(status)]
        if obj.exposed_at:
            shown.append(badge("exposed", "bad"))
        if obj.is_waiting:
            shown.append(badge("to collect", "warn"))
        elif status == KeyStatus.ACTIVE and obj.expires_at and obj.expires_at - timezone.now() < _SOON:
            shown.append(badge("ends soon", "warn"))
        return format_html_join(" ", "{}", ((one,) for one in shown))

    @admin.display(description="Type")
    def kind(self, obj: APIKey) -> str:
        return format_html("{}<br>{}", obj.get_key_type_display(), muted(obj.get_environment_display()))

    @admin.display(description="May")
    def may(self, obj: APIKey) -> str:
        if "*:*" in obj.scopes:
            return badge("everything", "warn")
        if not obj.scopes:
            return muted("nothing")
        more = [f"+{len(obj.scopes) - 3}"] if len(obj.scopes) > 4 else []
        return chips([*(obj.scopes[:3] if more else obj.scopes), *more])

    @admin.display(description="Last day")
    def last_day(self, obj: Any) -> str:
        activity: Activity = obj.activity
        label = f"{activity.calls:,} calls, {activity.failed:,} failed"
        return sparkline([hour.succeeded + hour.failed for hour in activity.hours], label=label, width=90)

    @admin.display(description="Last used")
    def used(self, obj: APIKey) -> str:
        return ago(obj.last_used_at) if obj.last_used_at else muted("never")

    @admin.display(description="Ends")
    def ends(self, obj: APIKey) -> str:
        if obj.revoked_at is not None:
            return format_html("{}", ago(obj.revoked_at))
        return ago(obj.expires_at) if obj.expires_at else muted("never")

    @admin.display(description="Created")
    def created(self, obj: APIKey) -> str:
        return ago(obj.created_at)

    @admin.display(description="Rotated")
    def rotated(self, obj: APIKey) -> str:
        return ago(obj.last_rotated_at) if obj.last_rotated_at else muted("never")

    @admin.display(description="Seen in an address")
    def exposed(self, obj: APIKey) -> str:
        return ago(obj.exposed_at) if obj.exposed_at else muted("never")

    # --- the page

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HubChangeList]:
        return KeyChangeList

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        key = self.get_object(request, object_id)
        summary = None if key is None else summary_of(self, key)
        return super().change_view(
            request, object_id, form_url, {"summary": summary, **(extra_context or {})}
        )

    # --- writing

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(form, NewKeyForm)
        try:
            issued = keys.create(
                organization=request.organization,  # type: ignore[attr-defined]
                actor=request.actor,  # type: ignore[attr-defined]
                ceiling=self._ceiling(request),
                **form.attributes(values),
            )
        except InvalidInput as exc:
            raise placed(exc) from None
        request.hub_issued = issued  # type: ignore[attr-defined]
        return issued.key

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, APIKey)
        assert isinstance(form, KeyForm)
        try:
            return keys.change(
                key=obj,
                actor=request.actor,  # type: ignore[attr-defined]
                ceiling=self._ceiling(request),
                **form.attributes(values),
            )
        except InvalidInput as exc:
            raise placed(exc) from None

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._shown_once(request, request.hub_issued, f"{obj} was created")  # type: ignore[attr-defined]

    def _shown_once(self, request: HttpRequest, issued: IssuedKey, title: str) -> HttpResponse:
        """The key, this once; nothing may keep the page."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "key": issued.key,
            "secret": issued.secret,
            "signing_secret": issued.signing_secret,
            "base_url": request.build_absolute_uri("/api/v1/"),
            "back": self.object_url(issued.key),
        }
        request.current_app = self.admin_site.name
        response = TemplateResponse(request, "hub/apikeys/key.html", context)
        response["Cache-Control"] = "no-store"
        return response

    def _ceiling(self, request: HttpRequest) -> ceilings.Ceiling:
        return ceilings.of(request.principal)  # type: ignore[attr-defined]

    # --- deeds

    def _status(self, request: HttpRequest, object_id: Any) -> str:
        known: dict[str, str] = request.__dict__.setdefault("_apikey_status", {})
        if str(object_id) not in known:
            key = self.get_object(request, str(object_id))
            known[str(object_id)] = "" if key is None else key.status
        return known[str(object_id)]

    def has_use_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """For what only an active key can undergo."""
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) == KeyStatus.ACTIVE
        )

    def has_collect_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.has_write_permission(request):
            return False
        key = None if object_id is None else self.get_object(request, str(object_id))
        return object_id is None or (key is not None and key.is_waiting)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) == KeyStatus.SUSPENDED
        )

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return allows(request, "api-keys:delete") and (
            object_id is None or self._status(request, object_id) != KeyStatus.REVOKED
        )

    @confirm_action(
        description="Rotate",
        title="Rotate {object}?",
        icon="autorenew",
        permissions=["use"],
        text="A new key with the same rights is made and shown once. The old one works on for a time.",
        form_class=RotateForm,
    )
    def rotate(
        self, request: HttpRequest, objects: models.QuerySet[APIKey], form: RotateForm
    ) -> HttpResponse:
        issued = keys.rotate(
            key=objects.get(),
            actor=request.actor,  # type: ignore[attr-defined]
            overlap=form.overlap_of(),
            ceiling=self._ceiling(request),
        )
        return self._shown_once(request, issued, f"{issued.key} takes the old key's place")

    @confirm_action(
        description="Collect",
        title="Collect {object}?",
        icon="key",
        permissions=["collect"],
        text="The key is shown once, to you. After that nobody can see it.",
    )
    def collect(self, request: HttpRequest, objects: models.QuerySet[APIKey]) -> HttpResponse:
        issued = rotation.collect(
            key=objects.get(),
            actor=request.actor,  # type: ignore[attr-defined]
            ceiling=self._ceiling(request),
        )
        return self._shown_once(request, issued, f"{issued.key}, made by its rotation policy")

    @confirm_action(
        description="Signing secret",
        title="Make a signing secret for {object}?",
        icon="draw",
        permissions=["use"],
        text="It is shown once. From then on every call with the key must be signed with it; a former one "
        "stops working at once.",
    )
    def signing_secret(self, request: HttpRequest, objects: models.QuerySet[APIKey]) -> HttpResponse:
        issued = rotation.renew_signing_secret(
            key=objects.get(),
            actor=request.actor,  # type: ignore[attr-defined]
            ceiling=self._ceiling(request),
        )
        return self._shown_once(request, issued, f"A signing secret for {issued.key}")

    @confirm_action(
        description="Suspend",
        title="Suspend {object}?",
        icon="pause",
        permissions=["use"],
        text="Programs that use the key are refused until it is resumed.",
        form_class=ReasonForm,
    )
    def suspend(self, request: HttpRequest, objects: models.QuerySet[APIKey], form: ReasonForm) -> None:
        for key in objects.filter(status=KeyStatus.ACTIVE):
            keys.suspend(key=key, actor=request.actor, reason=form.cleaned_data["reason"])  # type: ignore[attr-defined]
        messages.success(request, "Suspended: calls with it are refused.")

    @confirm_action(
        description="Resume",
        title="Resume {object}?",
        icon="play_arrow",
        permissions=["resume"],
        text="Programs that use the key are let in again.",
    )
    def resume(self, request: HttpRequest, objects: models.QuerySet[APIKey]) -> None:
        for key in objects.filter(status=KeyStatus.SUSPENDED):
            keys.resume(key=key, actor=request.actor, ceiling=self._ceiling(request))  # type: ignore[attr-defined]
        messages.success(request, "Resumed.")

    @confirm_action(
        description="Revoke",
        title="Revoke {object}?",
        icon="block",
        danger=True,
        permissions=["revoke"],
        text="Programs that use the key are refused from this moment on. This cannot be undone.",
        form_class=ReasonForm,
    )
    def revoke(self, request: HttpRequest, objects: models.QuerySet[APIKey], form: ReasonForm) -> None:
        for key in objects.exclude(status=KeyStatus.REVOKED):
            keys.revoke(key=key, actor=request.actor, reason=form.cleaned_data["reason"])  # type: ignore[attr-defined]
        messages.success(request, "Revoked for ever.")
