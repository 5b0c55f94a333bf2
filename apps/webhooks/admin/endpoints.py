"""Endpoints: how each one does, its settings, and what can be done to it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from apps.kernel.admin import (
    HubModelAdmin,
    Series,
    ago,
    badge,
    bar_chart,
    confirm_action,
    milliseconds,
    muted,
    sparkline,
    status_badge,
)
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.admin.display import duration, since_text
from apps.kernel.errors import FieldError, InvalidInput
from apps.webhooks import selectors
from apps.webhooks.admin.forms import (
    EndpointForm,
    LinesField,
    NewEndpointForm,
    PauseForm,
    ReplayForm,
    RotateForm,
    TestForm,
    placed,
)
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.retries import schedule_of
from apps.webhooks.services import endpoints, pausing, replays
from apps.webhooks.services.requests import configured_schedule, timeout_of
from apps.webhooks.statuses import EndpointStatus, HealthStatus
from apps.webhooks.validation import url_problems

_HEALTH_TONES = {
    HealthStatus.HEALTHY: "good",
    HealthStatus.DEGRADED: "warn",
    HealthStatus.FAILING: "bad",
}


def health_badge(endpoint: WebhookEndpoint) -> str:
    tone = _HEALTH_TONES.get(HealthStatus(endpoint.health_status), "quiet")
    return badge(endpoint.get_health_status_display(), tone)


class EndpointChangeList(HubChangeList):
    """Puts the last day of the endpoints on the page onto its rows: two queries for all of them."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        found = selectors.activity_of([row.pk for row in rows])
        for row in rows:
            row.activity = found[row.pk]
        self.result_list = rows


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(HubModelAdmin):
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
        {"title": "More", "icon": "more_vert", "items": ["replay_since", "rotate_secret", "switch_off"]},
    )
    change_form_before_template = "hub/webhooks/endpoint_summary.html"
    empty_icon = "webhook"
    empty_title = "No endpoints yet"
    empty_text = "An endpoint is an address of yours that is told, within moments, what happens in the hub."
    fieldsets = (
        (None, {"fields": ("name", "url", "method", "events", "description", "project")}),
        (
            "Authentication and headers",
            {
                "classes": ("tab",),
                "fields": (
                    "auth_type",
                    "auth_username",
                    "auth_header",
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
        "auth_secret": "['bearer', 'basic', 'api_key'].includes(auth_type)",
        "auth_headers": "auth_type == 'custom'",
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
        shown = obj.url if len(obj.url) <= 60 else obj.url[:59] + "…"
        return format_html('<code class="hub-mono" title="{}">{}</code>', obj.url, shown)

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
        summary = None if endpoint is None else self._summary(endpoint)
        return super().change_view(
            request, object_id, form_url, {"summary": summary, **(extra_context or {})}
        )

    def _summary(self, endpoint: WebhookEndpoint) -> dict[str, Any]:
        activity = selectors.activity_of([endpoint.pk])[endpoint.pk]
        labels = [f"{timezone.localtime(hour.start):%H:%M}" for hour in activity.hours]
        series = [
            Series("succeeded", tuple(hour.succeeded for hour in activity.hours), "good"),
            Series("failed", tuple(hour.failed for hour in activity.hours), "bad"),
        ]
        steps = schedule_of(
            intervals=endpoint.retry_intervals,
            attempts=endpoint.retry_attempts,
            fallback=configured_schedule(),
        )
        pauses = [steps.pause(step) for step in range(steps.retries)]
        list_url = reverse("admin:webhooks_delivery_changelist")
        now = timezone.now()
        return {
            "endpoint": endpoint,
            "status": status_badge(endpoint.status),
            "health": health_badge(endpoint),
            "activity": activity,
            "rate": activity.success_rate,
            "latency": milliseconds(activity.average_ms),
            "reason": endpoint.pause_reason.rstrip("."),
            "chart": bar_chart(labels, series, unit="attempts"),
            "ladder": ", ".join(
                since_text(pause) if pause >= 1 else duration(pause) for pause in pauses if pause
            ),
            "timeout": f"{timeout_of(endpoint):g} s",
            "paused": ago(endpoint.paused_at),
            "probe": ago(endpoint.next_probe_at) if endpoint.next_probe_at else "",
            "old_secrets": len(endpoint.live_secrets(now)) - 1,
            "recent": [
                {
                    "url": reverse("admin:webhooks_delivery_change", args=[delivery.public_id]),
                    "type": delivery.event_type,
                    "created": ago(delivery.created_at),
                    "status": status_badge(delivery.status),
                    "attempts": delivery.attempts,
                    "answer": delivery.last_status or delivery.last_error or "",
                }
                for delivery in selectors.recent_deliveries(endpoint)
            ],
            "all_url": f"{list_url}?endpoint__id__exact={endpoint.pk}",
        }

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
        draft = WebhookEndpoint(
            organization=request.organization,  # type: ignore[attr-defined]
            url=request.POST.get("url", "").strip(),
            ip_allow_list=LinesField(required=False).to_python(request.POST.get("ip_allow_list", "")),
        )
        if known is not None and (known.url, known.ip_allow_list) == (draft.url, draft.ip_allow_list):
            return []
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

    # --- deeds

    def _status(self, request: HttpRequest, object_id: Any) -> str:
        known: dict[str, str] = request.__dict__.setdefault("_webhook_status", {})
        if str(object_id) not in known:
            endpoint = self.get_object(request, str(object_id))
            known[str(object_id)] = "" if endpoint is None else endpoint.status
        return known[str(object_id)]

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) == EndpointStatus.ACTIVE
        )

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) != EndpointStatus.ACTIVE
        )

    def has_switch_off_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) != EndpointStatus.INACTIVE
        )

    @confirm_action(
        description="Pause",
        title="Pause {object}?",
        icon="pause",
        permissions=["pause"],
        text="What happens meanwhile is held, and sent when the endpoint is resumed.",
        form_class=PauseForm,
    )
    def pause(
        self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint], form: forms.Form
    ) -> None:
        chosen = objects.filter(status=EndpointStatus.ACTIVE)
        for endpoint in chosen:
            pausing.pause(endpoint=endpoint, actor=request.actor, reason=form.cleaned_data["reason"])  # type: ignore[attr-defined]
        messages.success(request, "Paused: deliveries are held.")

    @confirm_action(
        description="Resume",
        title="Resume {object}?",
        icon="play_arrow",
        permissions=["resume"],
        text="What was held is sent now, the oldest first.",
    )
    def resume(self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint]) -> None:
        for endpoint in objects.exclude(status=EndpointStatus.ACTIVE):
            pausing.resume(endpoint=endpoint, actor=request.actor)  # type: ignore[attr-defined]
        messages.success(request, "Active: events are sent.")

    @confirm_action(
        description="Switch off",
        title="Switch {object} off?",
        icon="power_settings_new",
        permissions=["switch_off"],
        text="It hears nothing more, and what waits for it is cancelled. Its settings and history stay.",
        danger=True,
    )
    def switch_off(self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint]) -> None:
        for endpoint in objects:
            cancelled = pausing.deactivate(endpoint=endpoint, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"Switched off; {cancelled:,} waiting deliveries were cancelled.")

    @confirm_action(
        description="Send test",
        title="Send a test message to {object}",
        button="Send now",
        icon="science",
        permissions=["write"],
        text="It goes the way that every message goes, once, and counts for nothing.",
        form_class=TestForm,
    )
    def send_test(
        self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint], form: forms.Form
    ) -> HttpResponse | None:
        attempt = endpoints.send_test(
            endpoint=objects.get(),
            actor=request.actor,  # type: ignore[attr-defined]
            event_type=form.cleaned_data["event_type"],
            data=form.cleaned_data["data"],
        )
        told = f"It answered {attempt.status_code} after {attempt.duration_ms} ms."
        if attempt.succeeded:
            messages.success(request, told)
        else:
            messages.error(request, attempt.error or told)
        return HttpResponseRedirect(
            reverse("admin:webhooks_delivery_change", args=[attempt.delivery.public_id])
        )

    @confirm_action(
        description="Rotate secret",
        title="Give {object} a new signing secret?",
        icon="key",
        permissions=["write"],
        text="The new secret is shown once, on the next page.",
        form_class=RotateForm,
        danger=True,
    )
    def rotate_secret(
        self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint], form: forms.Form
    ) -> HttpResponse:
        endpoint = objects.get()
        secret = endpoints.rotate_secret(
            endpoint=endpoint,
            actor=request.actor,  # type: ignore[attr-defined]
            keep_for=form.cleaned_data["keep_for"],
        )
        return self._secret_page(request, endpoint, secret, f"The new secret of {endpoint}")

    @confirm_action(
        description="Replay since",
        title="Send again to {object}",
        button="Count",
        icon="replay",
        permissions=["write"],
        text="The same messages, with the same ids and bytes. First they are counted; nothing is sent yet.",
        form_class=ReplayForm,
    )
    def replay_since(
        self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint], form: forms.Form
    ) -> HttpResponse | None:
        endpoint = objects.get()
        span = {"since": form.cleaned_data["since"], "what": form.cleaned_data["what"]}
        if "_counted" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": f"Send again to {endpoint}",
                "count": replays.count(endpoint=endpoint, **span),
                "posted": [
                    (name, value)
                    for name, value in request.POST.items()
                    if name.startswith(("since", "what", "_back"))
                ],
                "back": self.object_url(endpoint),
            }
            return TemplateResponse(request, "hub/webhooks/replay.html", context)
        done = replays.replay(endpoint=endpoint, actor=request.actor, **span)  # type: ignore[attr-defined]
        messages.success(request, f"{done.total:,} deliveries are sent again.")
        return None
