"""Ordering an export in the admin: dataset, records, columns, form; with a count and the first rows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.jobs import selectors
from apps.jobs.admin.delivery_forms import DeliverForm
from apps.jobs.admin.export_forms import (
    Begun,
    HowForm,
    WhichForm,
    column_rows,
    columns_given,
    initial_of_job,
    initial_of_list,
    initial_of_template,
)
from apps.jobs.admin.job_page import state_of
from apps.jobs.models import ExportTemplate, Job
from apps.jobs.services import export_preview, export_templates, exports
from apps.jobs.statuses import JobType
from apps.kernel.admin import allows
from apps.kernel.errors import HubError, InvalidInput, NotFound
from apps.records import selectors as records
from apps.records.models import Dataset

EARLIER = 8


class ExportPages:
    """The views of exports, mixed into the admin of jobs."""

    admin_site: Any
    opts: Any
    media: Any

    def export_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("jobs/export/", wrap(self.export_new), name="jobs_export_new"),
            path("jobs/export/", wrap(self.export_new), name="jobs_job_export"),
            path(
                "jobs/export/template/<str:ref>/delete/",
                wrap(self.export_template_delete),
                name="jobs_export_template_delete",
            ),
            path("jobs/export/preview/", wrap(self.export_preview), name="jobs_export_preview"),
        ]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """An export reads records: both rights are needed. (Named as in django-import-export.)"""
        return allows(request, "jobs:write") and allows(request, "records:read")

    def export_new(self, request: HttpRequest) -> HttpResponse:
        """Choose a dataset, then what and how; ordering it leads to the job's page."""
        dataset = self._dataset(request)
        if dataset is None:
            return self._page(request, "New export", {"datasets": records.datasets_of(self._of(request))})
        post = request.POST if request.method == "POST" else None
        initial, filters, columns, headers = self._begin(request, dataset)
        which = WhichForm(post, dataset=dataset, initial=initial | WhichForm.initial_of(dataset, filters))
        how = HowForm(post, dataset=dataset, initial=initial)
        deliver = DeliverForm(post, organization=self._of(request))
        problem = ""
        if post is not None:
            columns, headers = columns_given(post)
            if not columns:
                problem = "Choose at least one column."
            elif which.is_valid() and how.is_valid() and deliver.is_valid():
                try:
                    if "_template" in post:
                        return self._keep(request, dataset, which, how, columns, headers)
                    job = self._order(request, dataset, which, how, deliver, columns, headers)
                except InvalidInput as error:
                    problem = "" if deliver.place_errors(error) else error.detail
                except HubError as error:
                    problem = error.detail
                else:
                    return HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job.number]))
        shown = columns or [field.name for field in dataset.fields]
        settings = {"columns": shown, "headers": headers, "ordering": initial.get("sort-0", "")}
        return self._page(
            request,
            f"Export {dataset.name}",
            {
                "dataset": dataset,
                "which": which,
                "how": how,
                "deliver": deliver if allows(request, "locations:read") else None,
                "problem": problem,
                "columns": column_rows(dataset, shown, headers),
                "earlier": self._earlier(request, dataset),
                "templates": self._templates(request, dataset),
                "preview": ""
                if post is not None
                else _preview(dataset, settings, filters, which["search"].value()),
                "narrowed": bool(filters or initial.get("search")),
            },
        )

    def _keep(
        self,
        request: HttpRequest,
        dataset: Dataset,
        which: WhichForm,
        how: HowForm,
        columns: list[str],
        headers: dict[str, str],
    ) -> HttpResponse:
        """Keep what the form says under its name, in the place of a template that was so called."""
        name = how.cleaned_data["name"].strip()
        options = {
            **how.settings(),
            "columns": columns,
            "headers": headers,
            "filters": which.filters(),
            "search": which.cleaned_data["search"],
        }
        kept = selectors.export_templates_of(self._of(request)).filter(dataset=dataset, name=name).first()
        actor = request.actor  # type: ignore[attr-defined]
        if kept is not None:
            template = export_templates.update(template=kept, actor=actor, options=options)
        else:
            template = export_templates.create(
                organization=self._of(request), dataset=dataset, name=name, options=options, actor=actor
            )
        messages.success(request, f"“{template}” is kept: choose it here, or in a schedule.")
        query = urlencode({"dataset": dataset.slug, "template": template.public_id})
        return HttpResponseRedirect(f"{reverse('admin:jobs_export_new')}?{query}")

    def export_template_delete(self, request: HttpRequest, ref: str) -> HttpResponse:
        """Forget a saved export."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_export_permission(request) and allows(request, "jobs:delete")):
            raise PermissionDenied
        template = self._template(request, ref)
        try:
            export_templates.delete(template=template, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"“{template}” was forgotten.")
        except HubError as error:
            messages.error(request, error.detail)
        return HttpResponseRedirect(f"{reverse('admin:jobs_export_new')}?dataset={template.dataset.slug}")

    def _template(self, request: HttpRequest, ref: str) -> ExportTemplate:
        try:
            return selectors.export_template_of(self._of(request), ref)
        except NotFound as error:
            raise Http404(error.detail) from None

    def _templates(self, request: HttpRequest, dataset: Dataset) -> list[dict[str, Any]]:
        """The saved exports of the dataset, to begin with."""
        rows = selectors.export_templates_of(self._of(request)).filter(dataset=dataset).order_by("name")
        page = f"{reverse('admin:jobs_export_new')}?dataset={dataset.slug}&template="
        may_forget = allows(request, "jobs:delete")
        return [
            {
                "name": row.name,
                "url": f"{page}{row.public_id}",
                "chosen": request.GET.get("template") == row.public_id,
                "delete": reverse("admin:jobs_export_template_delete", args=[row.public_id])
                if may_forget
                else "",
            }
            for row in rows[:50]
        ]

    def export_preview(self, request: HttpRequest) -> HttpResponse:
        """The count and the first rows of what the form says, while one fills it in."""
        dataset = self._dataset(request)
        if dataset is None or request.method != "POST":
            raise Http404("There is nothing to preview.")
        which = WhichForm(request.POST, dataset=dataset)
        how = HowForm(request.POST, dataset=dataset)
        columns, headers = columns_given(request.POST)
        if not (which.is_valid() and how.is_valid()):
            wrong = [str(text) for form in (which, how) for texts in form.errors.values() for text in texts]
            return HttpResponse(render_to_string("jobs/export_preview.html", {"problem": wrong[0]}))
        settings = {**how.settings(), "columns": columns, "headers": headers}
        text = _preview(dataset, settings, which.filters(), which.cleaned_data["search"])
        return HttpResponse(text, headers={"Cache-Control": "no-store"})

    # --- parts

    @staticmethod
    def _of(request: HttpRequest) -> Any:
        return request.organization  # type: ignore[attr-defined]

    def _dataset(self, request: HttpRequest) -> Dataset | None:
        if not self.has_export_permission(request):
            raise PermissionDenied
        slug = request.GET.get("dataset", "")
        if not slug and request.GET.get("like"):
            slug = self._like(request).dataset.slug
        if not slug:
            return None
        try:
            return records.dataset_of(self._of(request), slug)
        except NotFound as error:
            raise Http404(error.detail) from None

    def _like(self, request: HttpRequest) -> Job:
        """The earlier export that is to be repeated."""
        try:
            job = selectors.job_of(self._of(request), request.GET["like"])
        except NotFound as error:
            raise Http404(error.detail) from None
        if job.is_import:
            raise Http404("An import is no export.")
        return job

    def _begin(self, request: HttpRequest, dataset: Dataset) -> Begun:
        if request.GET.get("like"):
            return initial_of_job(self._like(request))
        if request.GET.get("template"):
            template = self._template(request, request.GET["template"])
            if template.dataset_id != dataset.pk:
                raise Http404("This template is of another dataset.")
            return initial_of_template(template)
        return initial_of_list(dataset, request.GET)

    def _order(
        self,
        request: HttpRequest,
        dataset: Dataset,
        which: WhichForm,
        how: HowForm,
        deliver: DeliverForm,
        columns: list[str],
        headers: dict[str, str],
    ) -> Job:
        return exports.create(
            organization=self._of(request),
            dataset=dataset,
            actor=request.actor,  # type: ignore[attr-defined]
            user=request.user,  # type: ignore[arg-type]
            filters=which.filters(),
            search=which.cleaned_data["search"],
            password=how.cleaned_data["password"],
            name=how.cleaned_data["name"],
            columns=columns,
            headers=headers,
            destinations=deliver.destinations() if allows(request, "locations:read") else (),
            **how.settings(),
        )

    def _earlier(self, request: HttpRequest, dataset: Dataset) -> list[dict[str, Any]]:
        """The last exports of the dataset that somebody ordered, to download or to repeat."""
        jobs = selectors.jobs_of(self._of(request)).filter(dataset=dataset, job_type=JobType.EXPORT, run=None)
        found = []
        for job in jobs.prefetch_related("artifacts").order_by("-id")[:EARLIER]:
            kept = any(a.kind == "output" and not a.is_expired for a in job.artifacts.all())
            found.append(
                {
                    "job": job,
                    "state": state_of(job),
                    "url": reverse("admin:jobs_job_change", args=[job.number]),
                    "file": reverse("admin:jobs_job_file", args=[job.number, "output"]) if kept else "",
                    "like": f"{reverse('admin:jobs_export_new')}?dataset={dataset.slug}&like={job.number}",
                }
            )
        return found

    def _page(self, request: HttpRequest, title: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
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
                **context,
            },
        )


def _preview(dataset: Dataset, settings: dict[str, Any], filters: dict[str, str], search: Any) -> str:
    """The preview as HTML; a refusal as its sentence."""
    try:
        found = export_preview.preview(dataset, settings, filters, search=str(search or ""))
    except HubError as error:
        return render_to_string("jobs/export_preview.html", {"problem": error.detail})
    return render_to_string("jobs/export_preview.html", {"found": found, "dataset": dataset})
