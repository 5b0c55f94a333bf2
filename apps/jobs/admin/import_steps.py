"""The import, step by step; each step is an address that can be come back to.

- `jobs/import/`: dataset and source (`import_start`)
- `jobs/import/<number>/file/`: how the file is read, and its first rows
- `jobs/import/<number>/columns/`: what the columns mean, and how to import
- `jobs/import/<number>/check/`: what would happen; confirm
- `jobs/job/<number>/change/`: progress and result
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from apps.jobs import selectors
from apps.jobs.admin.import_corrections import ImportCorrections
from apps.jobs.admin.import_forms import FileOptionsForm, SettingsForm
from apps.jobs.admin.import_matching import NEW, SHOWN_OPTIONS, Matching
from apps.jobs.admin.import_start import ImportStart
from apps.jobs.models import Job
from apps.jobs.services import imports, new_fields, previews, samples, uploads
from apps.jobs.services.new_fields import NewField
from apps.jobs.statuses import JobStatus
from apps.kernel.admin import allows, duration
from apps.kernel.admin.saving import refuse
from apps.kernel.errors import HubError, InvalidInput, NotFound
from apps.records.mapping import TRANSFORMS
from apps.records.models import Mapping
from apps.records.services import mappings

STEPS = (("file", "File"), ("columns", "Columns"), ("check", "Check"), ("result", "Result"))


class ImportSteps(ImportStart, ImportCorrections):
    """The views of the steps, mixed into the admin of jobs."""

    admin_site: Any
    opts: Any

    def import_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            *self.start_urls(),
            path("jobs/import/<str:number>/", wrap(self.import_at), name="jobs_import"),
            path("jobs/import/<str:number>/file/", wrap(self.import_file), name="jobs_import_file"),
            path("jobs/import/<str:number>/columns/", wrap(self.import_columns), name="jobs_import_columns"),
            path("jobs/import/<str:number>/sample/", wrap(self.import_sample), name="jobs_import_sample"),
            path("jobs/import/<str:number>/check/", wrap(self.import_check), name="jobs_import_check"),
            *self.correction_urls(),
        ]

    # --- what the steps share

    def has_import_permission(self, request: HttpRequest) -> bool:
        """An import writes records: both rights are needed. (Named as in django-import-export.)"""
        return allows(request, "jobs:write") and allows(request, "records:write")

    def _may(self, request: HttpRequest) -> None:
        if not self.has_import_permission(request):
            raise PermissionDenied

    def _job(self, request: HttpRequest, number: str) -> Job:
        self._may(request)
        try:
            job = selectors.job_of(request.organization, number)  # type: ignore[attr-defined]
        except NotFound as error:
            raise Http404(error.detail) from None
        if not job.is_import:
            raise Http404(f"There is no import “{number}”.")
        if not job.file_path:
            raise Http404(f"The file of {number} is not there yet.")
        return job

    def _render(
        self, request: HttpRequest, template: str, job: Job | None, step: str, **context: Any
    ) -> HttpResponse:
        request.current_app = self.admin_site.name
        title = f"Import {job.original_name}" if job is not None else "New import"
        return TemplateResponse(
            request,
            f"jobs/{template}.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "job": job,
                "title": title,
                "media": self.media,  # type: ignore[attr-defined]
                "steps": _steps(job, step),
                "hub_trail": [
                    {"title": "Jobs", "link": reverse("admin:jobs_job_changelist")},
                    {"title": job.number if job is not None else title},
                ],
                **context,
            },
        )

    def import_at(self, request: HttpRequest, number: str) -> HttpResponse:
        """The step at which an import is."""
        job = self._job(request, number)
        if job.status == JobStatus.VALIDATING or (job.status == JobStatus.PENDING and job.checked_at):
            return HttpResponseRedirect(reverse("admin:jobs_import_check", args=[job.number]))
        if job.status != JobStatus.PENDING:
            return HttpResponseRedirect(_result_url(job))
        step = "columns" if job.configured_at else "file"
        return HttpResponseRedirect(reverse(f"admin:jobs_import_{step}", args=[job.number]))

    # --- step 2

    def import_file(self, request: HttpRequest, number: str) -> HttpResponse:
        """How the file is read, changeable, with its first rows."""
        job = self._job(request, number)
        is_open = job.status == JobStatus.PENDING
        initial = {name: getattr(job, name) for name in uploads.PREVIEW_FIELDS}
        form = FileOptionsForm(request.POST if request.method == "POST" else None, job=job, initial=initial)
        if request.method == "POST" and form.is_valid():
            try:
                uploads.reread(job=job, **form.options())
                return HttpResponseRedirect(reverse("admin:jobs_import_file", args=[job.number]))
            except HubError as error:
                refuse(form, error)
                job.refresh_from_db()
        return self._render(
            request,
            "import_file",
            job,
            "file",
            form=form,
            is_open=is_open,
            earlier=selectors.same_file(job) if is_open else None,
            columns=job.preview["columns"][: previews.COLUMNS],
            more_columns=max(0, len(job.preview["columns"]) - previews.COLUMNS),
            rows=job.preview["rows"],
            notices=job.preview["notices"],
        )

    # --- step 3

    def import_columns(self, request: HttpRequest, number: str) -> HttpResponse:
        """What the columns mean; going on orders the check."""
        job = self._job(request, number)
        if job.status != JobStatus.PENDING:
            return self.import_at(request, number)
        saved = Mapping.objects.filter(organization=job.organization, dataset=job.dataset)
        if request.method == "POST":
            matching = Matching.posted(job, request.POST)
            form = SettingsForm(request.POST, job=job)
            if form.is_valid() and self._decided(request, job, matching, form):
                return HttpResponseRedirect(reverse("admin:jobs_import_check", args=[job.number]))
        else:
            chosen = request.GET.get("mapping")
            key = Mapping.parse_public_id(chosen) if chosen else None
            if key is not None and (mapping := saved.filter(pk=key).first()) is not None:
                job.mapping, job.field_mapping = mapping, {}
            matching = Matching.proposed(job)
            form = SettingsForm(initial=SettingsForm.initial_of(job), job=job)
        fields = job.dataset.fields
        may_define = allows(request, "datasets:write")
        may_add = may_define and new_fields.is_possible(job.dataset)
        if may_add:
            matching.offer_fields(job)
        return self._render(
            request,
            "import_columns",
            job,
            "columns",
            matching=matching,
            form=form,
            saved=saved.order_by("name")[:50],
            targets=[(f.name, f.title, f.required or f.name == job.dataset.key_field) for f in fields],
            new=NEW if may_add else "",
            new_types=new_fields.choices(),
            may_define=may_define,
            with_options=len(matching.columns) * len(fields) <= SHOWN_OPTIONS,
            transforms=sorted(TRANSFORMS.values(), key=lambda t: t.name),
            sample_url=reverse("admin:jobs_import_sample", args=[job.number]),
            key_title=job.dataset.fields_by_name[job.dataset.key_field].title
            if job.dataset.key_field
            else "",
        )

    def _decided(self, request: HttpRequest, job: Job, matching: Matching, form: SettingsForm) -> bool:
        """Save what was decided and order the check; false, with the errors at their places, if refused."""
        actor = request.actor  # type: ignore[attr-defined]
        if matching.undecided():
            return False
        try:
            self._save(request, job, matching, form)
            imports.check(job=job, actor=actor)
        except InvalidInput as error:
            for place, text in matching.place(error.errors).items():
                if place in form.fields:
                    form.add_error(place, text)
                else:
                    form.add_error("on_error" if place == "stop_on_error" else None, text)
            if not error.errors:
                matching.errors.append(error.detail)
            return False
        except HubError as error:
            form.add_error("save_as" if "mapping" in error.detail.lower() else None, error.detail)
            return False
        return True

    def _save(self, request: HttpRequest, job: Job, matching: Matching, form: SettingsForm) -> None:
        """The new fields, the mapping and its name: all or nothing."""
        actor = request.actor  # type: ignore[attr-defined]
        dataset, wanted = job.dataset, matching.wanted()
        name = form.cleaned_data["save_as"].strip()
        if wanted and not allows(request, "datasets:write"):
            raise PermissionDenied
        if name and not allows(request, "mappings:write"):
            raise PermissionDenied
        try:
            with transaction.atomic():
                if wanted:
                    fields = [row.new for row in wanted if row.new is not None]
                    for row, target in zip(
                        wanted, new_fields.add(job=job, wanted=fields, actor=actor), strict=True
                    ):
                        row.target = target
                imports.configure(job=job, actor=actor, mapping=matching.spec(), settings=form.settings())
                if name:
                    mappings.save(
                        organization=job.organization,
                        dataset=job.dataset,
                        name=name,
                        spec=job.field_mapping,
                        actor=actor,
                        columns=imports.column_names(job),
                    )
        except HubError:
            job.dataset = dataset
            for row in wanted:
                row.target = NEW
            raise
        if wanted:
            titles = ", ".join(f"“{row.new.label}”" for row in wanted if row.new is not None)
            messages.success(request, f"Added to {dataset.name}: {titles}.")
        if name:
            messages.success(request, f"The mapping “{name}” was saved.")

    def import_sample(self, request: HttpRequest, number: str) -> JsonResponse:
        """What one column's sample values become; nothing is written."""
        if request.method != "POST":
            raise PermissionDenied
        job = self._job(request, number)
        target = request.POST.get("target", "")[:60]
        wanted = NewField(request.POST.get("label", "")[:120], request.POST.get("type", ""))
        shown = samples.of_column(
            job,
            column=request.POST.get("column", "")[:200],
            target=target,
            new=new_fields.as_field(wanted) if target == NEW else None,
            transforms=request.POST.get("transforms", "")[:2000],
            default=request.POST.get("default", "")[:500],
            propose=request.POST.get("propose") == "1",
        )
        return JsonResponse(shown, headers={"Cache-Control": "no-store"})

    # --- step 4

    def import_check(self, request: HttpRequest, number: str) -> HttpResponse:
        """The report; confirming starts the import."""
        job = self._job(request, number)
        if job.status not in (JobStatus.PENDING, JobStatus.VALIDATING):
            return HttpResponseRedirect(_result_url(job))
        if job.configured_at is None:
            return HttpResponseRedirect(reverse("admin:jobs_import_columns", args=[job.number]))
        actor = request.actor  # type: ignore[attr-defined]
        address = str(getattr(request.user, "email", ""))
        if request.method == "POST":
            try:
                if "again" in request.POST:
                    imports.check(job=job, actor=actor)
                    return HttpResponseRedirect(request.path)
                imports.start(
                    job=job,
                    actor=actor,
                    confirm_deletions="confirm_deletions" in request.POST,
                    tell=address if "mail_me" in request.POST else "",
                )
                return HttpResponseRedirect(_result_url(job))
            except HubError as error:
                messages.error(request, error.detail)
                return HttpResponseRedirect(request.path)
        report = job.report
        return self._render(
            request,
            "import_check",
            job,
            "check",
            report=report,
            address=address,
            progress=self.progress_of(job),  # type: ignore[attr-defined]
            progress_url=self.progress_url(job),  # type: ignore[attr-defined]
            **(self.corrections_context(request, job) if report and "rows" in report else {}),
            writes=sum(report.get(name, 0) for name in ("created", "updated", "restored", "deleted")),
            words=_words(job, report) if "rows" in report else [],
        )


