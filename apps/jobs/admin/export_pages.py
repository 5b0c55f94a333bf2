"""Ordering an export in the admin."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.jobs.services import exports
from apps.jobs.statuses import EXPORTABLE_CHOICES
from apps.kernel.admin import allows
from apps.kernel.admin.saving import refuse
from apps.kernel.errors import HubError, NotFound
from apps.records import selectors as records
from apps.records.models import Dataset


class ExportForm(forms.Form):
    """What to export of a dataset, and how (named as in django-import-export)."""

    format = forms.ChoiceField(choices=EXPORTABLE_CHOICES, widget=UnfoldAdminSelectWidget)
    columns = forms.MultipleChoiceField(
        widget=UnfoldAdminCheckboxSelectMultipleWidget, help_text="In the order of the dataset's fields."
    )
    search = forms.CharField(
        required=False,
        max_length=200,
        help_text="Only records whose key, or an indexed text, begins with this.",
        widget=UnfoldAdminTextInputWidget,
    )
    labels = forms.BooleanField(
        label="Labels as headers",
        required=False,
        help_text="Off: the fields' names, which an import recognizes for sure.",
        widget=UnfoldBooleanSwitchWidget,
    )
    include_metadata = forms.BooleanField(
        label="With ids, versions and times", required=False, widget=UnfoldBooleanSwitchWidget
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        names = [(f.name, f.title) for f in dataset.fields]
        kwargs["initial"] = {"columns": [name for name, _ in names], "format": "csv"} | (
            kwargs.get("initial") or {}
        )
        super().__init__(*args, **kwargs)
        chooser = self.fields["columns"]
        assert isinstance(chooser, forms.MultipleChoiceField)
        chooser.choices = names
        for f in dataset.fields:
            if f.name in records.filterable(dataset) and f.choices:
                self.fields[f"where-{f.name}"] = forms.ChoiceField(
                    label=f"Only {f.title.lower()}",
                    choices=[("", "any"), *f.choices],
                    required=False,
                    widget=UnfoldAdminSelectWidget,
                )

    def filters(self) -> dict[str, str]:
        return {
            name.removeprefix("where-"): value
            for name, value in self.cleaned_data.items()
            if name.startswith("where-") and value
        }


class ExportPages:
    """The views of exports, mixed into the admin of jobs."""

    admin_site: Any
    opts: Any
    media: Any

    def export_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_new)
        return [path("jobs/export/", view, name=name) for name in ("jobs_export_new", "jobs_job_export")]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """An export reads records: both rights are needed. (Named as in django-import-export.)"""
        return allows(request, "jobs:write") and allows(request, "records:read")

    def export_new(self, request: HttpRequest) -> HttpResponse:
        """Choose a dataset, then columns and format; ordering it leads to the job's page."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        organization = request.organization  # type: ignore[attr-defined]
        slug = request.GET.get("dataset", "")
        dataset = None
        form = None
        if slug:
            try:
                dataset = records.dataset_of(organization, slug)
            except NotFound as error:
                raise Http404(error.detail) from None
            form = ExportForm(request.POST if request.method == "POST" else None, dataset=dataset)
            if request.method == "POST" and form.is_valid():
                given = form.cleaned_data
                try:
                    job = exports.create(
                        organization=organization,
                        dataset=dataset,
                        actor=request.actor,  # type: ignore[attr-defined]
                        user=request.user,  # type: ignore[arg-type]
                        format=given["format"],
                        columns=given["columns"],
                        filters=form.filters(),
                        search=given["search"],
                        labels=given["labels"],
                        include_metadata=given["include_metadata"],
                    )
                except HubError as error:
                    refuse(form, error)
                else:
                    return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job.number]))
        request.current_app = self.admin_site.name
        title = f"Export {dataset.name}" if dataset is not None else "New export"
        return TemplateResponse(
            request,
            "jobs/export_new.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": title,
                "media": self.media,
                "hub_trail": [
                    {"title": "Jobs", "link": reverse("admin:jobs_job_changelist")},
                    {"title": title},
                ],
                "dataset": dataset,
                "datasets": records.datasets_of(organization),
                "form": form,
                "count": f"{records.count(dataset):,}" if dataset is not None else "",
            },
        )
