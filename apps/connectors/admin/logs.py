"""Calls to providers."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.connectors.admin.calls import call_shown, integration_shown
from apps.connectors.models import IntegrationLog
from apps.kernel.admin import (
    HubModelAdmin,
    ago,
    json_block,
    link,
    milliseconds,
    mono,
    muted,
    size,
    status_badge,
    text_block,
)


@admin.register(IntegrationLog)
class IntegrationLogAdmin(HubModelAdmin):
    scope_resource = "integrations"
    read_only = True
    list_display = ("call", "integration_link", "answer", "took", "received", "purpose", "when")
    list_filter = ("ok", "status_code", "integration")
    allowed_lookups = ("sync_job__id__exact", "sync_job")
    list_select_related = ("integration", "sync_job")
    ordering = ("-id",)
    sortable_by = ()
    list_title = "Call log"
    empty_icon = "receipt_long"
    empty_title = "No calls yet"
    empty_text = "Each call to a provider stands here for 30 days, with secrets masked."
    fields = (
        "answer",
        "problem",
        "endpoint_shown",
        "integration_link",
        "job_link",
        "purpose",
        "took",
        "received",
        "when",
        "asked",
        "answered_headers",
        "answered",
    )
    readonly_fields = fields

    @admin.display(description="Call")
    def call(self, obj: IntegrationLog) -> str:
        return call_shown(obj)

    @admin.display(description="Address")
    def endpoint_shown(self, obj: IntegrationLog) -> str:
        return format_html('<span class="hub-chip">{}</span> {}', obj.method, mono(obj.endpoint, copy=True))

    @admin.display(description="Integration")
    def integration_link(self, obj: IntegrationLog) -> str:
        return integration_shown(obj.integration)

    @admin.display(description="Sync")
    def job_link(self, obj: IntegrationLog) -> str:
        job = obj.sync_job
        return (
            link(reverse("admin:connectors_syncjob_change", args=[job.number]), job.number)
            if job
            else muted("–")
        )

    @admin.display(description="Answer")
    def answer(self, obj: IntegrationLog) -> str:
        return status_badge("ok" if obj.ok else "failed", str(obj.status_code or "no answer"))

    @admin.display(description="Took")
    def took(self, obj: IntegrationLog) -> str:
        return milliseconds(obj.duration_ms)

    @admin.display(description="Received")
    def received(self, obj: IntegrationLog) -> str:
        return size(obj.bytes_received)

    @admin.display(description="For")
    def purpose(self, obj: IntegrationLog) -> str:
        return obj.action

    @admin.display(description="When")
    def when(self, obj: IntegrationLog) -> str:
        return ago(obj.created_at)

    @admin.display(description="Problem")
    def problem(self, obj: IntegrationLog) -> str:
        return obj.error_message or muted("–")

    @admin.display(description="Sent")
    def asked(self, obj: IntegrationLog) -> str:
        return json_block(obj.request_data)

    @admin.display(description="Headers of the answer")
    def answered_headers(self, obj: IntegrationLog) -> str:
        return json_block(obj.response_data.get("headers") or None)

    @admin.display(description="Body of the answer")
    def answered(self, obj: IntegrationLog) -> str:
        body = str(obj.response_data.get("body") or "")
        cut = obj.response_data.get("cut")
        return text_block(body, title=f"The beginning of {size(obj.bytes_received)}" if cut else "Body")

    def has_add_permission(self, request: HttpRequest, *_: object) -> bool:
        return False
