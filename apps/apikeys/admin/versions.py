"""Versions of the API: their dates and switches, who still calls them, and a rehearsal of leaving them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import OuterRef, Subquery, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.apikeys import selectors
from apps.apikeys.models import APIKey, ApiVersion
from apps.apikeys.services import api_versions, rehearsal
from apps.kernel.admin import HubModelAdmin, ago, allows, badge, muted, number, status_badge
from apps.kernel.api.changes import changes
from apps.kernel.api.versions import versions
from apps.kernel.errors import HubError

DAYS = 30
_DECIDED = ("deprecated_at", "sunset_at", "successor", "default_revision", "note")


class VersionForm(forms.ModelForm):
    """The dates, and a box for each feature."""

    successor = forms.ChoiceField(required=False)
    default_revision = forms.TypedChoiceField(
        required=False, coerce=lambda text: text, help_text="What callers get who hold no date."
    )
    switched_on = forms.MultipleChoiceField(
        label="Features", required=False, widget=forms.CheckboxSelectMultiple
    )

    class Meta:
        model = ApiVersion
        fields = _DECIDED

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        row: ApiVersion = self.instance
        spec = row.spec
        others = [one.name for one in versions.all() if one.name != row.version]
        fields: dict[str, Any] = self.fields
        fields["successor"].choices = [("", "the next version"), *((name, name) for name in others)]
        days = [day.isoformat() for day in (spec.dates if spec else ())]
        fields["default_revision"].choices = [("", "the newest"), *((day, day) for day in days)]
        box = fields["switched_on"]
        box.choices = [
            (one.name, f"{one.name}: {one.description}") for one in (spec.features if spec else ())
        ]
        self.initial["switched_on"] = [name for name, on in row.features.items() if on]
        if row.default_revision is not None:
            self.initial["default_revision"] = row.default_revision.isoformat()

    def clean_default_revision(self) -> Any:
        text = self.cleaned_data["default_revision"]
        spec = self.instance.spec
        return next((day for day in (spec.dates if spec else ()) if day.isoformat() == text), None)

    def flags(self) -> dict[str, bool]:
        """The features that are not as they are declared."""
        chosen = set(self.cleaned_data["switched_on"])
        spec = self.instance.spec
        declared = spec.features if spec else ()
        return {one.name: one.name in chosen for one in declared if (one.name in chosen) != one.default}


@admin.register(ApiVersion)
class ApiVersionAdmin(HubModelAdmin):
    """Everybody who sees API keys sees the versions and their own callers; the operator decides."""

    form = VersionForm
    scope_resource = "api-keys"
    organization_path = None
    audit_name = "api_version"
    change_form_after_template = "hub/apikeys/version.html"
    can_add = False
    can_delete = False
    list_display = ("named", "state", "revision", "ends", "calls", "changed")
    sortable_by = ()
    ordering = ("version",)
    list_title = "API versions"
    empty_icon = "layers"
    empty_title = "No versions yet"
    empty_text = "They appear when the hub's database is prepared."

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[ApiVersion]:
        """With the number of its calls: of the organization, for the operator of all."""
        calls = selectors.calls_of(organization=_scope(request), days=DAYS)
        made = calls.filter(version=OuterRef("version")).values("version").annotate(made=Sum("count"))
        return ApiVersion.objects.annotate(calls_made=Subquery(made.values("made")))

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False) and request.user.is_active)

    def get_fieldsets(self, request: HttpRequest, obj: Any | None = None) -> Any:
        decided: tuple[Any, ...] = (
            ("deprecated_at", "sunset_at"),
            ("successor", "default_revision"),
            "switched_on" if self.has_change_permission(request, obj) else "features_shown",
            "note",
        )
        return ((None, {"fields": ("state", *decided)}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        return ("state", "features_shown")

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, ApiVersion)
        assert isinstance(form, VersionForm)
        decided = {name: value for name, value in values.items() if name in _DECIDED}
        return api_versions.change(
            version=obj,
            actor=request.actor,  # type: ignore[attr-defined]
            **decided,
            flags=form.flags(),
        )

    # --- columns

    @admin.display(description="Version")
    def named(self, obj: ApiVersion) -> str:
        hints = []
        if obj.version == versions.newest.name:
            hints.append("newest")
        if obj.version == versions.oldest.name:
            hints.append("answers addresses without a version")
        return format_html("{}<br>{}", obj.version, muted(", ".join(hints)))

    @admin.display(description="Status")
    def state(self, obj: ApiVersion) -> str:
        return status_badge(obj.status_at())

    @admin.display(description="Default revision")
    def revision(self, obj: ApiVersion) -> str:
        return obj.default_revision.isoformat() if obj.default_revision else muted("the newest")

    @admin.display(description="Ends")
    def ends(self, obj: ApiVersion) -> str:
        return ago(obj.sunset_at) if obj.sunset_at else muted("no date")

    @admin.display(description=f"Calls, {DAYS} days")
    def calls(self, obj: ApiVersion) -> str:
        return number(obj.calls_made or 0)  # type: ignore[attr-defined]

    @admin.display(description="Changes")
    def changed(self, obj: ApiVersion) -> str:
        return number(len(changes.in_version(obj.version)))

    # --- one version

    @admin.display(description="Features")
    def features_shown(self, obj: ApiVersion) -> SafeString:
        rows = [badge(name, "good" if on else "quiet") for name, on in obj.features.items()]
        return SafeString(" ".join(rows)) if rows else muted("none")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        obj = self.find(request, object_id)
        more: dict[str, Any] = {}
        if obj is not None:
            scope = _scope(request)
            more = {
                "version": obj,
                "uses": selectors.callers_of(obj.version, organization=scope, days=DAYS),
                "days": DAYS,
                "everywhere": scope is None,
                "rehearse_url": self.object_url(obj, "rehearse") if allows(request, "api-keys:write") else "",
                "told": list(reversed(changes.in_version(obj.version))),
            }
        return super().change_view(request, object_id, form_url, {**more, **(extra_context or {})})

    # --- rehearsal

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.rehearse_view)
        return [
            path("<path:object_id>/rehearse/", view, name="apikeys_apiversion_rehearse"),
            *super().get_urls(),
        ]

    def rehearse_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What was read lately in this version, read again in another one, side by side."""
        # The answers show the organization's data: who looks must be allowed to read all of it.
        if not allows(request, "api-keys:write"):
            raise PermissionDenied
        obj: ApiVersion = self.object_or_404(request, object_id)
        organization = request.organization  # type: ignore[attr-defined]
        keys = APIKey.objects.filter(organization=organization).order_by("-id")[:200]
        asked = {"to": request.GET.get("to", ""), "key": request.GET.get("key", "")}
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Rehearse leaving {obj.version}",
            "version": obj,
            "back": self.object_url(obj),
            "targets": [one.name for one in versions.revisions() if one != versions.default_of(obj.version)],
            "keys": keys,
            "asked": asked,
            "done": None,
        }
        if asked["to"]:
            key = next((one for one in keys if one.number == asked["key"]), None)
            try:
                start = rehearsal.revision_named(obj.version)
                context["done"] = rehearsal.rehearse(
                    organization=organization,
                    start=start,
                    end=rehearsal.revision_named(asked["to"]),
                    paths=rehearsal.sampled_paths(
                        organization, start.version, subject=("key", key.group.hex) if key else None, most=25
                    ),
                )
            except HubError as error:
                context["refusal"] = error.detail
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "hub/apikeys/rehearsal.html", context)


def _scope(request: HttpRequest) -> Any:
    """The organization whose calls are shown; the operator sees those of all."""
    if getattr(request.user, "is_superuser", False):
        return None
    return request.organization  # type: ignore[attr-defined]
