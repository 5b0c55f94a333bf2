"""What imports have learned, in the admin: looked at, searched, and forgotten."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.jobs.models import RememberedMapping
from apps.jobs.services import remembered
from apps.kernel.admin import HubModelAdmin, ago, confirm_action
from apps.kernel.errors import HubError

SEARCHED = 5_000
"""How many of the latest are looked through by a search."""
SHOWN_MEANINGS = 500


@admin.register(RememberedMapping)
class RememberedMappingAdmin(HubModelAdmin):
    """Who may save mappings may also forget what was remembered: it only makes a proposal."""

    scope_resource = "mappings"
    audit_name = "remembered_mapping"
    can_add = False
    can_change = False
    can_delete = False
    actions = ("forget",)
    actions_detail = ("forget",)
    list_display = ("columns_shown", "dataset_link", "matched", "replaced", "uses", "last")
    list_select_related = ("dataset",)
    list_filter = ("dataset",)
    search_fields = ("fingerprint__exact",)
    search_help_text = "Search in columns and replaced values"
    ordering = ("-updated_at",)
    sortable_by = ("uses", "last")
    list_title = "Remembered columns"
    empty_icon = "psychology"
    empty_title = "Nothing is remembered yet"
    empty_text = (
        "Each import that is started leaves how its columns were matched and what its values mean; the next "
        "file with these columns is matched the same way."
    )
    empty_action = ("Import a file", "admin:jobs_import_new")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[RememberedMapping], search_term: str
    ) -> tuple[QuerySet[RememberedMapping], bool]:
        """By any column or replaced value, whatever its letters: an organization has few of these."""
        words = search_term.casefold().split()
        if not words:
            return queryset, False
        found = [
            row.pk
            for row in queryset.order_by("-updated_at")[:SEARCHED]
            if all(word in _text(row) for word in words)
        ]
        return queryset.filter(pk__in=found[:1_000]), False

    # --- columns

    @admin.display(description="Columns of the file")
    def columns_shown(self, obj: RememberedMapping) -> SafeString:
        more = f" and {len(obj.columns) - 6} more" if len(obj.columns) > 6 else ""
        return format_html('<span class="hub-clip">{}{}</span>', str(obj), more)

    @admin.display(description="Dataset", ordering="dataset__name")
    def dataset_link(self, obj: RememberedMapping) -> SafeString:
        address = reverse("admin:data_list", args=[obj.dataset.slug])
        return format_html('<a class="hub-link" href="{}">{}</a>', address, obj.dataset.name)

    @admin.display(description="Fields filled")
    def matched(self, obj: RememberedMapping) -> int:
        return len(obj.spec.get("fields", []))

    @admin.display(description="Values replaced")
    def replaced(self, obj: RememberedMapping) -> int:
        return sum(1 for _ in remembered.meanings_of(obj))

    @admin.display(description="Last used", ordering="updated_at")
    def last(self, obj: RememberedMapping) -> SafeString:
        return ago(obj.updated_at)

    @confirm_action(
        description="Forget",
        title="Forget {object}?",
        text="The next file with these columns is matched by their names again. Records stay as they are.",
        button="Forget it",
        permissions=["write"],
        icon="delete",
    )
    def forget(self, request: HttpRequest, objects: QuerySet[RememberedMapping]) -> HttpResponse:
        count = 0
        for found in objects.select_related("organization", "dataset"):
            remembered.forget(remembered=found, actor=request.actor)  # type: ignore[attr-defined]
            count += 1
        messages.success(request, "It is forgotten." if count == 1 else f"{count:,} are forgotten.")
        return HttpResponseRedirect(self.list_url())

    # --- the page of one

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.value_view)
        return [
            path("<str:object_id>/forget-value/", view, name="jobs_rememberedmapping_value"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        found = self.get_object(request, object_id)
        if found is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, found):
            raise PermissionDenied
        if request.method == "POST":
            raise PermissionDenied
        titles = {field.name: field.title for field in found.dataset.fields}
        meanings = list(remembered.meanings_of(found))
        taken = {remembered.column_of(item) for item in remembered.fields_of(found)}
        title = f"Columns for {found.dataset.name}"
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            "jobs/remembered.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": found,
                "title": title,
                "hub_trail": [{"title": self.list_title, "link": self.list_url()}, {"title": title}],
                "media": self.media,
                "found": found,
                "rows": [
                    {
                        "column": remembered.column_of(item),
                        "constant": item.constant,
                        "title": titles.get(item.target, item.target),
                        "transforms": remembered.further_transforms(item),
                        "default": item.default,
                    }
                    for item in remembered.fields_of(found)
                ],
                "left_out": [name for name in found.columns if name not in taken],
                "meanings": [
                    {"it": one, "title": titles.get(one.target, one.target)}
                    for one in meanings[:SHOWN_MEANINGS]
                ],
                "more_meanings": max(0, len(meanings) - SHOWN_MEANINGS),
                "may_forget": self.has_write_permission(request, found),
                "value_url": reverse("admin:jobs_rememberedmapping_value", args=[found.public_id]),
                "forget_url": self.object_url(found, "forget"),
                "history_url": self.object_url(found, "history"),
            },
        )

    def value_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Forget what a value means."""
        found = self.object_or_404(request, object_id)
        if request.method != "POST" or not self.has_write_permission(request, found):
            raise PermissionDenied
        value = request.POST.get("value", "")
        try:
            remembered.forget_meaning(
                remembered=found,
                actor=request.actor,  # type: ignore[attr-defined]
                target=request.POST.get("target", ""),
                value=value,
            )
        except HubError as error:
            messages.error(request, error.detail)
        else:
            messages.success(
                request, "Forgotten: " + ("all values" if "all" in request.POST else f"“{value}”")
            )
        return HttpResponseRedirect(self.object_url(found))


def _text(row: RememberedMapping) -> str:
    """What a search looks through."""
    said = [str(column) for column in row.columns]
    said += [f"{one.value} {one.meaning}" for one in remembered.meanings_of(row)]
    return "\n".join(said).casefold()
