"""OAuth applications: who asks, what they may be given, their secrets, and ending them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from apps.apikeys.admin.forms import LinesField, PinField
from apps.apikeys.models import (
    AccessToken,
    Application,
    Consent,
    DeviceGrant,
    Grant,
    RefreshToken,
    TokenFamily,
)
from apps.apikeys.oauth.metadata import document
from apps.apikeys.scopes import known_resources
from apps.apikeys.services import applications
from apps.kernel.admin import (
    HubModelAdmin,
    MonoTextarea,
    ago,
    allows,
    badge,
    chips,
    confirm_action,
    mono,
    muted,
)
from apps.kernel.errors import FieldError, InvalidInput


class ApplicationForm(forms.ModelForm):
    """What may be changed of an application."""

    description = forms.CharField(
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
        help_text="People read it when they are asked whether they let it in.",
    )
    flows = forms.MultipleChoiceField(
        label="How it gets tokens",
        choices=Application.Flow.choices,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        initial=[Application.Flow.AUTHORIZATION_CODE],
    )
    redirect_uris = LinesField(
        label="Redirect addresses",
        required=False,
        widget=MonoTextarea({"rows": 3, "placeholder": "https://app.example.com/oauth/callback"}),
        help_text="One a line, compared letter by letter. http only for 127.0.0.1, [::1] and localhost, "
        "where the port is free.",
    )
    scopes = LinesField(
        label="May ask for",
        required=False,
        widget=MonoTextarea({"rows": 4, "placeholder": "records:read"}),
        help_text="The most that its tokens may be given, one a line as resource:action. Actions are read, "
        f"write, delete, manage, *. Resources are {', '.join(known_resources())}.",
    )
    allowed_origins = LinesField(
        label="Origins of browsers",
        required=False,
        widget=MonoTextarea({"rows": 2}),
        help_text="Web pages that may ask for tokens and call the API by script, such as https://app.example.com.",
    )
    api_version = PinField()

    class Meta:
        model = Application
        fields = (
            "name", "homepage", "description", "flows", "redirect_uris", "scopes", "allowed_origins",
            "shared", "api_version",
        )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "api_version" in self.fields:
            pin: Any = self.fields["api_version"]
            pin.keep(self.instance.api_version)
        if self.instance.pk:
            for name in ("redirect_uris", "allowed_origins"):
                self.initial[name] = getattr(self.instance, name).split()

    def _post_clean(self) -> None:
        """The service cleans; the toolkit's own rules are other ones."""


class NewApplicationForm(ApplicationForm):
    client_type = forms.ChoiceField(
        label="Where it runs",
        choices=[
            (Application.CLIENT_CONFIDENTIAL, "On a server, which keeps a secret"),
            (Application.CLIENT_PUBLIC, "In a browser, on a phone or a desk, which cannot"),
        ],
        initial=Application.CLIENT_CONFIDENTIAL,
        widget=UnfoldAdminRadioSelectWidget,
    )

    class Meta(ApplicationForm.Meta):
        fields = (  # type: ignore[assignment]
            "name", "homepage", "description", "client_type", "flows", "redirect_uris", "scopes",
            "allowed_origins", "shared", "api_version",
        )  # fmt: skip


class RotateSecretForm(forms.Form):
    overlap = forms.ChoiceField(
        label="The old secret ends",
        choices=[("0", "At once"), ("3600", "In an hour"), ("86400", "In a day"), ("604800", "In a week")],
        initial="86400",
        widget=UnfoldAdminSelectWidget,
        help_text="Until then both count.",
    )


