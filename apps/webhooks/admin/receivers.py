"""Inbound addresses: what the provider is given, how it signs, what its webhooks cause, and what was
refused.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.db.models import OuterRef, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminSelectWidget

from apps.events import inbound
from apps.kernel.admin import (
    HubModelAdmin,
    JSONFormField,
    SecretInput,
    Series,
    ago,
    badge,
    bar_chart,
    confirm_action,
    link,
    mono,
    muted,
    number,
    status_badge,
)
from apps.kernel.admin.display import exact
from apps.kernel.errors import FieldError, HubError, InvalidInput
from apps.webhooks import inbound_selectors as selectors
from apps.webhooks.inbound.schemes import schemes
from apps.webhooks.models import InboundReceiver, InboundWebhook
from apps.webhooks.services.inbound import receivers

RECENT = 10
ROUTES_HELP = (
    "A list: each route that fits is followed. match: event types (* for any text); where: a JMESPath "
    "condition on the payload; effect: event, sync or record; with: what the effect wants, such as "
    '{"type": "custom.order.paid"}, {"streams": ["orders"]} or {"dataset": "clients", "mapping": "Shop"}.'
)


class ReceiverForm(forms.ModelForm):
    """The settings. The secret is written here and never shown again."""

    scheme = forms.ChoiceField(
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="How the provider proves that a webhook is its own.",
    )
    secret = forms.CharField(
        required=False,
        max_length=receivers.MAX_SECRET,
        strip=False,
        widget=SecretInput,
        help_text="Never shown again. Leave it empty to keep what is stored; the one before a new one is "
        "believed for an hour more.",
    )
    options = JSONFormField(
        required=False,
        help_text="What the scheme needs to know; its names are listed above. An empty object for most.",
    )
    routes = JSONFormField(required=False, help_text=ROUTES_HELP)

    class Meta:
        model = InboundReceiver
        fields = ("enabled", "scheme", "options", "routes", "max_retries", "silence_after_minutes")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = sorted(((item.name, item.title) for item in schemes), key=lambda pair: pair[1].lower())
        if "scheme" in self.fields:
            field: Any = self.fields["scheme"]
            field.choices = [("", "Not chosen: nothing is taken"), *known]

    def clean_options(self) -> Any:
        return self.cleaned_data.get("options") or {}

    def clean_routes(self) -> Any:
        return self.cleaned_data.get("routes") or []


@admin.register(InboundReceiver)
class InboundReceiverAdmin(HubModelAdmin):
    scope_resource = "integrations"
    audit_name = "inbound_receiver"
    can_add = can_delete = False
    list_title = "Inbound addresses"
    form = ReceiverForm
    list_display = ("named", "state", "scheme_shown", "last_received", "routes_shown")
    list_filter = ("scheme", "enabled")
    search_fields = ("number__istartswith", "title__istartswith")
    search_help_text = "Search by the integration's number or the beginning of its name"
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("forget_old_secrets",)
    change_form_before_template = "hub/webhooks/receiver_summary.html"
    fieldsets = (
        (None, {"fields": ("enabled", "scheme", "secret", "options")}),
        ("Routes", {"classes": ("tab",), "fields": ("routes",)}),
        ("Retries and silence", {"classes": ("tab",), "fields": ("max_retries", "silence_after_minutes")}),
    )
    empty_icon = "move_to_inbox"
    empty_title = "No inbound addresses yet"
    empty_text = "Each integration has one: open it, and choose Inbound webhooks."
    empty_action = ("Integrations", "admin:connectors_integration_changelist")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[InboundReceiver]:
        last = (
            InboundWebhook.objects.filter(receiver=OuterRef("pk")).order_by("-id").values("received_at")[:1]
        )
        rows: models.QuerySet[InboundReceiver] = super().get_queryset(request)
        return rows.select_related("organization").annotate(last_at=Subquery(last))

    # --- columns

    @admin.display(description="Integration")
    def named(self, obj: InboundReceiver) -> str:
        return format_html("{}<br>{}", obj.title or obj.number, muted(obj.number))

    @admin.display(description="Status")
    def state(self, obj: InboundReceiver) -> str:
        if not obj.enabled:
            return badge("off", "quiet")
        if not obj.scheme:
            return badge("no scheme", "warn")
        return badge("silent", "warn") if obj.silent_since else badge("on", "good")

    @admin.display(description="Signed by")
    def scheme_shown(self, obj: InboundReceiver) -> str:
        scheme = schemes.get(obj.scheme)
        return scheme.title if scheme else muted("not chosen")

    @admin.display(description="Last webhook")
    def last_received(self, obj: Any) -> str:
        return ago(obj.last_at)

    @admin.display(description="Routes")
    def routes_shown(self, obj: InboundReceiver) -> str:
        names = [str(route.get("effect", "")) for route in obj.routes if isinstance(route, dict)]
        return ", ".join(dict.fromkeys(names)) or muted("none")

    # --- the page

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.of_view)
        return [path("of/<str:number>/", view, name="webhooks_inbound_of"), *super().get_urls()]

    def of_view(self, request: HttpRequest, number: str) -> HttpResponse:
        """The page of an integration's address, by the integration's number."""
        try:
            receiver, _ = receivers.for_number(request.organization, number)  # type: ignore[attr-defined]
        except HubError as error:
            messages.error(request, error.detail)
            return HttpResponseRedirect(self.list_url())
        return HttpResponseRedirect(self.object_url(receiver))

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        receiver = self.get_object(request, object_id)
        summary = None if receiver is None else self._summary(receiver)
        return super().change_view(
            request, object_id, form_url, {"summary": summary, **(extra_context or {})}
        )

    def _summary(self, receiver: InboundReceiver) -> dict[str, Any]:
        found = inbound.by_number(receiver.organization, receiver.number)
        source = found[1] if found else None
        scheme = schemes.get(receiver.scheme)
        hours = selectors.hours_of([receiver])
        recent = selectors.webhooks_of(receiver.organization, number=receiver.number)[:RECENT]
        list_url = reverse("admin:webhooks_inboundwebhook_changelist")
        integration_url = ""
        if source is not None:
            integration_url = reverse("admin:connectors_integration_change", args=[source.number])
        return {
            "receiver": receiver,
            "source": source,
            "integration": link(integration_url, source.name) if source else receiver.title,
            "address": mono(source.url, copy=True) if source else muted("The integration was removed."),
            "scheme": scheme,
            "docs": link(scheme.docs, "the provider's documentation") if scheme and scheme.docs else "",
            "has_secret": bool(source and source.secret),
            "state": self.state(receiver),
            "silent": ago(receiver.silent_since) if receiver.silent_since else "",
            "last": ago(selectors.last_received_at(receiver)),
            "sums": {name: number(value) for name, value in selectors.sums_of(receiver).items()},
            "chart": bar_chart(
                [f"{timezone.localtime(hour['hour']):%H:%M}" for hour in hours],
                [
                    Series("received", tuple(hour["received"] for hour in hours), "good"),
                    Series("refused", tuple(hour["rejected"] for hour in hours), "bad"),
                ],
                unit="webhooks",
            ),
            "recent": [
                {
                    "url": reverse("admin:webhooks_inboundwebhook_change", args=[row.public_id]),
                    "type": row.event_type or "(none)",
                    "when": ago(row.received_at),
                    "status": status_badge(row.status),
                    "error": row.error_message,
                }
                for row in recent
            ],
            "rejections": [
                {"row": row, "when": exact(row.at), "ago": ago(row.at)}
                for row in selectors.rejections_of(receiver)[:RECENT]
            ],
            "all_url": f"{list_url}?receiver__id__exact={receiver.pk}",
        }

    # --- writing

    def service_update(
        self, request: HttpRequest, obj: models.Model, values: dict[str, Any], form: forms.ModelForm
    ) -> models.Model:
        assert isinstance(obj, InboundReceiver)
        given = dict(values)
        secret = given.pop("secret", "") or None
        receiver, source = receivers.for_number(obj.organization, obj.number)
        try:
            return receivers.update(
                receiver=receiver,
                source=source,
                actor=request.actor,  # type: ignore[attr-defined]
                values=given,
                secret=secret,
            )
        except InvalidInput as error:
            raise _at_fields(error) from None

    def has_forget_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.has_write_permission(request):
            return False
        receiver = self.get_object(request, str(object_id)) if object_id is not None else None
        return receiver is None or bool(receiver.old_secrets)

    @confirm_action(
        description="Forget old secrets",
        title="Believe nothing but the present secret of {object}?",
        icon="key_off",
        permissions=["forget"],
        text="Secrets that were replaced within the last hour are refused from now on: right after a leak.",
        danger=True,
    )
    def forget_old_secrets(self, request: HttpRequest, objects: models.QuerySet[InboundReceiver]) -> None:
        for receiver in objects:
            receivers.forget_old_secrets(receiver=receiver, actor=request.actor)  # type: ignore[attr-defined]
        messages.success(request, "Only the present secret is believed now.")


def _at_fields(error: InvalidInput) -> InvalidInput:
    """Each problem at its field of the form; where within the field it is, in words."""
    placed = []
    for one in error.errors:
        _, name, *rest = one.pointer.split("/")
        where = f"{'/'.join(rest)}: " if rest else ""
        placed.append(FieldError(f"/{name}", one.code, f"{where}{one.detail}"))
    return InvalidInput(error.detail, errors=placed)
