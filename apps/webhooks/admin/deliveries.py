"""Deliveries: what was sent to whom, every try at it, and sending it again."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from apps.events.models import Event
from apps.kernel import ids
from apps.kernel.admin import (
    HubModelAdmin,
    ago,
    confirm_action,
    empty,
    link,
    milliseconds,
    mono,
    muted,
    status_badge,
    text_block,
    words_filter,
)
from apps.kernel.admin.display import exact
from apps.webhooks import curl, selectors
from apps.webhooks.admin.forms import ExpungeForm
from apps.webhooks.models import Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.services import deliveries, forgetting, replays
from apps.webhooks.statuses import WAITING, Cause, Chosen, DeliveryStatus, EndpointStatus

RETRYABLE = (*WAITING, DeliveryStatus.FAILED, DeliveryStatus.CANCELLED, DeliveryStatus.DELIVERED)
SHOWN_ATTEMPTS = 50


class StatusFilter(words_filter("status", DeliveryStatus.choices)):  # type: ignore[misc]
    """By state, in the words that the indexes understand."""

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Delivery]) -> Any:
        value = self.value()
        return selectors.in_status(queryset, [value]) if value else queryset


@admin.register(Delivery)
class DeliveryAdmin(HubModelAdmin):
    scope_resource = "webhooks"
    read_only = True
    list_display = ("created", "type_shown", "state", "tries", "answer", "next_try", "endpoint_shown")
    list_filter = (StatusFilter, "endpoint")
    list_select_related = ("endpoint",)
    search_fields = ("id",)
    search_help_text = "The id of a delivery (dlv_…) or of an event (evt_…)"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("retry", "cancel")
    actions_detail = ("retry", "cancel", "expunge")
    fields = ("summary", "message", "attempts_shown")
    readonly_fields = fields
    empty_icon = "send"
    empty_title = "Nothing was sent yet"
    empty_text = (
        "Each event that an endpoint listens for becomes a delivery, and each try at it is kept here."
    )
    empty_action = ("Add an endpoint", "admin:webhooks_webhookendpoint_add")

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Delivery], search_term: str
    ) -> tuple[models.QuerySet[Delivery], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        delivery, event = ids.parse(Delivery.PREFIX, text), ids.parse(Event.PREFIX, text)
        if delivery is not None:
            return queryset.filter(pk=delivery), False
        return (queryset.filter(event_id=event) if event is not None else queryset.none()), False

    # --- columns

    @admin.display(description="Created")
    def created(self, obj: Delivery) -> str:
        return ago(obj.created_at)

    @admin.display(description="Event")
    def type_shown(self, obj: Delivery) -> str:
        note = "" if obj.cause == Cause.EVENT else muted(f" {obj.get_cause_display().lower()}")
        return format_html('<span class="hub-nowrap">{}{}</span>', mono(obj.event_type), note)

    @admin.display(description="Status")
    def state(self, obj: Delivery) -> str:
        return status_badge(obj.status)

    @admin.display(description="Tries")
    def tries(self, obj: Delivery) -> str:
        return str(obj.attempts)

    @admin.display(description="Answer")
    def answer(self, obj: Delivery) -> str:
        if obj.last_status:
            return str(obj.last_status)
        return muted(obj.last_error) if obj.last_error else empty()

    @admin.display(description="Next try")
    def next_try(self, obj: Delivery) -> str:
        if obj.status not in WAITING:
            return empty()
        if obj.endpoint.status == EndpointStatus.PAUSED:
            return muted("held: the endpoint is paused")
        return ago(obj.next_attempt_at) if obj.next_attempt_at else muted("after the one before it")

    @admin.display(description="Endpoint")
    def endpoint_shown(self, obj: Delivery) -> str:
        address = reverse("admin:webhooks_webhookendpoint_change", args=[obj.endpoint.number])
        return link(address, f"{obj.endpoint.number} {obj.endpoint.name}")

    # --- the page

    @admin.display(description="Delivery")
    def summary(self, obj: Delivery) -> str:
        event = empty()
        if obj.event_id:
            public = ids.public(Event.PREFIX, obj.event_id)
            event = link(reverse("admin:events_event_change", args=[public]), public)
        facts = [
            ("Status", status_badge(obj.status)),
            ("Endpoint", self.endpoint_shown(obj)),
            ("Event", format_html("{} {}", mono(obj.event_type), event)),
            ("Id", mono(obj.public_id, copy=True)),
            ("Cause", obj.get_cause_display()),
            ("Created", format_html("{} ({})", exact(obj.created_at), ago(obj.created_at))),
            ("Delivered", ago(obj.delivered_at, never="not yet")),
            ("Tries", obj.attempts),
            ("Next try", self.next_try(obj)),
            ("Last error", obj.last_error or empty()),
        ]
        if obj.items:
            facts.append(("Batch", f"{obj.items} events"))
        if obj.ordering_key:
            facts.append(("Ordering key", mono(obj.ordering_key)))
        return render_to_string("hub/webhooks/facts.html", {"facts": facts})

    @admin.display(description="Message, as signed and sent")
    def message(self, obj: Delivery) -> str:
        if obj.is_forgotten:
            return muted("The hub has it no more: it was expunged, or its time was over.")
        if obj.payload is None:
            return muted(f"{obj.items} events are being gathered." if obj.items else "It could not be made.")
        return text_block(_readable(obj), title=obj.payload.content_type)

    @admin.display(description="Tries")
    def attempts_shown(self, obj: Delivery) -> str:
        tries = list(selectors.attempts_of(obj).reverse()[:SHOWN_ATTEMPTS])
        body = obj.body
        rows = [
            {
                "attempt": attempt,
                "badge": _outcome(attempt),
                "took": milliseconds(attempt.duration_ms),
                "when": exact(attempt.started_at),
                "ago": ago(attempt.started_at),
                "request": _block(_headers(attempt.request_headers), "Request headers"),
                "response": _block(_headers(attempt.response_headers), "Answer's headers"),
                "body": _block(attempt.response_body, "Answer's body, the first 16 KiB"),
                "curl": text_block(
                    curl.command(
                        method=obj.endpoint.method,
                        url=obj.endpoint.url_shown,
                        headers=attempt.request_headers,
                        body=body,
                    ),
                    title="The same by curl, secrets masked",
                )
                if attempt.request_headers
                else "",
            }
            for attempt in tries
        ]
        return render_to_string(
            "hub/webhooks/attempts.html", {"rows": rows, "more": obj.attempts - len(rows)}
        )

    # --- deeds

    def _status(self, request: HttpRequest, object_id: Any) -> str:
        known: dict[str, str] = request.__dict__.setdefault("_delivery_status", {})
        if str(object_id) not in known:
            delivery = self.get_object(request, str(object_id))
            known[str(object_id)] = "" if delivery is None else delivery.status
        return known[str(object_id)]

    def has_retry_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) in RETRYABLE
        )

    def has_expunge_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_scope(request, "delete")

    def has_cancel_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_write_permission(request) and (
            object_id is None or self._status(request, object_id) in WAITING
        )

    @confirm_action(
        description="Retry",
        title="Send {object} again?",
        icon="replay",
        permissions=["retry"],
        text="The same id and bytes, now. One that was delivered already is sent as a new delivery. "
        "Several are sent in the background, and one sees how far that is.",
    )
    def retry(self, request: HttpRequest, objects: models.QuerySet[Delivery]) -> HttpResponseRedirect | None:
        chosen = list(objects.values_list("pk", flat=True)[: replays.MAX_SELECTED + 1])
        if len(chosen) == 1:
            sent = deliveries.retry(
                delivery=objects.select_related("endpoint", "organization").get(),
                actor=request.actor,  # type: ignore[attr-defined]
            )
            messages.success(request, "It is sent again.")
            return HttpResponseRedirect(self.object_url(sent)) if sent.pk != chosen[0] else None
        organization = request.organization  # type: ignore[attr-defined]
        choice = replays.choose(
            organization=organization, what=Chosen.SELECTED, **self._selected(request, chosen)
        )
        counted = replays.count(choice)
        if not counted.total:
            messages.warning(request, "None of them can be sent again at this moment.")
            return None
        ordered = replays.order(organization=organization, choice=choice, actor=request.actor)  # type: ignore[attr-defined]
        if counted.total < len(chosen) <= replays.MAX_SELECTED:
            left = len(chosen) - counted.total
            messages.warning(
                request,
                f"{left:,} of them {'is' if left == 1 else 'are'} left out: a test, a message that is under "
                "way or forgotten, or of an endpoint that is switched off.",
            )
        return HttpResponseRedirect(reverse("admin:webhooks_replay_change", args=[ordered.number]))

    def _selected(self, request: HttpRequest, chosen: list[UUID]) -> dict[str, Any]:
        """The ticked ones by their ids; all that the list's filters show by these filters."""
        if request.POST.get("select_across") != "1" or request.GET.get("q"):
            return {"delivery_ids": chosen}
        number = request.GET.get("endpoint__id__exact", "")
        endpoint = None
        if number:
            mine = WebhookEndpoint.objects.filter(organization=request.organization)  # type: ignore[attr-defined]
            endpoint = mine.get(pk=number)
        status = request.GET.get("status", "")
        return {"endpoint": endpoint, "statuses": [status] if status else []}

    @confirm_action(
        description="Cancel",
        title="Stop trying to send {object}?",
        icon="block",
        permissions=["cancel"],
        danger=True,
    )
    def cancel(self, request: HttpRequest, objects: models.QuerySet[Delivery]) -> None:
        count = deliveries.cancel_many(
            organization=request.organization,  # type: ignore[attr-defined]
            delivery_ids=objects.values_list("pk", flat=True)[:1000],
            actor=request.actor,  # type: ignore[attr-defined]
        )
        messages.success(request, f"{count:,} cancelled.")

    @confirm_action(
        description="Expunge",
        title="Remove what {object} says, for good?",
        button="Expunge",
        icon="delete_forever",
        permissions=["expunge"],
        text="The data of its event, the messages made of it for every endpoint, and what receivers answered "
        "are erased. The deliveries stay; those that wait are cancelled. It cannot be taken back.",
        form_class=ExpungeForm,
        danger=True,
    )
    def expunge(self, request: HttpRequest, objects: models.QuerySet[Delivery], form: forms.Form) -> None:
        concerned = forgetting.expunge(
            delivery=objects.select_related("organization").get(),
            actor=request.actor,  # type: ignore[attr-defined]
            reason=form.cleaned_data["reason"],
        )
        messages.success(request, f"Expunged; {concerned:,} deliveries said the same.")


def _readable(delivery: Delivery) -> str:
    """The message as text; JSON on several lines."""
    text = delivery.body.decode("utf-8", "replace")
    if delivery.kept_payload is None or delivery.kept_payload.content_type != "application/json":
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _block(text: str, title: str) -> str:
    return text_block(text, title=title) if text else ""


def _headers(headers: dict[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in headers.items())


def _outcome(attempt: DeliveryAttempt) -> str:
    if attempt.finished_at is None:
        return status_badge("delivering", "under way")
    label = str(attempt.status_code) if attempt.status_code else attempt.error_code.replace("_", " ")
    return status_badge("delivered" if attempt.succeeded else "failed", label)
