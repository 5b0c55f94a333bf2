"""Inbound webhooks: what providers sent, what came of it, and working it off again."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin, messages
from django.db import models
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from apps.kernel import ids
from apps.kernel.admin import (
    HubModelAdmin,
    ago,
    badge,
    confirm_action,
    definition_list,
    empty,
    json_block,
    link,
    milliseconds,
    mono,
    muted,
    size,
    status_badge,
    text_block,
    words_filter,
)
from apps.kernel.admin.display import exact
from apps.webhooks import inbound_selectors as selectors
from apps.webhooks.inbound_statuses import DONE, InboundStatus
from apps.webhooks.models import InboundAttempt, InboundWebhook, MerchantTransaction
from apps.webhooks.services.inbound import processing

AT_ONCE = 1000


@admin.register(InboundWebhook)
class InboundWebhookAdmin(HubModelAdmin):
    scope_resource = "webhooks"
    audit_name = "inbound_webhook"
    can_add = can_change = False
    list_title = "Inbound webhooks"
    list_display = ("received", "type_shown", "state", "integration", "provider_id", "tries", "outcome")
    list_filter = (words_filter("status", InboundStatus.choices), "receiver", "source")
    list_select_related = ("receiver",)
    search_fields = ("id",)
    search_help_text = "The id of a webhook (inw_…), or the provider's id of the event"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("reprocess",)
    actions_detail = ("reprocess",)
    fields = ("summary", "effects_shown", "message", "headers_shown", "response_shown", "attempts_shown")
    readonly_fields = fields
    delete_ignores = (InboundAttempt,)
    empty_icon = "move_to_inbox"
    empty_title = "Nothing came in yet"
    empty_text = (
        "Give a provider the address that stands on the page of its integration. What it sends is verified, "
        "kept here, and worked off by the integration's routes."
    )
    empty_action = ("Inbound addresses", "admin:webhooks_inboundreceiver_changelist")

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[InboundWebhook]:
        rows: models.QuerySet[InboundWebhook] = super().get_queryset(request)
        return rows.defer("body", "headers", "response")

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[InboundWebhook], search_term: str
    ) -> tuple[models.QuerySet[InboundWebhook], bool]:
        text = search_term.strip()
        if not text:
            return queryset, False
        pk = ids.parse(InboundWebhook.PREFIX, text)
        if pk is not None:
            return queryset.filter(pk=pk), False
        return queryset.filter(external_id=text.replace("\x00", "")), False

    # --- columns

    @admin.display(description="Received")
    def received(self, obj: InboundWebhook) -> str:
        return ago(obj.received_at)

    @admin.display(description="Type")
    def type_shown(self, obj: InboundWebhook) -> str:
        return format_html('<span class="hub-nowrap">{}</span>', mono(obj.event_type or "(none)"))

    @admin.display(description="Status")
    def state(self, obj: InboundWebhook) -> str:
        return status_badge(obj.status)

    @admin.display(description="Integration")
    def integration(self, obj: InboundWebhook) -> str:
        address = reverse("admin:webhooks_inboundreceiver_change", args=[obj.receiver.number])
        return link(address, str(obj.receiver))

    @admin.display(description="Provider's id")
    def provider_id(self, obj: InboundWebhook) -> str:
        text = obj.external_id if len(obj.external_id) <= 40 else obj.external_id[:39] + "…"
        return mono(text)

    @admin.display(description="Failed tries")
    def tries(self, obj: InboundWebhook) -> str:
        return f"{obj.retry_count} of {obj.max_retries}" if obj.retry_count else muted("–")

    @admin.display(description="What came of it")
    def outcome(self, obj: InboundWebhook) -> str:
        if obj.error_message:
            text = obj.error_message if len(obj.error_message) <= 120 else obj.error_message[:119] + "…"
            return muted(text)
        words = [f"{effect.get('effect', '')}: {effect.get('text', '')}" for effect in obj.effects]
        return muted("; ".join(words)[:120]) if words else empty()

    # --- the page

    @admin.display(description="Webhook")
    def summary(self, obj: InboundWebhook) -> str:
        verified = badge("verified", "good") if obj.signature_verified else badge("not verified", "bad")
        facts: list[tuple[str, object]] = [
            ("Status", status_badge(obj.status)),
            ("Integration", self.integration(obj)),
            ("Signature", format_html("{} {}", verified, muted(obj.source))),
            ("Type", mono(obj.event_type)),
            ("Provider's id", mono(obj.external_id, copy=True)),
            ("Id", mono(obj.public_id, copy=True)),
            ("Received", format_html("{} ({})", exact(obj.received_at), ago(obj.received_at))),
            ("From", obj.remote_ip or empty()),
            ("Size", size(obj.size)),
            ("Worked off", ago(obj.processed_at, never="not yet")),
            ("Failed tries", f"{obj.retry_count} of {obj.max_retries}"),
            ("Came again", f"{obj.duplicates:,} times" if obj.duplicates else "never"),
        ]
        if obj.status == InboundStatus.PENDING:
            facts.append(("Next try", ago(obj.next_attempt_at)))
        if obj.error_message:
            facts.append(("Error", obj.error_message))
        if obj.metadata.get("note"):
            facts.append(("Note", obj.metadata["note"]))
        return definition_list(facts)

    @admin.display(description="What it caused")
    def effects_shown(self, obj: InboundWebhook) -> str:
        if not obj.effects:
            return muted("Nothing yet." if obj.status not in DONE else "Nothing.")
        return definition_list(
            [
                (
                    str(effect.get("route", "")),
                    format_html("{} {}", effect.get("text", ""), mono(effect.get("ref"))),
                )
                for effect in obj.effects
            ]
        )

    @admin.display(description="Body")
    def message(self, obj: InboundWebhook) -> str:
        return text_block(_readable(obj), title=obj.content_type or "no content type")

    @admin.display(description="Headers, secrets masked")
    def headers_shown(self, obj: InboundWebhook) -> str:
        lines = [f"{name}: {value}" for name, value in obj.headers.items()]
        first = f"{obj.method} {f'?{obj.query}' if obj.query else ''}".strip()
        return text_block("\n".join([first, *lines]), title="Request")

    @admin.display(description="Answer")
    def response_shown(self, obj: InboundWebhook) -> str:
        if obj.response is None:
            return muted("The acknowledgement that the provider expects, and nothing more.")
        return json_block(obj.response, title="What the provider was told")

    @admin.display(description="Tries")
    def attempts_shown(self, obj: InboundWebhook) -> str:
        rows = [
            {
                "attempt": attempt,
                "badge": status_badge(attempt.status),
                "took": milliseconds(attempt.duration_ms),
                "when": exact(attempt.started_at),
                "ago": ago(attempt.started_at),
            }
            for attempt in reversed(selectors.attempts_of(obj))
        ]
        return render_to_string("hub/webhooks/inbound_attempts.html", {"rows": rows})

    # --- deeds

    def has_reprocess_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.has_write_permission(request):
            return False
        if object_id is None:
            return True
        row = self.get_object(request, str(object_id))
        return row is not None and row.status in DONE

    @confirm_action(
        description="Work off again",
        title="Work {object} off again?",
        icon="replay",
        permissions=["reprocess"],
        text="From the beginning, by the present routes. What it caused before is not taken back.",
    )
    def reprocess(self, request: HttpRequest, objects: models.QuerySet[InboundWebhook]) -> None:
        chosen = list(objects.values_list("pk", flat=True)[: AT_ONCE + 1])
        if len(chosen) > AT_ONCE:
            messages.error(request, f"At most {AT_ONCE:,} at once.")
            return
        count = processing.retry_many(
            organization=request.organization,  # type: ignore[attr-defined]
            ids=chosen,
            actor=request.actor,  # type: ignore[attr-defined]
        )
        if count:
            messages.success(
                request, "It is worked off again." if count == 1 else f"{count:,} are worked off again."
            )
        if count < len(chosen):
            messages.warning(request, "What waits, or is worked off at this moment, was left alone.")

    def service_delete(self, request: HttpRequest, obj: models.Model) -> None:
        assert isinstance(obj, InboundWebhook)
        processing.remove(webhook=obj, actor=request.actor)  # type: ignore[attr-defined]


def _readable(webhook: InboundWebhook) -> str:
    """The body as text; JSON on several lines."""
    raw = bytes(webhook.body)
    text = raw.decode("utf-8", "replace").replace("\x00", "\ufffd")
    try:
        return json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


@admin.register(MerchantTransaction)
class MerchantTransactionAdmin(HubModelAdmin):
    scope_resource = "webhooks"
    read_only = True
    list_title = "Payments"
    list_display = ("made", "order", "amount_shown", "state", "provider", "external")
    list_filter = (words_filter("status", MerchantTransaction._meta.get_field("status").choices), "receiver")
    list_select_related = ("receiver",)
    search_fields = ("order_key",)
    search_help_text = "The order's number, or the provider's id of the payment"
    ordering = ("-id",)
    sortable_by = ()
    fields = ("summary", "account")
    readonly_fields = fields
    empty_icon = "payments"
    empty_title = "No payments yet"
    empty_text = "Payments that Payme and Click make for orders are kept here, each with what became of it."

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[MerchantTransaction], search_term: str
    ) -> tuple[models.QuerySet[MerchantTransaction], bool]:
        text = search_term.strip().replace("\x00", "")
        if not text:
            return queryset, False
        return queryset.filter(models.Q(order_key=text) | models.Q(external_id=text)), False

    @admin.display(description="Made")
    def made(self, obj: MerchantTransaction) -> str:
        return ago(obj.created_at)

    @admin.display(description="Order")
    def order(self, obj: MerchantTransaction) -> str:
        return mono(obj.order_key)

    @admin.display(description="Amount")
    def amount_shown(self, obj: MerchantTransaction) -> str:
        return f"{obj.amount // 100:,}.{obj.amount % 100:02d} {obj.currency}"

    @admin.display(description="Status")
    def state(self, obj: MerchantTransaction) -> str:
        return status_badge(obj.status, obj.get_status_display())

    @admin.display(description="By")
    def provider(self, obj: MerchantTransaction) -> str:
        return str(obj.receiver)

    @admin.display(description="Provider's id")
    def external(self, obj: MerchantTransaction) -> str:
        return mono(obj.external_id)

    @admin.display(description="Payment")
    def summary(self, obj: MerchantTransaction) -> str:
        return definition_list(
            [
                ("Status", self.state(obj)),
                ("Order", format_html("{} {}", mono(obj.order_key), muted(obj.dataset))),
                ("Amount", self.amount_shown(obj)),
                ("By", self.provider(obj)),
                ("Provider's id", mono(obj.external_id, copy=True)),
                ("Id", mono(obj.public_id, copy=True)),
                ("Serial", mono(obj.serial)),
                ("Reason", empty() if obj.reason is None else obj.reason),
                ("Made", exact(obj.created_at)),
                ("Changed", exact(obj.updated_at)),
            ]
        )