@admin.register(Application)
class ApplicationAdmin(HubModelAdmin):
    scope_resource = "applications"
    audit_name = "application"
    list_display = ("named", "state", "kind", "may", "people", "since")
    list_filter = ("is_active", "client_type", "shared")
    search_fields = ("name__istartswith", "client_id__istartswith")
    search_help_text = "Search by the beginning of name or client id"
    palette_fields = ("name", "client_id")
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("rotate_secret", "stop", "start")
    empty_icon = "apps"
    empty_title = "No applications yet"
    empty_text = (
        "An external application asks people for access, or acts for itself. It never sees a password."
    )
    add_label = "Register an application"
    readonly_fields = ("client", "secret", "where", "since", "created_by", "people", "addresses")
    delete_ignores = (AccessToken, RefreshToken, Grant, DeviceGrant, TokenFamily, Consent)

    # --- whose, and how addresses name them

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        now = timezone.now()
        rows = super().get_queryset(request)
        return rows.annotate(
            signed_in=Count(
                "families__user",
                filter=Q(families__ended_at=None, families__expires_at__gt=now),
                distinct=True,
            )
        )

    def by_refs(self, request: HttpRequest, refs: Iterable[str]) -> models.QuerySet[Any]:
        found = [str(ref) for ref in refs]
        keys = [int(ref) for ref in found if ref.isdecimal() and len(ref) < 19]
        return self.get_queryset(request).filter(Q(client_id__in=found) | Q(pk__in=keys))

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        kwargs["form"] = ApplicationForm if obj is not None else NewApplicationForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any | None = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def get_fieldsets(self, request: HttpRequest, obj: Any | None = None) -> Any:
        what = ("name", "homepage", "description")
        how = ("flows", "redirect_uris", "scopes", "shared", "api_version")
        if obj is None:
            return (
                (None, {"fields": (*what, "client_type", *how)}),
                ("Browsers", {"classes": ("tab",), "fields": ("allowed_origins",)}),
            )
        return (
            (None, {"fields": (("client", "secret"), *what, *how)}),
            ("Browsers", {"classes": ("tab",), "fields": ("allowed_origins",)}),
            ("Addresses for it", {"classes": ("tab",), "fields": ("addresses",)}),
            (
                "About",
                {"classes": ("tab",), "fields": (("where", "people"), ("since", "created_by"))},
            ),
        )

    # --- columns

    @admin.display(description="Application")
    def named(self, obj: Application) -> str:
        return format_html("{}<br>{}", obj.name, muted(obj.client_id))

    @admin.display(description="Status")
    def state(self, obj: Application) -> str:
        return badge("active", "good") if obj.is_active else badge("stopped", "quiet")

    @admin.display(description="Kind")
    def kind(self, obj: Application) -> str:
        words = {"authorization_code": "browser", "device_code": "device", "client_credentials": "itself"}
        flows = ", ".join(words.get(flow, flow) for flow in obj.flows)
        return format_html("{}<br>{}", "Public" if obj.is_public else "Confidential", muted(flows))

    @admin.display(description="May ask for")
    def may(self, obj: Application) -> str:
        if "*:*" in obj.scopes:
            return badge("everything", "warn")
        if not obj.scopes:
            return muted("only who somebody is")
        more = [f"+{len(obj.scopes) - 3}"] if len(obj.scopes) > 4 else []
        return chips([*(obj.scopes[:3] if more else obj.scopes), *more])

    @admin.display(description="People signed in")
    def people(self, obj: Application) -> str:
        count = getattr(obj, "signed_in", 0)
        return str(count) if count else muted("none")

    @admin.display(description="Registered")
    def since(self, obj: Application) -> str:
        return ago(obj.created)

    @admin.display(description="Client id")
    def client(self, obj: Application) -> str:
        return mono(obj.client_id, copy=True)

    @admin.display(description="Client secret")
    def secret(self, obj: Application) -> str:
        if obj.is_public:
            return muted("none: it proves itself by PKCE")
        shown = mono(f"ocs_…{obj.secret_hint}")
        until = obj.previous_secret_until
        if until is not None and until > timezone.now():
            return format_html("{} {}", shown, muted(f"the one before counts until {until:%d %b %H:%M} UTC"))
        return shown

    @admin.display(description="Where it runs")
    def where(self, obj: Application) -> str:
        return "In a browser, on a phone or a desk" if obj.is_public else "On a server"

    @admin.display(description="What its developer needs")
    def addresses(self, obj: Application) -> str:
        told = document()
        rows = [
            ("Discovery", f"{told['issuer']}/.well-known/oauth-authorization-server"),
            ("Authorize", told["authorization_endpoint"]),
            ("Token", told["token_endpoint"]),
            ("Device", told["device_authorization_endpoint"]),
            ("Revoke", told["revocation_endpoint"]),
        ]
        return format_html(
            '<dl class="hub-facts">{}</dl>',
            format_html_join(
                "", "<dt>{}</dt><dd>{}</dd>", ((name, mono(value, copy=True)) for name, value in rows)
            ),
        )

    # --- writing

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        values = dict(values)
        public = values.pop("client_type", "") == Application.CLIENT_PUBLIC
        try:
            issued = applications.create(
                organization=request.organization,  # type: ignore[attr-defined]
                actor=request.actor,  # type: ignore[attr-defined]
                by=request.principal,  # type: ignore[attr-defined]
                public=public,
                **values,
            )
        except InvalidInput as exc:
            raise _placed(exc) from None
        request.hub_new_secret = issued.secret  # type: ignore[attr-defined]
        return issued.application

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, Application)
        try:
            return applications.change(
                application=obj,
                actor=request.actor,  # type: ignore[attr-defined]
                by=request.principal,  # type: ignore[attr-defined]
                **values,
            )
        except InvalidInput as exc:
            raise _placed(exc) from None

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        assert isinstance(obj, Application)
        applications.delete(application=obj, actor=request.actor, by=request.principal)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self._shown_once(request, obj, request.hub_new_secret, f"{obj} was registered")  # type: ignore[attr-defined]

    def _shown_once(
        self, request: HttpRequest, application: Application, secret: str, title: str
    ) -> HttpResponse:
        """The secret, this once; nothing may keep the page."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "application": application,
            "secret": secret,
            "back": self.object_url(application),
        }
        request.current_app = self.admin_site.name
        response = TemplateResponse(request, "hub/apikeys/application.html", context)
        response["Cache-Control"] = "no-store"
        return response

    # --- deeds

    def _known(self, request: HttpRequest, object_id: Any) -> Application | None:
        known: dict[str, Any] = request.__dict__.setdefault("_hub_applications", {})
        if str(object_id) not in known:
            known[str(object_id)] = self.get_object(request, str(object_id))
        return known[str(object_id)]

    def has_secret_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        found = self._known(request, object_id) if object_id is not None else None
        return self.has_write_permission(request) and (found is None or not found.is_public)

    def has_stop_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        found = self._known(request, object_id) if object_id is not None else None
        return allows(request, "applications:write") and (found is None or found.is_active)

    def has_start_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        found = self._known(request, object_id) if object_id is not None else None
        return self.has_write_permission(request) and (found is None or not found.is_active)

    @confirm_action(
        description="New secret",
        title="Give {object} a new secret?",
        icon="autorenew",
        permissions=["secret"],
        text="The new secret is shown once. The old one counts on for a time, to put the new one in.",
        form_class=RotateSecretForm,
    )
    def rotate_secret(
        self, request: HttpRequest, objects: models.QuerySet[Application], form: RotateSecretForm
    ) -> HttpResponse:
        issued = applications.rotate_secret(
            application=objects.get(),
            actor=request.actor,  # type: ignore[attr-defined]
            by=request.principal,  # type: ignore[attr-defined]
            overlap=timedelta(seconds=int(form.cleaned_data["overlap"])),
        )
        return self._shown_once(
            request, issued.application, issued.secret, f"{issued.application} has a new secret"
        )

    @confirm_action(
        description="Stop",
        title="Stop {object}?",
        icon="block",
        danger=True,
        permissions=["stop"],
        text="Every token of it ends now, and it gets no new ones until it is started again.",
    )
    def stop(self, request: HttpRequest, objects: models.QuerySet[Application]) -> None:
        for application in objects:
            applications.change(application=application, actor=request.actor, is_active=False)  # type: ignore[attr-defined]
        messages.success(request, "Stopped: none of its tokens works any more.")

    @confirm_action(
        description="Start",
        title="Start {object} again?",
        icon="play_arrow",
        permissions=["start"],
        text="It may ask for tokens again. Those that it had stay ended.",
    )
    def start(self, request: HttpRequest, objects: models.QuerySet[Application]) -> None:
        for application in objects:
            applications.change(
                application=application,
                actor=request.actor,  # type: ignore[attr-defined]
                by=request.principal,  # type: ignore[attr-defined]
                is_active=True,
            )
        messages.success(request, "Started.")


def _placed(error: InvalidInput) -> InvalidInput:
    """The service's refusal with each mistake at its field: `/scopes/0` is in the field `scopes`."""
    return InvalidInput(
        error.detail,
        errors=[
            FieldError(f"/{item.pointer.strip('/').split('/')[0]}", item.code, item.detail)
            for item in error.errors
        ],
    )
