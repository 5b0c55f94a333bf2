"""The organization's own settings; for the operator also the list of all and founding new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path
from unfold.widgets import UnfoldAdminSelect2Widget

from apps.kernel.admin import HubModelAdmin, ago, yes_no
from apps.kernel.admin.site import site_urls
from apps.kernel.api.versions import versions
from apps.tenants.models import Organization
from apps.tenants.selectors import organizations_of
from apps.tenants.services import access, organizations


class OrganizationForm(forms.ModelForm):
    """Time zones are chosen from a list; a currency is three capitals."""

    LIMITS = ("import_deletion_limit", "import_deletion_percent")

    timezone = forms.ChoiceField(
        label="Time zone",
        choices=[(zone, zone.replace("_", " ")) for zone in sorted(available_timezones())],
        initial="UTC",
        widget=UnfoldAdminSelect2Widget,
        help_text="Times without a zone in imported data are read in it; schedules run by it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Left empty, a limit stays as it is: none at all would let a replacement delete everything.
        for name in self.LIMITS:
            if name in self.fields:
                self.fields[name].required = False

    def clean(self) -> dict[str, Any] | None:
        values = super().clean()
        for name in self.LIMITS:
            if values is not None and name in values and values[name] is None:
                values[name] = getattr(self.instance, name)
        return values

    def clean_api_version(self) -> str:
        pin = str(self.cleaned_data["api_version"]).strip()
        mistake = versions.check_pin(pin) if pin else ""
        if mistake:
            raise forms.ValidationError(mistake)
        return pin

    def clean_currency(self) -> str:
        code = str(self.cleaned_data["currency"]).strip().upper()
        if len(code) != 3 or not code.isascii() or not code.isalpha():
            raise forms.ValidationError("Use the three letters of ISO 4217, such as EUR or USD.")
        return code


@admin.register(Organization)
class OrganizationAdmin(HubModelAdmin):
    """Members with the right see and change their own; the operator founds and closes organizations."""

    form = OrganizationForm
    scope_resource = "organization"
    organization_path = None
    audit_name = "organization"
    list_display = ("name", "public_ref", "timezone", "currency", "active", "created")
    search_fields = ("name__istartswith", "slug__istartswith")
    search_help_text = "Search by the beginning of the name"
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Organization]:
        rows: models.QuerySet[Organization] = self.model._default_manager.all()
        if getattr(request.user, "is_superuser", False):
            return rows
        return rows.filter(pk__in=organizations_of(request.user).values("pk"))  # type: ignore[arg-type]

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return bool(getattr(request.user, "is_superuser", False))

    def _is_elsewhere(self, request: HttpRequest, obj: Any) -> bool:
        """Rights follow from the role in the current organization, so only that one is open."""
        if not isinstance(obj, Organization) or getattr(request.user, "is_superuser", False):
            return False
        current = getattr(request, "organization", None)
        return current is None or obj.pk != current.pk

    def has_view_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return super().has_view_permission(request, obj) and not self._is_elsewhere(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
        return super().has_change_permission(request, obj) and not self._is_elsewhere(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any | None = None) -> Sequence[str]:
        if obj is None:
            return ("name", "timezone")
        return (
            "name",
            "public_ref",
            "timezone",
            "currency",
            "allow_http",
            "import_deletion_limit",
            "import_deletion_percent",
            "api_version",
            "is_active",
            "created",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> Sequence[str]:
        fixed = ("public_ref", "created") if obj is not None else ()
        return fixed if getattr(request.user, "is_superuser", False) else (*fixed, "is_active")

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        owner: Any = request.user
        made = organizations.create(name=values["name"], owner=owner, timezone=values["timezone"])
        self.audit(request, "founded", made, {"name": ["", made.name], "owner": ["", owner.email]})
        return made

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        changed = super().service_update(request, obj, values, form)
        assert isinstance(changed, Organization)
        access.organization_changed(changed.pk)
        return changed

    @admin.display(description="Id")
    def public_ref(self, obj: Organization) -> str:
        return obj.slug

    @admin.display(description="Active", ordering="is_active")
    def active(self, obj: Organization) -> str:
        return yes_no(obj.is_active)

    @admin.display(description="Founded", ordering="created_at")
    def created(self, obj: Organization) -> str:
        return ago(obj.created_at)


def settings_page(request: HttpRequest) -> HttpResponse:
    """The current organization's settings."""
    registered = admin.site._registry[Organization]
    assert isinstance(registered, OrganizationAdmin)
    return HttpResponseRedirect(registered.object_url(request.organization))  # type: ignore[attr-defined]


def _urls() -> list[URLPattern | URLResolver]:
    return [path("organization/", admin.site.admin_view(settings_page), name="tenants_organization_settings")]


if _urls not in site_urls:
    site_urls.append(_urls)
