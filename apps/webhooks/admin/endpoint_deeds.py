"""What can be done to an endpoint on its page and in the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.kernel.admin import HubModelAdmin, confirm_action, text_block
from apps.webhooks.admin.forms import PauseForm, PreviewForm, ReplayForm, RotateForm, TestForm
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.services import endpoints, pausing, previews, replays
from apps.webhooks.statuses import EndpointStatus, SecretKind

if TYPE_CHECKING:
    _Base = HubModelAdmin
else:
    _Base = object


class EndpointDeeds(_Base):
    """Actions of the endpoints' admin."""

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
            kind=form.cleaned_data["kind"] or SecretKind.HMAC,
        )
        return self._secret_page(request, endpoint, secret, f"The new secret of {endpoint}")

    @confirm_action(
        description="Preview",
        title="What {object} would get",
        button="Show",
        icon="visibility",
        permissions=["write"],
        text="A past event in the form that this endpoint asks for. Nothing is sent.",
        form_class=PreviewForm,
    )
    def preview(
        self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint], form: forms.Form
    ) -> HttpResponse:
        endpoint = objects.get()
        found = previews.preview(endpoint=endpoint, event_ref=form.cleaned_data["event"].strip())
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"What {endpoint} would get",
            "preview": found,
            "body": text_block(found.body),
            "back": self.object_url(endpoint),
        }
        return TemplateResponse(request, "hub/webhooks/preview.html", context)

    @confirm_action(
        description="Replay since",
        title="Send again to {object}",
        button="Count",
        icon="replay",
        permissions=["write"],
        text="The same messages, with the same ids and bytes. First they are counted; nothing is sent yet. "
        "Then it runs in the background, where it can be paused and cancelled.",
        form_class=ReplayForm,
    )
    def replay_since(
        self, request: HttpRequest, objects: models.QuerySet[WebhookEndpoint], form: forms.Form
    ) -> HttpResponse | None:
        endpoint = objects.get()
        choice = replays.choose(
            organization=endpoint.organization,
            endpoint=endpoint,
            **{name: form.cleaned_data[name] for name in ("since", "until", "what", "event_types")},
        )
        if "_counted" not in request.POST:
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": f"Send again to {endpoint}",
                "count": replays.count(choice),
                "posted": [
                    (name, value)
                    for name, value in request.POST.items()
                    if name in ("since", "until", "what", "event_types", "_back")
                ],
                "back": self.object_url(endpoint),
            }
            return TemplateResponse(request, "hub/webhooks/replay.html", context)
        ordered = replays.order(
            organization=endpoint.organization,
            choice=choice,
            actor=request.actor,  # type: ignore[attr-defined]
        )
        return HttpResponseRedirect(reverse("admin:webhooks_replay_change", args=[ordered.number]))
