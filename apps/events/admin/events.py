"""Events: what happened, to read."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from apps.events.models import Event
from apps.kernel.admin import HubModelAdmin, ago, badge, empty, json_block, mono, words_filter
from apps.kernel.admin.display import exact
from apps.kernel.admin.distinct import distinct_values


def _types(request: HttpRequest) -> list[tuple[str, str]]:
    where = {"organization": request.organization}  # type: ignore[attr-defined]
    return [(name, name) for name in distinct_values(Event, "type", where=where)]


@admin.register(Event)
class EventAdmin(HubModelAdmin):
    scope_resource = "events"
    read_only = True
    list_display = ("happened", "type_shown", "subject_shown", "handed_over", "ref")
    list_filter = (words_filter("type", _types),)
    search_fields = ("subject__exact",)
    search_help_text = "The exact id of the object that it is about"
    ordering = ("-id",)
    sortable_by = ()
    fields = ("type_shown", "ref", "happened_exactly", "subject_shown", "handed_over", "version", "payload")
    readonly_fields = fields
    empty_icon = "bolt"
    empty_title = "No events yet"
    empty_text = (
        "Events tell that something happened: a record was changed, a job has finished. They are written as "
        "soon as a webhook listens for them."
    )

    @admin.display(description="Happened")
    def happened(self, obj: Event) -> str:
        return ago(obj.occurred_at)

    @admin.display(description="Happened")
    def happened_exactly(self, obj: Event) -> str:
        return format_html("{} ({})", exact(obj.occurred_at), ago(obj.occurred_at))

    @admin.display(description="Type")
    def type_shown(self, obj: Event) -> str:
        address = f"{reverse('admin:events_types')}#{obj.type}"
        return format_html('<a class="hub-link" href="{}">{}</a>', address, mono(obj.type))

    @admin.display(description="About")
    def subject_shown(self, obj: Event) -> str:
        return mono(obj.subject) if obj.subject else empty()

    @admin.display(description="Handed over")
    def handed_over(self, obj: Event) -> str:
        return ago(obj.fanned_out_at) if obj.fanned_out_at else badge("waiting", "busy")

    @admin.display(description="Id")
    def ref(self, obj: Event) -> str:
        return mono(obj.public_id)

    @admin.display(description="Data")
    def payload(self, obj: Event) -> str:
        if obj.expunged_at is not None:
            return format_html("It was expunged {}.", ago(obj.expunged_at))
        return json_block(obj.data, title="data")
