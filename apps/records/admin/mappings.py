"""Saved mappings: rows of source, target and transforms, with a preview on a row that one pastes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from apps.kernel.admin import HubModelAdmin, ago, allows
from apps.kernel.admin.saving import refuse
from apps.kernel.admin.widgets import MonoTextInput
from apps.kernel.errors import FieldError, HubError, InvalidInput
from apps.records import selectors
from apps.records.admin.definition_forms import OrderedRows
from apps.records.fields import Field, display
from apps.records.mapping import TRANSFORMS, MappingSpec, check, compile_mapping, pipe_to_text
from apps.records.models import Dataset, Mapping
from apps.records.services import mappings
from apps.records.services.lookups import Finder

SAMPLE_LIMIT = 100_000


class MappingForm(forms.Form):
    name = forms.CharField(max_length=120, widget=UnfoldAdminTextInputWidget)
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget({"rows": 2}))
    unmapped = forms.ChoiceField(
        label="Columns that no row uses",
        choices=[("ignore", "are passed over"), ("error", "make the row wrong")],
        widget=UnfoldAdminSelectWidget,
    )


class RowForm(forms.Form):
    """One target field."""

    target = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget({"aria-label": "Field"}))
    source = forms.CharField(
        required=False, widget=MonoTextInput({"aria-label": "Source", "placeholder": "column or expression"})
    )
    transforms = forms.CharField(
        required=False, widget=MonoTextInput({"aria-label": "Transforms", "placeholder": "trim | lower"})
    )
    default = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget({"aria-label": "Default"}))
    constant = forms.CharField(required=False, widget=UnfoldAdminTextInputWidget({"aria-label": "Constant"}))
    required = forms.BooleanField(required=False, widget=UnfoldBooleanWidget({"aria-label": "Required"}))
    rules = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, targets: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chooser = self.fields["target"]
        assert isinstance(chooser, forms.ChoiceField)
        chooser.choices = [("", "–"), *targets]

    def clean_rules(self) -> Any:
        text = self.cleaned_data.get("rules") or "[]"
        try:
            return json.loads(text)
        except ValueError:
            raise forms.ValidationError("The further rules of this row cannot be read.") from None

    def entry(self) -> dict[str, Any]:
        """The row as the mapping's specification has it."""
        given = self.cleaned_data
        found: dict[str, Any] = {"target": given["target"]}
        for name in ("source", "transforms", "default", "constant"):
            if given.get(name):
                found[name] = given[name]
        if given.get("required"):
            found["required"] = True
        if given.get("rules"):
            found["validation"] = given["rules"]
        return found


class MappingRowSet(OrderedRows):
    def standing(self) -> list[tuple[int, Any]]:
        rows = []
        for number, form in enumerate(self.forms):
            data = form.cleaned_data
            if data.get("DELETE") or not data.get("target"):
                continue
            rows.append((data.get("ORDER") if data.get("ORDER") is not None else number, number, form))
        return [(number, form) for _, number, form in sorted(rows, key=lambda row: row[:2])]


MappingRows = forms.formset_factory(
    RowForm, formset=MappingRowSet, extra=0, can_delete=True, can_order=True, max_num=250, validate_max=True
)


