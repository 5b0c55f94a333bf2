"""Datasets: what the organization holds, how many of each, and the definition of its own ones."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.enums import ActionVariant

from apps.kernel.admin import HubModelAdmin, ago, badge, confirm_action, mono, number
from apps.kernel.admin.saving import refuse
from apps.kernel.errors import HubError, InvalidInput
from apps.records import selectors
from apps.records.admin.definition_forms import DatasetForm, FieldRows, place_errors, rows_of
from apps.records.fields import FIELD_TYPES, Field
from apps.records.models import Dataset, DatasetCount
from apps.records.services import datasets

# What a field's row shows when it is unfolded.
MORE_OPTIONS = (
    "help", "default", "min_length", "max_length", "pattern", "minimum", "maximum", "max_digits",
    "decimal_places", "currency", "format", "sensitive",
)  # fmt: skip


@admin.register(Dataset)
class DatasetAdmin(HubModelAdmin):
    scope_resource = "datasets"
    audit_name = "dataset"
    list_display = ("title", "slug_shown", "records", "kind_badge", "fields_count", "changed")
    list_filter = ("kind",)
    search_fields = ("name__istartswith", "slug__istartswith")
    search_help_text = "Search by the beginning of the name"
    palette_fields = ("name",)
    ordering = ("archived_at", "name")
    can_delete = False
    actions_detail = ("archive",)
    empty_icon = "dataset"
    add_label = "Define a dataset"

    class Media:
        js = ("hub/rows.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dataset]:
        counted = (
            DatasetCount.objects.filter(dataset=OuterRef("pk"))
            .order_by()
            .values("dataset")
            .annotate(total=Sum("delta"))
            .values("total")
        )
        rows: QuerySet[Dataset] = super().get_queryset(request)
        return rows.annotate(live_records=Coalesce(Subquery(counted), 0)).select_related("organization")

    def ref_of(self, obj: Any) -> str:
        return str(obj.slug)

    def object_url(self, obj: Any, view: str = "change") -> str:
        """By the slug as it is: `gps_data`, not `gps_5Fdata`."""
        return reverse(f"admin:records_dataset_{view}", args=[obj.slug])

    def by_refs(self, request: HttpRequest, refs: Any) -> QuerySet[Dataset]:
        return self.get_queryset(request).filter(slug__in=list(refs))

    # --- columns

    @admin.display(description="Dataset", ordering="name")
    def title(self, obj: Dataset) -> str:
        icon = obj.icon or "database"
        mark = format_html('<span class="material-symbols-outlined hub-inline-icon">{}</span>', icon)
        return format_html("{} {}", mark, obj.name)

    @admin.display(description="Identifier", ordering="slug")
    def slug_shown(self, obj: Dataset) -> str:
        return mono(obj.slug)

    @admin.display(description="Records")
    def records(self, obj: Any) -> str:
        shown = number(obj.live_records)
        if obj.archived_at is not None:
            return shown
        address = reverse("admin:data_list", args=[obj.slug])
        return format_html('<a class="hub-link hub-right" href="{}">{}</a>', address, shown)

    @admin.display(description="Kind", ordering="kind")
    def kind_badge(self, obj: Dataset) -> str:
        if obj.archived_at is not None:
            return badge("Archived", "warn", dot=False)
        return badge(
            obj.get_kind_display(), "busy" if obj.kind == Dataset.Kind.CUSTOM else "quiet", dot=False
        )

    @admin.display(description="Fields")
    def fields_count(self, obj: Dataset) -> str:
        return number(len(obj.fields))

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, obj: Dataset) -> str:
        return ago(obj.updated_at)

    # --- pages

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Define a dataset."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._editor(request, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Look at a dataset's definition; change it if it is the organization's own."""
        dataset = self.find(request, object_id)
        if dataset is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, dataset):
            raise PermissionDenied
        may_change = (
            dataset.kind == Dataset.Kind.CUSTOM
            and dataset.archived_at is None
            and self.has_change_permission(request)
        )
        if may_change:
            return self._editor(request, dataset)
        if request.method == "POST":
            raise PermissionDenied
        return self._page(request, "hub/records/dataset.html", dataset, {})

    def _page(
        self, request: HttpRequest, template: str, dataset: Dataset | None, context: dict[str, Any]
    ) -> HttpResponse:
        known: dict[str, Any] = {}
        if dataset is not None:
            actions = self._get_actions_navigation(
                self.actions_detail, self.get_actions_detail(request, dataset.slug), dataset.slug
            )
            live = dataset.archived_at is None
            known = {
                "original": dataset,
                "actions_detail": actions if dataset.kind == Dataset.Kind.CUSTOM and live else [],
                "fields": [_described(dataset, field) for field in dataset.fields],
                "schema": selectors.json_schema_of(dataset),
                "count": selectors.count(dataset),
                "data_url": reverse("admin:data_list", args=[dataset.slug]) if live else "",
            }
        request.current_app = self.admin_site.name
        title = dataset.name if dataset is not None else "New dataset"
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "dataset": dataset,
                "title": title,
                "hub_trail": [{"title": "Datasets", "link": self.list_url()}, {"title": title}],
                "media": self.media,
                **known,
                **context,
            },
        )

    def _editor(self, request: HttpRequest, dataset: Dataset | None) -> HttpResponse:
        organization = request.organization  # type: ignore[attr-defined]
        references = list(selectors.datasets_of(organization).values_list("slug", "name"))
        posted = request.POST if request.method == "POST" else None
        initial = (
            {n: getattr(dataset, n) for n in ("name", "singular", "description", "icon")} if dataset else None
        )
        form = DatasetForm(posted, initial=initial, fixed=dataset is not None)
        rows = FieldRows(
            posted,
            prefix="f",
            initial=rows_of(dataset.fields if dataset is not None else (Field("", "text"),)),
            form_kwargs={"references": references},
        )
        key, title = (
            (posted.get("key_field", ""), posted.get("title_field", ""))
            if posted is not None
            else _numbers(dataset)
        )
        if posted is not None and form.is_valid() and rows.is_valid():
            saved = self._save(request, dataset, form, rows, key, title)
            if saved is not None:
                return HttpResponseRedirect(self.object_url(saved))
        context = {
            "form": form,
            "rows": rows,
            "empty_row": rows.empty_form,
            "key": key,
            "title_row": title,
            "more_options": MORE_OPTIONS,
        }
        return self._page(request, "hub/records/dataset_form.html", dataset, context)

    def _save(
        self,
        request: HttpRequest,
        dataset: Dataset | None,
        form: DatasetForm,
        rows: Any,
        key: str,
        title: str,
    ) -> Dataset | None:
        standing = rows.standing()
        stored = {item.get("name"): item for item in (dataset.definition if dataset is not None else [])}
        fields = [row.definition(stored.get(row.cleaned_data.get("name"))) for _, row in standing]
        names = {str(number): item["name"] for (number, _), item in zip(standing, fields, strict=True)}
        values = {n: form.cleaned_data[n] for n in ("name", "singular", "description", "icon")}
        values |= {"key_field": names.get(key, ""), "title_field": names.get(title, "")}
        actor = request.actor  # type: ignore[attr-defined]
        try:
            if dataset is None:
                organization = request.organization  # type: ignore[attr-defined]
                saved = datasets.define(
                    organization=organization,
                    slug=form.cleaned_data["slug"],
                    fields=fields,
                    actor=actor,
                    **values,
                )
            else:
                same = [_bare(f) for f in fields] == [_bare(f) for f in dataset.definition]
                saved = datasets.change(
                    dataset=dataset, actor=actor, fields=None if same else fields, **values
                )
        except InvalidInput as error:
            place_errors(form, rows, standing, error.errors)
            if not error.errors:
                form.add_error(None, error.detail)
            return None
        except HubError as error:
            refuse(form, error)
            return None
        messages.success(request, f"The dataset “{saved.name}” was saved.")
        return saved

    @confirm_action(
        description="Archive",
        title="Archive the dataset {object}?",
        text="It disappears from the menu, the API and mappings. Its records are kept.",
        danger=True,
        icon="archive",
        permissions=("change",),
        variant=ActionVariant.DEFAULT,
    )
    def archive(self, request: HttpRequest, objects: QuerySet[Dataset]) -> HttpResponse:
        for dataset in objects:
            datasets.archive(dataset=dataset, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"“{dataset.name}” was archived.")
        return HttpResponseRedirect(self.list_url())


