"""Endpoints: how each one does, its settings, and what can be done to it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import format_html

from apps.kernel.admin import HubModelAdmin, milliseconds, muted, sparkline, status_badge
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.errors import FieldError, InvalidInput
from apps.webhooks import selectors
from apps.webhooks.admin.endpoint_deeds import EndpointDeeds
from apps.webhooks.admin.endpoint_summary import EndpointChangeList, health_badge, summary_of
from apps.webhooks.admin.forms import EndpointForm, LinesField, NewEndpointForm, placed
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.services import endpoints
from apps.webhooks.validation import token_url_problems, url_problems


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(EndpointDeeds, HubModelAdmin):
    scope_resource = "webhooks"
    audit_name = "webhook"
    list_display = ("named", "state", "health", "ratio", "latency", "waiting", "last_day", "address")
    list_filter = ("status", "health_status", "project")
    search_fields = ("number__istartswith", "name__istartswith")
    search_help_text = "Search by number or the beginning of the name"
    palette_fields = ("number", "name")
    ordering = ("-id",)
    sortable_by = ()
    list_select_related = ("project",)
    actions = ("pause", "resume")
    actions_detail = (
        "send_test",
        "pause",
        "resume",
        {
            "title": "More",
            "icon": "more_vert",
            "items": ["preview", "replay_since", "rotate_secret", "switch_off"],
        },
    )
    change_form_before_template = "hub/webhooks/endpoint_summary.html"
    empty_icon = "webhook"
    empty_title = "No endpoints yet"
    empty_text = "An endpoint is an address of yours that is told, within moments, what happens in the hub."
    fieldsets = (
        (None, {"fields": ("name", "url", "method", "events", "event_filters", "description", "project")}),
        (
            "Authentication and headers",
            {
                "classes": ("tab",),
                "fields": (
                    "auth_type",
                    "auth_username",
                    "auth_header",
                    "auth_token_url",
                    "auth_client_id",
                    "auth_scope",
                    "auth_secret",
                    "auth_headers",
                    "custom_headers",
                ),
            },
        ),
        (
            "Delivery",
            {
                "classes": ("tab",),
                "fields": (
                    ("timeout", "max_concurrency"),
                    ("retry_attempts", "retry_intervals"),
                    "retry_on_status",
                    "ordering",
                    ("batch_delivery", "batch_size", "batch_window"),
                    ("rate_limit_per_second", "rate_limit_per_minute"),
                    "max_consecutive_failures",
                ),
            },
        ),
        (
            "Payload",
            {
                "classes": ("tab",),
                "fields": (
                    "payload_format",
                    "custom_content_type",
                    "custom_template",
                    "include_full_payload",
                    "include_metadata",
                    "include_timestamp",
                ),
            },
        ),
        (
            "Security",
            {
                "classes": ("tab",),
                "fields": ("sign_payload", "signature_header", "validate_ssl", "ip_allow_list"),
            },
        ),
    )
    conditional_fields = {
        "auth_username": "auth_type == 'basic'",
        "auth_header": "auth_type == 'api_key'",
        "auth_token_url": "auth_type == 'oauth2'",
        "auth_client_id": "auth_type == 'oauth2'",
        "auth_scope": "auth_type == 'oauth2'",
        "auth_secret": "['bearer', 'basic', 'api_key', 'oauth2'].includes(auth_type)",
        "auth_headers": "auth_type == 'custom'",
        "custom_content_type": "payload_format == 'custom'",
        "custom_template": "payload_format == 'custom'",
    }

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HubChangeList]:
        return EndpointChangeList

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[WebhookEndpoint]:
        return super().get_queryset(request).filter(removed_at=None).select_related("organization")

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        kwargs["form"] = EndpointForm if obj is not None else NewEndpointForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any | None = None) -> Any:
        if obj is not None:
            return self.fieldsets
        first, *rest = self.fieldsets
        return ((first[0], {"fields": (*first[1]["fields"], "start")}), *rest)

    # --- columns

    @admin.display(description="Endpoint")
    def named(self, obj: WebhookEndpoint) -> str:
        return format_html("{}<br>{}", obj.name, muted(obj.number))

    @admin.display(description="Address")
    def address(self, obj: WebhookEndpoint) -> str:
        shown = obj.url_shown if len(obj.url_shown) <= 60 else obj.url_shown[:59] + "…"
        return format_html('<code class="hub-mono" title="{}">{}</code>', obj.url_shown, shown)

    @admin.display(description="Status")
    def state(self, obj: WebhookEndpoint) -> str:
        return status_badge(obj.status)

    @admin.display(description="Health")
    def health(self, obj: WebhookEndpoint) -> str:
        return health_badge(obj)

    @admin.display(description="Success, 24 h")
    def ratio(self, obj: Any) -> str:
        rate = obj.activity.success_rate
        return muted("–") if rate is None else f"{rate:.0f} %"

    @admin.display(description="Latency")
    def latency(self, obj: Any) -> str:
        return milliseconds(obj.activity.average_ms)

    @admin.display(description="Waiting")
    def waiting(self, obj: Any) -> str:
        return f"{obj.activity.waiting:,}" if obj.activity.waiting else muted("–")

    @admin.display(description="Last day")
    def last_day(self, obj: Any) -> str:
        activity = obj.activity
        label = f"{activity.succeeded:,} succeeded, {activity.failed:,} failed"
        return sparkline([hour.succeeded + hour.failed for hour in activity.hours], label=label)

    # --- the page

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        endpoint = self.get_object(request, object_id)
        summary = None if endpoint is None else summary_of(endpoint)
        return super().change_view(
            request, object_id, form_url, {"summary": summary, **(extra_context or {})}
        )

    # --- writing

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Look the URL's name up before Django opens its transaction."""
        if request.method == "POST" and self.has_write_permission(request):
            request.hub_url_problems = self._look_up(request, object_id)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _look_up(self, request: HttpRequest, object_id: str | None) -> list[FieldError]:
        known = self.get_object(request, object_id) if object_id else None
        posted = request.POST
        url = posted.get("url", "").strip()
        draft = WebhookEndpoint(
            organization=request.organization,  # type: ignore[attr-defined]
            url=known.url if known is not None and url == known.url_shown else url,
            ip_allow_list=LinesField(required=False).to_python(posted.get("ip_allow_list", "")),
            auth_type=posted.get("auth_type", ""),
            auth_config={"token_url": posted.get("auth_token_url", "").strip()},
        )
        if known is not None and (known.url, known.ip_allow_list) == (draft.url, draft.ip_allow_list):
            return token_url_problems(draft)
        return url_problems(draft) if draft.url else []

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(form, EndpointForm)
        self._refuse_url(request)
        try:
            endpoint = endpoints.create(
                organization=request.organization,  # type: ignore[attr-defined]
                actor=request.actor,  # type: ignore[attr-defined]
                status=values["start"],
                looked_up=True,
                **form.settings_for(WebhookEndpoint()),
            )
        except InvalidInput as error:
            raise placed(error) from None
        request.hub_new_secret = endpoint.secret  # type: ignore[attr-defined]
        return endpoint

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, WebhookEndpoint)
        assert isinstance(form, EndpointForm)
        self._refuse_url(request)
        try:
            return endpoints.update(
                endpoint=obj,
                actor=request.actor,  # type: ignore[attr-defined]
                looked_up=True,
                **form.settings_for(obj),
            )
        except InvalidInput as error:
            raise placed(error) from None

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        assert isinstance(obj, WebhookEndpoint)
        endpoints.remove(endpoint=obj, actor=request.actor)  # type: ignore[attr-defined]

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """Removing keeps the history; what is lost is what waits."""
        keys = [obj.pk for obj in objs]
        waiting = sum(found.waiting for found in selectors.activity_of(keys).values())
        taken = [f"{waiting:,} waiting deliveries, which are cancelled"] if waiting else []
        forbidden = set() if self.has_delete_permission(request) else {str(self.opts.verbose_name)}
        return taken, {str(self.opts.verbose_name_plural): len(keys)}, forbidden, []

    @staticmethod
    def _refuse_url(request: HttpRequest) -> None:
        found: list[FieldError] = getattr(request, "hub_url_problems", [])
        if found:
            raise InvalidInput("The address cannot be used.", errors=found)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        secret = getattr(request, "hub_new_secret", "")
        if secret:
            return self._secret_page(request, obj, secret, f"{obj} was created")
        return super().response_add(request, obj, post_url_continue)

    def _secret_page(
        self, request: HttpRequest, endpoint: WebhookEndpoint, secret: str, title: str
    ) -> HttpResponse:
        """The secret, this once; nothing may keep the page."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "endpoint": endpoint,
            "secret": secret,
            "back": self.object_url(endpoint),
        }
        request.current_app = self.admin_site.name
        response = TemplateResponse(request, "hub/webhooks/secret.html", context)
        response["Cache-Control"] = "no-store"
        return response
