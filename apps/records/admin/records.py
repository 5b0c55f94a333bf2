"""The list of a dataset's records: `/admin/data/clients/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, reverse

from apps.kernel.admin import HubModelAdmin, allows, confirm_action
from apps.kernel.admin.changelist import HubChangeList
from apps.kernel.admin.display import within
from apps.kernel.errors import BadRequest, NotFound
from apps.records import selectors
from apps.records.admin import filters
from apps.records.admin.columns import Column, columns_of, shown_fields
from apps.records.admin.filters import TAKEN
from apps.records.models import SLOTS, Change, Dataset, Record
from apps.records.services import history, records

SUGGESTED = 20


class RecordChangeList(HubChangeList):
    """Filters, search and order go to the selector, which knows what an index answers."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.dataset: Dataset = request.hub_dataset  # type: ignore[attr-defined]
        self.deleted = "deleted" in request.GET
        super().__init__(request, *args, **kwargs)
        self.title = self.dataset.name
        self.search_help_text = _search_help(self.dataset)

    def url_for_result(self, result: models.Model) -> str:
        assert isinstance(result, Record)
        return reverse("admin:data_record", args=[self.dataset.slug, result.public_id])

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> models.QuerySet[Record]:
        self.filter_specs, self.has_filters, rest, _, self.has_active_filters = self.get_filters(request)
        if set(rest) - {"deleted"}:
            raise IncorrectLookupParameters(sorted(rest))
        wanted: dict[str, str] = {}
        for spec in self.filter_specs:
            wanted |= spec.values
        self.clear_all_filters_qs = "?deleted=1" if self.deleted else "?"
        rows = self.root_queryset
        try:
            rows = rows & selectors.filtered(
                self.dataset, wanted, search=self.query, include_deleted=self.deleted
            )
        except BadRequest as refusal:
            messages.error(request, refusal.detail)
            rows = rows.none()
        if self.deleted:
            rows = rows.filter(deleted_at__isnull=False)
        return _ordered(rows, self.get_ordering(request, rows))

    def get_ordering(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> list[str]:
        """One column, and the primary key in the same direction: what the index holds."""
        number = self.params.get("o", "").split(".")[0]
        try:
            chosen = self.list_display[abs(int(number))]
        except (ValueError, IndexError):
            return ["-id"]
        column = getattr(chosen, "admin_order_field", None)
        if column is None:
            return ["-id"]
        sign = "-" if number.startswith("-") else ""
        return [f"{sign}{column}", f"{sign}id"]


def _ordered(rows: models.QuerySet[Record], ordering: list[str]) -> models.QuerySet[Record]:
    column = ordering[0].lstrip("-")
    if column in SLOTS:
        # Always true for a slot in use; said so that the partial index of the slot fits.
        rows = rows.filter(**{f"{column}__isnull": False})
    return rows.order_by(*ordering)


def _search_help(dataset: Dataset) -> str:
    names = [dataset.fields_by_name[dataset.key_field].title] if dataset.key_field else []
    kinds = ("text", "email", "choice", "reference", "phone", "url")
    names += [
        dataset.fields_by_name[n].title for n in dataset.slots if dataset.fields_by_name[n].type in kinds
    ]
    return f"Beginning of {', '.join(within(name) for name in names[:4])}" if names else "Search"


@admin.register(Record)
class RecordAdmin(HubModelAdmin):
    """One class for the records of every dataset; the dataset is in the address."""

    scope_resource = "records"
    audit_name = "record"
    list_export = False  # a job does it, however many there are
    change_list_template = "hub/records/change_list.html"
    search_fields: ClassVar[Sequence[str]] = ("key",)
    list_max_show_all = 0
    actions = ("delete_records", "restore_records")
    list_select_related = ()

    # --- which records

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Record]:
        rows: models.QuerySet[Record] = super().get_queryset(request)
        dataset: Dataset | None = getattr(request, "hub_dataset", None)
        return rows.filter(dataset=dataset) if dataset is not None else rows

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HubChangeList]:
        return RecordChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns: list[Column] | None = getattr(request, "hub_columns", None)
        if columns is None:
            columns = request.hub_columns = columns_of(request.hub_dataset)  # type: ignore[attr-defined]
        return columns

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        found: list[Any] | None = getattr(request, "hub_filters", None)
        if found is None:
            dataset: Dataset | None = getattr(request, "hub_dataset", None)
            found = [] if dataset is None else list(filters.filters_of(dataset))
            if dataset is not None:
                request.hub_facets = filters.facets(dataset, found)  # type: ignore[attr-defined]
            request.hub_filters = found  # type: ignore[attr-defined]
        return found

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        if request is None:
            return False
        known = {name for made in self.get_list_filter(request) for name in made.parameters()}
        return lookup in known or lookup == "deleted"

    def known_count(self, request: HttpRequest, rows: models.QuerySet[Any]) -> int | None:
        """The dataset keeps count of its live records."""
        asked = set(request.GET) - {"p", "o", "e"}
        return None if asked else selectors.count(request.hub_dataset)  # type: ignore[attr-defined]

    def empty_state(self, request: HttpRequest) -> dict[str, Any]:
        dataset: Dataset = request.hub_dataset  # type: ignore[attr-defined]
        one = within(dataset.singular or dataset.name)
        if "deleted" in request.GET:
            text = f"A {one} that is deleted can be looked at and restored here."
            return {"icon": "delete", "title": f"No deleted {within(dataset.name)}", "text": text}
        text = f"{dataset.description} Add one by hand, import a file, or let an integration bring them in."
        may = self.has_add_permission(request)
        return {
            "icon": dataset.icon or "database",
            "title": f"No {within(dataset.name)} yet",
            "text": text.strip(),
            "label": f"Add {one}" if may else "",
            "href": reverse("admin:data_add", args=[dataset.slug]) if may else "",
        }

    def list_exports(self, request: HttpRequest) -> list[tuple[str, str]]:
        """By a job, which knows the fields, and takes what this list shows to begin with."""
        dataset: Dataset = request.hub_dataset  # type: ignore[attr-defined]
        address = _export_url(request, dataset) if allows(request, "jobs:write") else ""
        return [("choose columns and format", address)] if address else []

    # --- addresses

    def object_url(self, obj: models.Model, view: str = "change") -> str:
        assert isinstance(obj, Record)
        return reverse("admin:data_record", args=[_slug_of(obj), obj.public_id])

    def get_urls(self) -> list[URLPattern]:
        """Only the two names that other pages reverse; the pages themselves are under `/admin/data/`."""
        from django.urls import path

        wrap = self.admin_site.admin_view
        return [
            path("", wrap(to_datasets), name="records_record_changelist"),
            path("<str:object_id>/change/", wrap(self.to_record), name="records_record_change"),
        ]

    def to_record(self, request: HttpRequest, object_id: str) -> HttpResponse:
        record = self.get_object(request, object_id)
        if record is None or not self.has_view_permission(request, record):
            raise Http404("There is no such record.")
        return HttpResponseRedirect(self.object_url(record))

    # --- the list and its deeds

    def list_view(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset = dataset_or_404(request, slug)
        request.hub_dataset = dataset  # type: ignore[attr-defined]
        deleted = "deleted" in request.GET
        list_url = reverse("admin:data_list", args=[slug])
        context = {
            "dataset": dataset,
            "deleted": deleted,
            "title": dataset.name,
            "hub_trail": [
                {"title": dataset.name, "link": list_url},
                *([{"title": "Deleted"}] if deleted else []),
            ],
            "add_url": reverse("admin:data_add", args=[slug]) if self.has_add_permission(request) else "",
            "list_url": list_url,
            "definition_url": reverse("admin:records_dataset_change", args=[slug]),
            "changes_url": f"{reverse('admin:records_change_changelist')}?dataset={slug}",
            "may_see_definition": allows(request, "datasets:read"),
            "import_url": _url("admin:jobs_import_new", slug) if allows(request, "jobs:write") else "",
            "export_url": _export_url(request, dataset) if allows(request, "jobs:write") else "",
        }
        return self.changelist_view(request, context)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        actions.pop("delete_records" if "deleted" in request.GET else "restore_records", None)
        return actions

    @confirm_action(
        description="Delete",
        text="They stay as deleted records with their history and can be restored.",
        danger=True,
        icon="delete",
        permissions=("delete",),
    )
    def delete_records(self, request: HttpRequest, objects: models.QuerySet[Record]) -> None:
        dataset: Dataset = request.hub_dataset  # type: ignore[attr-defined]
        ids = list(objects.values_list("pk", flat=True))
        count = records.delete(dataset=dataset, ids=ids, actor=request.actor)  # type: ignore[attr-defined]
        messages.success(request, f"{_many(count, 'record')} deleted.")

    @confirm_action(
        description="Restore",
        text="Each gets back the values that it had when it was deleted.",
        icon="restore_from_trash",
        permissions=("write",),
    )
    def restore_records(self, request: HttpRequest, objects: models.QuerySet[Record]) -> None:
        done = 0
        for record in objects.filter(deleted_at__isnull=False).order_by("pk")[:500]:
            last = Change.objects.filter(record=record).order_by("-id").select_related("dataset").first()
            if last is not None and last.operation == Change.Operation.DELETED:
                history.undo_change(change=last, actor=request.actor)  # type: ignore[attr-defined]
                done += 1
        messages.success(request, f"{_many(done, 'record')} restored.")

    def options_view(self, request: HttpRequest, slug: str) -> JsonResponse:
        """Suggestions for a reference: keys and titles that begin with the text."""
        dataset = dataset_or_404(request, slug)
        text = request.GET.get("q", "")[:100]
        try:
            rows = selectors.filtered(dataset, search=text)[:SUGGESTED]
        except BadRequest:
            rows = Record.objects.none()
        found = [
            {"value": row.key, "label": str(row.data.get(dataset.title_field) or "")[:80]}
            for row in rows
            if row.key
        ]
        return JsonResponse({"options": found}, headers={"Cache-Control": "no-store"})


def _slug_of(record: Record) -> str:
    return record.dataset.slug


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _url(name: str, slug: str) -> str:
    from apps.kernel.admin.dashboard import resolve

    return resolve(f"{name}?dataset={slug}")


def _export_url(request: HttpRequest, dataset: Dataset) -> str:
    """Where what the list shows is exported: with its filters, search, order and columns."""
    page = _url("admin:jobs_export_new", dataset.slug)
    if not page:
        return ""
    fields = shown_fields(dataset)
    wanted = {name: value for name, value in request.GET.items() if name not in TAKEN and value}
    if request.GET.get("q"):
        wanted["search"] = request.GET["q"]
    number = request.GET.get("o", "").split(".")[0]
    if number.lstrip("-").isdigit() and 0 < abs(int(number)) <= len(fields):
        # The first column of a list are the boxes to tick.
        name = fields[abs(int(number)) - 1].name
        if name in selectors.filterable(dataset):
            wanted["ordering"] = f"-{name}" if number.startswith("-") else name
    if wanted:
        wanted["columns"] = ",".join(field.name for field in fields)
    return f"{page}&{urlencode(wanted)}" if wanted else page


def dataset_or_404(request: HttpRequest, slug: str) -> Dataset:
    """The organization's dataset, for whoever may read records."""
    organization = getattr(request, "organization", None)
    if organization is None or not allows(request, "records:read"):
        raise Http404("There is no such dataset.")
    try:
        return selectors.dataset_of(organization, slug)
    except NotFound as error:
        raise Http404(error.detail) from error


def to_datasets(request: HttpRequest) -> HttpResponse:
    return HttpResponseRedirect(reverse("admin:records_dataset_changelist"))
