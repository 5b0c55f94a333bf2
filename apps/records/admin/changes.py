"""Who changed what: changes of records, and the origins that wrote them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from apps.kernel.admin import HubModelAdmin, ago, allows, badge, chips, empty, muted, status_badge
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.admin.filters import WordsFilter
from apps.kernel.admin.paginator import capped_count
from apps.kernel.errors import HubError
from apps.records import selectors
from apps.records.admin.columns import changed_values, title_of
from apps.records.models import Change, Dataset, Origin, Record
from apps.records.services import history, undoing

RECENT = 25
AT_ONCE = 5000
FIELDS_SHOWN = 6


class DatasetFilter(WordsFilter):
    """One dataset's changes."""

    title = "dataset"
    parameter_name = "dataset"

    def choices_for(self, request: HttpRequest) -> list[tuple[str, str]]:
        rows = selectors.datasets_of(request.organization)  # type: ignore[attr-defined]
        return list(rows.values_list("slug", "name"))

    def queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        slug = self.value()
        if not slug:
            return queryset
        organization = request.organization  # type: ignore[attr-defined]
        found = Dataset.objects.filter(organization=organization, slug=slug).values_list("pk", flat=True)
        return queryset.filter(dataset_id=found[0]) if found else queryset.none()


class OperationFilter(WordsFilter):
    title = "operation"
    parameter_name = "operation"

    def choices_for(self, request: HttpRequest) -> list[tuple[str, str]]:
        return list(Change.Operation.choices)


class ChangeChangeList(HubChangeList):
    """Without a dataset, a record or an origin to go by: the latest changes of each dataset, put together."""

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_filters_params(params)
        return {name: value for name, value in found.items() if name not in ("record", "origin")}

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> models.QuerySet[Change]:
        rows: models.QuerySet[Change] = super().get_queryset(request, exclude_parameters)
        record, origin = request.GET.get("record", ""), request.GET.get("origin", "")
        if record:
            record_pk = Record.parse_public_id(record)
            rows = rows.filter(record_id=record_pk) if record_pk else rows.none()
        if origin:
            origin_pk = Origin.parse_public_id(origin)
            rows = rows.filter(origin_id=origin_pk) if origin_pk else rows.none()
        self.is_recent = not (record or origin or request.GET.get("dataset"))
        if self.is_recent:
            rows = rows.filter(pk__in=self._recent(request))
        return rows

    @staticmethod
    def _recent(request: HttpRequest) -> list[Any]:
        """Each part is answered by the index of its dataset; the whole table is never in order by itself."""
        organization = request.organization  # type: ignore[attr-defined]
        datasets = list(selectors.datasets_of(organization).values_list("pk", flat=True)[:100])
        return selectors.latest_changes(datasets, RECENT)[:100]


@admin.register(Change)
class ChangeAdmin(HubModelAdmin):
    """What was written to records, newest first."""

    scope_resource = "records"
    read_only = True
    list_display = ("when", "what", "record_link", "fields_changed", "writer")
    list_display_links = ("when",)
    list_filter = (DatasetFilter, OperationFilter)
    allowed_lookups = ("record", "origin")
    ordering = ("-id",)
    sortable_by = ()
    empty_icon = "history"
    empty_title = "No changes yet"
    empty_text = "Every write to a record is listed here: what it was before, what it is now, and who did it."
    list_before_template = "hub/records/changes_note.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HubChangeList]:
        return ChangeChangeList

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Change]:
        rows: models.QuerySet[Change] = super().get_queryset(request)
        return rows.prefetch_related("dataset", "origin", "record")  # joined, the parts would not be merged

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in ("dataset", "operation", "record", "origin")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        change = self.object_or_404(request, object_id)
        return HttpResponseRedirect(_record_url(change) + "#history")

    @admin.display(description="When")
    def when(self, obj: Change) -> str:
        return ago(obj.created_at)

    @admin.display(description="What")
    def what(self, obj: Change) -> str:
        shown = status_badge(obj.operation)
        return format_html("{} {}", shown, muted("taken back")) if obj.undone_by else shown

    @admin.display(description="Record")
    def record_link(self, obj: Change) -> str:
        return format_html(
            '<a class="hub-link hub-clip" href="{}">{}</a><br>{}',
            _record_url(obj),
            title_of(obj.record, obj.dataset),
            muted(obj.dataset.name),
        )

    @admin.display(description="Fields")
    def fields_changed(self, obj: Change) -> str:
        created = obj.operation == Change.Operation.CREATED
        pairs = changed_values(obj.dataset.fields, None if created else obj.before, obj.after)
        names = list(pairs)
        if not names:
            return empty()
        more = len(names) - FIELDS_SHOWN
        return chips([*names[:FIELDS_SHOWN], *([f"+ {more}"] if more > 0 else [])])

    @admin.display(description="Who")
    def writer(self, obj: Change) -> str:
        address = reverse("admin:records_origin_change", args=[obj.origin.public_id])
        return format_html('<a class="hub-link" href="{}">{}</a>', address, obj.origin)