def _words(job: Job, report: dict[str, Any]) -> list[str]:
    """What confirming does, in sentences."""

    def rows(count: int, one: str, many: str) -> str:
        return f"{count:,} {one if count == 1 else many}"

    name = job.dataset.name
    said = []
    if report["created"]:
        said.append(f"{rows(report['created'], 'record is', 'records are')} added to {name}.")
    if report["updated"]:
        kept = "" if job.overwrite_existing else "; only their blank fields are filled"
        said.append(f"{rows(report['updated'], 'record is', 'records are')} changed{kept}.")
    if report["restored"]:
        said.append(f"{rows(report['restored'], 'deleted record is', 'deleted records are')} restored.")
    if report["deleted"]:
        said.append(f"{rows(report['deleted'], 'record', 'records')} of {name} that the file does not name "
                    f"{'is' if report['deleted'] == 1 else 'are'} deleted.")  # fmt: skip
    if report["unchanged"]:
        said.append(
            f"{rows(report['unchanged'], 'row is', 'rows are')} in the hub already, exactly like this."
        )
    if report["wrong"]:
        said.append(
            f"{rows(report['wrong'], 'wrong row is', 'wrong rows are')} left out; you get them as a file."
        )
    if report.get("skipped"):
        said.append(f"{rows(report['skipped'], 'row is', 'rows are')} skipped, as decided.")
    said.append("Webhooks and integrations hear of what is written, of nothing else.")
    days = settings.HUB_IMPORT_UNDO_DAYS
    said.append(f"It can be undone for {days} {'day' if days == 1 else 'days'}.")
    seconds = _estimate(report)
    if seconds:
        said.append(f"It will take about {duration(seconds)}. You may leave the page meanwhile.")
    return said


def _estimate(report: dict[str, Any]) -> float | None:
    """Seconds that the import will probably take: the rehearsal does without the journal."""
    seconds = report.get("seconds")
    return round(seconds / 0.6, 1) if seconds and seconds > 1 else None


def _steps(job: Job | None, current: str) -> list[dict[str, Any]]:
    """The steps with their addresses, as far as they can be gone to."""
    names = [name for name, _ in STEPS]
    at = names.index(current)
    reachable = {"file"} if job is not None else set()
    if job is not None and job.status == JobStatus.PENDING:
        reachable.add("columns")
        if job.configured_at:
            reachable.add("check")
    return [
        {
            "number": n + 1,
            "label": label,
            "current": name == current,
            "done": n < at,
            "url": reverse(f"admin:jobs_import_{name}", args=[job.number])
            if job is not None and name in reachable and name != current
            else "",
        }
        for n, (name, label) in enumerate(STEPS)
    ]


def _result_url(job: Job) -> str:
    return reverse("admin:jobs_job_change", args=[job.number])