@admin.register(Mapping)
class MappingAdmin(HubModelAdmin):
    scope_resource = "mappings"
    audit_name = "mapping"
    list_display = ("name", "dataset_link", "rows_count", "changed")
    list_select_related = ("dataset",)
    list_filter = ("dataset",)
    search_fields = ("name__istartswith",)
    search_help_text = "Search by the beginning of the name"
    palette_fields = ("name",)
    ordering = ("name",)
    empty_icon = "alt_route"
    empty_title = "No mappings yet"
    empty_text = (
        "A mapping says which column of a source goes to which field, and how its values are put right on "
        "the way. Imports, pulls and pushes use the same ones."
    )

    class Media:
        js = ("hub/rows.js", "hub/mapping.js")

    @admin.display(description="Dataset", ordering="dataset__name")
    def dataset_link(self, obj: Mapping) -> str:
        address = reverse("admin:records_dataset_change", args=[obj.dataset.slug])
        return format_html('<a class="hub-link" href="{}">{}</a>', address, obj.dataset.name)

    @admin.display(description="Fields mapped")
    def rows_count(self, obj: Mapping) -> int:
        return len(obj.spec.get("fields", []))

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, obj: Mapping) -> str:
        return ago(obj.updated_at)

    def service_delete(self, request: HttpRequest, obj: Any) -> None:
        mappings.remove(mapping=obj, actor=request.actor)  # type: ignore[attr-defined]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.preview_view)
        return [path("preview/", view, name="records_mapping_preview"), *super().get_urls()]

    # --- pages

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        organization = request.organization  # type: ignore[attr-defined]
        slug = request.GET.get("dataset", "")
        dataset = selectors.datasets_of(organization).filter(slug=slug).first() if slug else None
        if dataset is None:
            return self._page(request, "hub/records/mapping_start.html", None, {
                "datasets": selectors.datasets_of(organization),
            })  # fmt: skip
        return self._editor(request, dataset, None)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        mapping = self.get_object(request, object_id)
        if mapping is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, mapping):
            raise PermissionDenied
        if request.method == "POST" and not self.has_change_permission(request):
            raise PermissionDenied
        return self._editor(request, mapping.dataset, mapping)

    def _page(
        self, request: HttpRequest, template: str, mapping: Mapping | None, context: dict[str, Any]
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        title = mapping.name if mapping is not None else "New mapping"
        return TemplateResponse(
            request,
            template,
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": mapping,
                "title": title,
                "hub_trail": [{"title": "Mappings", "link": self.list_url()}, {"title": title}],
                "media": self.media,
                "may_save": self.has_change_permission(request)
                if mapping
                else self.has_add_permission(request),
                "delete_url": self.object_url(mapping, "delete")
                if mapping is not None and self.has_delete_permission(request)
                else "",
                **context,
            },
        )

    def _editor(self, request: HttpRequest, dataset: Dataset, mapping: Mapping | None) -> HttpResponse:
        posted = request.POST if request.method == "POST" else None
        targets = [(f.name, f"{f.title} *" if f.required else f.title) for f in dataset.fields]
        initial = (
            {
                "name": mapping.name,
                "description": mapping.description,
                "unmapped": mapping.spec.get("unmapped"),
            }
            if mapping is not None
            else {"unmapped": "ignore"}
        )
        form = MappingForm(posted, initial=initial)
        rows = MappingRows(
            posted, prefix="f", initial=_rows(dataset, mapping), form_kwargs={"targets": targets}
        )
        if posted is not None and form.is_valid() and rows.is_valid():
            saved = self._save(request, dataset, mapping, form, rows)
            if saved is not None:
                return HttpResponseRedirect(self.object_url(saved))
        return self._page(
            request,
            "hub/records/mapping_form.html",
            mapping,
            {
                "dataset": dataset,
                "form": form,
                "rows": rows,
                "empty_row": rows.empty_form,
                "columns": mapping.columns if mapping is not None else [],
                "transforms": sorted(TRANSFORMS.values(), key=lambda t: t.name),
                "preview_url": reverse("admin:records_mapping_preview"),
                "sample": json.dumps(_sample(dataset, mapping), indent=2, ensure_ascii=False),
            },
        )

    def _save(
        self, request: HttpRequest, dataset: Dataset, mapping: Mapping | None, form: MappingForm, rows: Any
    ) -> Mapping | None:
        standing = rows.standing()
        spec = {"fields": [row.entry() for _, row in standing], "unmapped": form.cleaned_data["unmapped"]}
        try:
            saved = mappings.save(
                organization=request.organization,  # type: ignore[attr-defined]
                dataset=dataset,
                name=form.cleaned_data["name"],
                description=form.cleaned_data["description"],
                spec=spec,
                actor=request.actor,  # type: ignore[attr-defined]
                mapping=mapping,
                columns=mapping.columns if mapping is not None else (),
            )
        except InvalidInput as error:
            _place(form, standing, error.errors)
            return None
        except HubError as error:
            refuse(form, error)
            return None
        messages.success(request, f"The mapping “{saved.name}” was saved.")
        return saved

    def preview_view(self, request: HttpRequest) -> JsonResponse:
        """What a mapping makes of one row; nothing is written."""
        if request.method != "POST" or not all(allows(request, f"{r}:read") for r in ("mappings", "records")):
            raise PermissionDenied
        answer = _preview(request.organization, request.POST)  # type: ignore[attr-defined]
        return JsonResponse(answer, headers={"Cache-Control": "no-store"})