def _record_url(change: Change) -> str:
    return reverse("admin:data_record", args=[change.dataset.slug, Record(id=change.record_id).public_id])


@admin.register(Origin)
class OriginAdmin(HubModelAdmin):
    """A writer of records: what it wrote, and taking all of it back."""

    scope_resource = "records"
    read_only = True
    list_display = ("name", "kind_badge", "created", "undone")
    ordering = ("-id",)
    sortable_by = ()
    empty_icon = "person_edit"
    empty_title = "Nobody has written a record yet"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """What an origin wrote; POST takes it back, after a page that foretells what will happen."""
        origin: Origin = self.object_or_404(request, object_id)
        changes = Change.objects.filter(origin=origin)
        standing = changes.filter(undone_by=None)
        count = capped_count(standing, AT_ONCE)
        ordered = undoing.at_work(origin)
        may_undo = allows(request, "records:write") and count > 0 and ordered is None
        if request.method == "POST":
            if not allows(request, "records:write"):
                raise PermissionDenied
            return self._undo(request, origin, may_undo)
        foretold = None
        if may_undo and count <= AT_ONCE and "preview" in request.GET:
            foretold = history.undo(origin=origin, actor=request.actor, dry_run=True)  # type: ignore[attr-defined]
        latest = changes.prefetch_related("dataset", "record").order_by("-id")[:RECENT]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": origin,
            "origin": origin,
            "title": str(origin),
            "hub_trail": [
                {"title": "Changes", "link": reverse("admin:records_change_changelist")},
                {"title": str(origin)},
            ],
            "count": count,
            "too_many": count > AT_ONCE,
            "limit": AT_ONCE,
            "may_undo": may_undo,
            "ordered": ordered,
            "foretold": foretold,
            "foretold_conflicts": foretold.conflicts[:50] if foretold else [],
            "rows": [
                (self._operation(c), _record_url(c), c.dataset, title_of(c.record, c.dataset), c.created_at)
                for c in latest
            ],
            "changes_url": f"{reverse('admin:records_change_changelist')}?origin={origin.public_id}",
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "hub/records/origin.html", context)

    @staticmethod
    def _operation(change: Change) -> str:
        return status_badge(change.operation)

    def _undo(self, request: HttpRequest, origin: Origin, may_undo: bool) -> HttpResponse:
        if not may_undo:
            raise Http404("There is nothing to take back here.")
        try:
            result = undoing.undo(origin=origin, actor=request.actor)  # type: ignore[attr-defined]
        except HubError as error:
            messages.error(request, error.detail)
        else:
            if result.in_background:
                messages.success(request, f"{result.total:,} changes are taken back in the background.")
                return HttpResponseRedirect(self.object_url(origin))
            messages.success(request, f"{result.reverted:,} changes were taken back.")
            if result.refused:
                messages.warning(
                    request,
                    f"{result.refused:,} were left as they are, because somebody changed the record later.",
                )
        return HttpResponseRedirect(self.object_url(origin))

    @admin.display(description="Writer")
    def name(self, obj: Origin) -> str:
        return str(obj)

    @admin.display(description="Kind")
    def kind_badge(self, obj: Origin) -> str:
        return badge(obj.kind.replace("_", " "), dot=False)

    @admin.display(description="First wrote")
    def created(self, obj: Origin) -> str:
        return ago(obj.created_at)

    @admin.display(description="Taken back")
    def undone(self, obj: Origin) -> str:
        return ago(obj.undone_at, never="–")
