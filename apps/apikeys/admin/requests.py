"""The request log: the last calls of every caller; to read only."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html

from apps.apikeys.models import RequestLog
from apps.kernel.admin import (
    HubModelAdmin,
    ago,
    badge,
    empty,
    milliseconds,
    mono,
    muted,
    size,
)


@admin.register(RequestLog)
class RequestLogAdmin(HubModelAdmin):
    scope_resource = "api-keys"
    read_only = True
    list_display = ("when", "caller", "request_line", "answer", "took", "source")
    list_display_links = ("when",)
    list_filter = ("subject_kind", "refused", "method", "at")
    search_fields = ("request_id__exact", "label__istartswith", "route__istartswith")
    search_help_text = "A request id, or the beginning of a caller's name or of an endpoint, such as /records"
    ordering = ("-id",)
    sortable_by = ()
    list_title = "Request log"
    empty_icon = "list_alt"
    empty_title = "No requests yet"
    empty_text = (
        "The last 500 requests of each caller are kept for 14 days: address and answer, never a body."
    )
    fields = (
        "when", "caller", "request_line", "answer", "took", "source", "user_agent", "version", "sizes",
        "request_id",
    )  # fmt: skip
    readonly_fields = fields

    @admin.display(description="When")
    def when(self, obj: RequestLog) -> str:
        return ago(obj.at)

    @admin.display(description="Caller")
    def caller(self, obj: RequestLog) -> str:
        if not obj.subject_kind:
            return muted("nobody known")
        return format_html("{}<br>{}", obj.label or obj.subject_id, muted(obj.get_subject_kind_display()))

    @admin.display(description="Request")
    def request_line(self, obj: RequestLog) -> str:
        return mono(f"{obj.method} {obj.path}")

    @admin.display(description="Answer")
    def answer(self, obj: RequestLog) -> str:
        tone = "good" if obj.status < 400 else "bad" if obj.status >= 500 or obj.refused else "warn"
        return format_html("{} {}", badge(str(obj.status), tone, dot=False), muted(obj.code))

    @admin.display(description="Took")
    def took(self, obj: RequestLog) -> str:
        return milliseconds(obj.milliseconds)

    @admin.display(description="From")
    def source(self, obj: RequestLog) -> str:
        return mono(obj.ip) if obj.ip else empty()

    @admin.display(description="Sizes")
    def sizes(self, obj: RequestLog) -> str:
        return f"{size(obj.bytes_in)} in, {size(obj.bytes_out)} out"