def _bare(item: Any) -> dict[str, Any]:
    return {k: v for k, v in item.items() if v not in (None, "", False, [], ())}


def _numbers(dataset: Dataset | None) -> tuple[str, str]:
    """Which rows hold the key and the title."""
    if dataset is None:
        return "0", "0"
    names = [f.name for f in dataset.fields]

    def position(name: str) -> str:
        return str(names.index(name)) if name in names else ""

    return position(dataset.key_field), position(dataset.title_field)


def _described(dataset: Dataset, field: Field) -> dict[str, Any]:
    """A field as the read-only table shows it."""
    notes = []
    if field.name == dataset.key_field:
        notes.append("key")
    if field.name == dataset.title_field:
        notes.append("title")
    notes += [
        word
        for word, holds in (
            ("required", field.required),
            ("unique", field.unique),
            ("filter and sort", field.name in dataset.slots),
            ("sensitive", field.sensitive),
        )
        if holds
    ]
    limits = []
    if field.reference:
        limits.append(f"key of {field.reference}")
    if field.choices:
        limits.append(
            ", ".join(label for _, label in field.choices[:8]) + ("…" if len(field.choices) > 8 else "")
        )
    for option, text in (
        ("max_length", "at most {} characters"),
        ("pattern", "matches {}"),
        ("minimum", "from {}"),
        ("maximum", "up to {}"),
        ("decimal_places", "{} decimals"),
        ("currency", "in {}"),
    ):
        value = getattr(field, option)
        if value is not None:
            limits.append(text.format(value))
    kind = FIELD_TYPES[field.type].label if field.type in FIELD_TYPES else field.type
    return {"field": field, "kind": kind, "notes": notes, "limits": "; ".join(limits)}