def _rows(dataset: Dataset, mapping: Mapping | None) -> list[dict[str, Any]]:
    """The rows of a saved mapping, or one for each field that a new one will want."""
    if mapping is None:
        wanted = [f for f in dataset.fields if f.required or f.name in dataset.slots] or list(
            dataset.fields[:5]
        )
        return [{"target": f.name, "source": f.name} for f in wanted]
    spec = MappingSpec.from_dict(mapping.spec)
    return [
        {
            "target": item.target,
            "source": item.source,
            "transforms": pipe_to_text(item.transforms),
            "default": _text(item.default),
            "constant": _text(item.constant),
            "required": item.required,
            "rules": json.dumps([{"rule": rule.name, "value": rule.value} for rule in item.validation]),
        }
        for item in spec.fields
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _sample(dataset: Dataset, mapping: Mapping | None) -> dict[str, Any]:
    if mapping is not None and mapping.columns:
        return dict.fromkeys(mapping.columns, "")
    return {row["source"]: "" for row in _rows(dataset, mapping) if row.get("source")}


def _place(form: MappingForm, standing: Sequence[tuple[int, Any]], errors: Sequence[FieldError]) -> None:
    for error in errors:
        parts = [part for part in error.pointer.split("/") if part]
        if len(parts) >= 2 and parts[0] == "fields" and parts[1].isdigit() and int(parts[1]) < len(standing):
            row = standing[int(parts[1])][1]
            row.add_error(parts[2] if len(parts) > 2 and parts[2] in row.fields else None, error.detail)
        else:
            form.add_error(parts[0] if parts and parts[0] in form.fields else None, error.detail)


def _preview(organization: Any, data: Any) -> dict[str, Any]:
    dataset = selectors.datasets_of(organization).filter(slug=data.get("dataset", "")).first()
    if dataset is None:
        return {"problem": "The dataset does not exist."}
    try:
        sample = json.loads(data.get("sample", "")[:SAMPLE_LIMIT])
        spec_data = json.loads(data.get("spec", "")[:SAMPLE_LIMIT])
    except ValueError as error:
        return {"problem": f"The sample row is not valid JSON: {error}."}
    if not isinstance(sample, dict):
        return {"problem": "The sample row must be a JSON object: names and values."}
    try:
        spec = MappingSpec.from_dict(spec_data)
        errors = check(spec, dataset.fields)
        if errors:
            return {"errors": [{"pointer": e.pointer, "text": e.detail} for e in errors]}
        mapper = compile_mapping(dataset.fields, spec, timezone=organization.timezone)
        values, problems = mapper.map_row(sample, lookup=Finder(organization))
    except InvalidInput as error:
        return {"errors": [{"pointer": e.pointer, "text": e.detail} for e in error.errors] or [
            {"pointer": "", "text": error.detail}
        ]}  # fmt: skip
    fields = dataset.fields_by_name
    return {
        "values": [_shown(fields[name], value) for name, value in (values or {}).items() if name in fields],
        "problems": [{"field": p.field, "text": p.message} for p in problems],
    }


def _shown(field: Field, value: Any) -> dict[str, Any]:
    return {
        "name": field.name,
        "label": field.title,
        "text": "••••••" if field.sensitive and value is not None else display(value, field),
        "blank": value is None,
    }
