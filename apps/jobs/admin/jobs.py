"""Jobs in the admin: the list, the page of one job with what can be done to it, and its files."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import models
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.jobs import selectors
from apps.jobs.admin.export_pages import ExportPages
from apps.jobs.admin.import_steps import ImportSteps
from apps.jobs.admin.job_deliveries import JobDeliveries
from apps.jobs.admin.job_page import counts, facts, possible, state_of, told
from apps.jobs.admin.undo_pages import UndoPages, listed
from apps.jobs.models import Job
from apps.jobs.services import control, downloads
from apps.jobs.services.deletions import asks_to_delete
from apps.jobs.statuses import WRITABLE, ArtifactKind, FileType, JobStatus
from apps.kernel.admin import (
    HubModelAdmin,
    Progress,
    ago,
    allows,
    confirm_action,
    json_block,
    mono,
    progress_bar,
)
from apps.kernel.admin.site import site_urls
from apps.kernel.errors import HubError
from apps.records.services import standing
from apps.records.services.history import UndoResult

ERRORS_PER_PAGE = 50
PREVIEW_UNDO_UP_TO = 20_000


@admin.register(Job)
class JobAdmin(ImportSteps, ExportPages, JobDeliveries, UndoPages, HubModelAdmin):
    scope_resource = "jobs"
    audit_name = "job"
    can_add = False
    can_change = False
    can_delete = False
    list_display = ("number", "title", "kind", "dataset_link", "state", "how_far", "by", "when")
    list_display_links = ("number",)
    list_filter = ("job_type", "status", "dataset")
    list_select_related = ("dataset",)
    search_fields = ("number__istartswith", "name__istartswith", "original_name__istartswith")
    search_help_text = "Search by the beginning of number, name or file"
    palette_fields = ("number", "name")
    ordering = ("-id",)
    list_filter_submit = False
    change_list_template = "jobs/change_list.html"
    empty_icon = "upload_file"
    empty_title = "No imports or exports yet"
    empty_text = (
        "Upload a spreadsheet: its columns are matched by themselves, and nothing is written before it was "
        "checked."
    )
    empty_action = ("Import a file", "admin:jobs_import_new")
    actions_detail = ("pause", "resume", "cancel", "retry", "undo")

    class Media:
        css = {"all": ("jobs/jobs.css",)}
        js = (
            "jobs/export.js",
            "jobs/import.js",
        )

    # --- the list

    @admin.display(description="Name", ordering="name")
    def title(self, obj: Job) -> SafeString:
        return format_html('<span class="hub-clip" title="{0}">{0}</span>', obj.name)

    @admin.display(description="Kind", ordering="job_type")
    def kind(self, obj: Job) -> str:
        return obj.get_job_type_display()

    @admin.display(description="Dataset", ordering="dataset__name")
    def dataset_link(self, obj: Job) -> SafeString:
        address = reverse("admin:data_list", args=[obj.dataset.slug])
        return format_html('<a class="hub-link" href="{}">{}</a>', address, obj.dataset.name)

    @admin.display(description="Status", ordering="status")
    def state(self, obj: Job) -> SafeString:
        return state_of(obj)

    @admin.display(description="Rows")
    def how_far(self, obj: Job) -> SafeString | str:
        if obj.is_working or obj.status == JobStatus.PAUSED:
            return progress_bar(self.progress_of(obj), self.progress_url(obj), compact=True)
        if not obj.processed_records:
            return f"{obj.total_records:,} in the file" if obj.is_import and obj.total_records else "–"
        wrong = f", {obj.failed_records:,} left out" if obj.failed_records else ""
        return f"{obj.processed_records:,}{wrong}"

    @admin.display(description="By", ordering="actor_label")
    def by(self, obj: Job) -> str:
        return obj.actor_label or "–"

    @admin.display(description="Ordered", ordering="id")
    def when(self, obj: Job) -> SafeString:
        return ago(obj.created_at)

    def progress_of(self, obj: Any) -> Progress:
        found = selectors.progress_of(obj)
        note = f"{obj.failed_records:,} rows left out so far" if obj.is_working and obj.failed_records else ""
        if obj.is_waiting:
            note = "Waiting for a worker."
        if obj.status == JobStatus.FETCHING:
            return Progress(
                done=found["fetched_bytes"] // 1024, total=None, active=True, status=obj.status, unit="KB",
                started_at=obj.created_at, finished_at=None, note=note,
            )  # fmt: skip
        total = found["total_records"]
        checking = obj.status == JobStatus.VALIDATING
        return Progress(
            done=found["processed_records"],
            total=max(total, found["processed_records"]) if total else None,
            active=obj.is_working,
            status=obj.status,
            unit="rows",
            started_at=obj.updated_at if checking else obj.started_at,
            finished_at=obj.completed_at or (obj.updated_at if obj.status == JobStatus.PAUSED else None),
            note=note,
        )

    # --- addresses

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:object_id>/files/<str:kind>/", wrap(self.file_view), name="jobs_job_file"),
            *self.delivery_urls(),
            *self.undo_urls(),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {
            "may_import": self.has_import_permission(request),
            "may_export": self.has_export_permission(request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    # --- the page of one job

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        job = self.get_object(request, object_id)
        if job is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        request.current_app = self.admin_site.name
        chosen = {name: request.GET.get(name, "")[:60] for name in ("code", "field")}
        found = selectors.errors_of(job, **chosen)
        page = Paginator(found, ERRORS_PER_PAGE).get_page(request.GET.get("e"))
        return TemplateResponse(
            request,
            "jobs/job.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "original": job,
                "job": job,
                "title": f"{job.number} {job.name}",
                "hub_trail": [{"title": "Jobs", "link": self.list_url()}, {"title": job.number}],
                "media": self.media,
                "state": self.state(job),
                "bar": progress_bar(self.progress_of(job), self.progress_url(job), reload=True)
                if job.status != JobStatus.PENDING
                else "",
                "counts": counts(job),
                "deeds": self._deeds(request, job),
                "continue_url": reverse("admin:jobs_import", args=[job.number])
                if job.is_import and job.status in (JobStatus.PENDING, JobStatus.VALIDATING)
                else "",
                "files": self._files(request, job),
                "deliveries": self.deliveries_shown(request, job),
                "groups": selectors.error_groups(job),
                "chosen": chosen,
                "errors": page,
                "facts": facts(job),
                "link": self._link(request, job),
                "mapping": json_block(job.field_mapping, title="Mapping") if job.field_mapping else "",
                "history_url": self.object_url(job, "history"),
            },
        )

    def _deeds(self, request: HttpRequest, job: Job) -> list[dict[str, str]]:
        """What can be done to the job now."""
        if not self.has_write_permission(request, job):
            return []
        found = []
        if not job.is_import and self.has_export_permission(request):
            address = f"{reverse('admin:jobs_export_new')}?like={job.number}"
            found.append({"label": "Repeat", "icon": "repeat", "url": address, "post": ""})
        if self.may_deliver(request, job):
            address = reverse("admin:jobs_job_deliver", args=[job.number])
            found.append({"label": "Deliver", "icon": "send", "url": address, "post": ""})
        labels = {
            "pause": ("Pause", "pause"),
            "resume": ("Go on", "play_arrow"),
            "retry": ("Retry", "refresh"),
            "undo": ("Undo", "undo"),
            "cancel": ("Cancel", "block"),
        }
        return found + [
            {
                "label": label,
                "icon": icon,
                "url": reverse(f"admin:jobs_job_{name}", args=[job.number]),
                "post": "1" if name in ("pause", "resume") else "",
            }
            for name, (label, icon) in labels.items()
            if name in possible(job)
        ]

    def _link(self, request: HttpRequest, job: Job) -> SafeString | str:
        """A link to the exported file for somebody who cannot sign in."""
        if job.is_import or job.status != JobStatus.COMPLETED or not allows(request, "records:read"):
            return ""
        try:
            token = downloads.link_token(downloads.output_of(job), request.actor)  # type: ignore[attr-defined]
        except HubError:
            return ""
        address = f"{reverse('export-download', args=[job.number])}?{urlencode({'token': token})}"
        return mono(request.build_absolute_uri(address), copy=True)

    def _files(self, request: HttpRequest, job: Job) -> list[dict[str, Any]]:
        if not allows(request, "records:read"):
            return []
        # Of files in several formats the first is the one that the job left by itself.
        kept = job.artifacts.order_by("-id")
        stored = {artifact.kind: artifact for artifact in kept if not artifact.is_expired}
        kinds = list(stored)
        has_rows = job.rejections.exists()  # any format can be made of them
        if has_rows:
            kinds += [kind for kind in (ArtifactKind.REJECTED, ArtifactKind.ERRORS) if kind not in stored]
        icons = {
            "source": "description",
            "rejected": "rule",
            "errors": "list_alt",
            "output": "download",
            "vanishing": "delete_sweep",
        }
        return [
            {
                "kind": str(kind),
                "label": ArtifactKind(kind).label,
                "icon": icons[kind],
                "artifact": stored.get(kind),
                "formats": [(name, FileType(name).label) for name in WRITABLE]
                if has_rows and kind in (ArtifactKind.REJECTED, ArtifactKind.ERRORS)
                else [],
                "url": reverse("admin:jobs_job_file", args=[job.number, kind]),
            }
            for kind in ("output", "rejected", "errors", "vanishing", "source")
            if kind in kinds
        ]

    def file_view(self, request: HttpRequest, object_id: str, kind: str) -> FileResponse:
        """One of the job's files, as a download."""
        job = self.object_or_404(request, object_id)
        if not allows(request, "records:read"):
            raise PermissionDenied
        try:
            asked = request.GET.get("format", "")
            artifact = downloads.file_of(job, kind, asked if asked in WRITABLE else "")
            file = downloads.open_artifact(artifact)
        except HubError as error:
            raise Http404(error.detail) from None
        downloads.note(artifact, request.actor)  # type: ignore[attr-defined]
        return downloads.response(artifact, file)

    # --- deeds

    @confirm_action(description="Pause", permissions=["write"], icon="pause", instantly=True)
    def pause(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> None:
        for job in jobs:
            control.pause(job=job, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{job.number} pauses after the batch at hand.")

    @confirm_action(description="Go on", permissions=["write"], icon="play_arrow", instantly=True)
    def resume(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> None:
        self._needs_records(request)
        for job in jobs:
            control.resume(job=job, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{job.number} goes on.")

    @confirm_action(
        description="Cancel",
        title="Cancel {object}?",
        text="It stops after the batch at hand. What was imported until then stays; it can be undone.",
        button="Cancel the job",
        danger=True,
        permissions=["write"],
        icon="block",
    )
    def cancel(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> None:
        for job in jobs:
            control.cancel(job=job, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{job.number} was cancelled.")

    def retry_text(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> str:
        said = "It goes on where it ended; after an undo it begins at the first row."
        job = jobs.get()
        if asks_to_delete(job):
            return f"{said}\n\n{job.status_reason.partition('.')[0]}. Retrying agrees to that."
        return said

    @confirm_action(
        description="Retry",
        title="Retry {object}?",
        text=retry_text,
        permissions=["write"],
        icon="refresh",
    )
    def retry(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> None:
        self._needs_records(request)
        for job in jobs:
            confirmed = asks_to_delete(job)  # the page that was confirmed said so
            control.retry(job=job, actor=request.actor, confirm_deletions=confirmed)  # type: ignore[attr-defined]
            messages.success(request, f"{job.number} was handed to a worker.")

    def undo_text(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> str:
        job = jobs.select_related("origin").get()
        said = (
            "Everything that this import wrote is taken back. "
            "Records that somebody changed later stay as they are."
        )
        if job.successful_records > PREVIEW_UNDO_UP_TO:
            return f"{said}\n\n{self._foretold(job)}"
        try:
            foretold = control.undo(job=job, actor=request.actor, dry_run=True)  # type: ignore[attr-defined]
        except HubError as error:
            return error.detail
        return f"{said}\n\n{told(foretold, 'will be')}"

    @staticmethod
    def _foretold(job: Job) -> str:
        """What an undo comes to that is too large to be tried first."""
        if job.origin is None:
            return f"{job.number} has written nothing."
        written = job.created_count + job.updated_count + job.deleted_count + job.restored_count
        refused = standing.in_the_way(job.origin).count()
        return told(UndoResult(written - refused, refused), "will be")

    def undo_details(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> SafeString:
        return listed(jobs.select_related("origin").get())

    @confirm_action(
        description="Undo",
        title="Undo {object}?",
        text=undo_text,
        details=undo_details,
        button="Undo the import",
        danger=True,
        permissions=["write"],
        icon="undo",
    )
    def undo(self, request: HttpRequest, jobs: models.QuerySet[Job]) -> None:
        self._needs_records(request)
        for job in jobs.select_related("origin", "organization"):
            result = control.undo(job=job, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, told(result, "was" if result.reverted == 1 else "were"))

    def _needs_records(self, request: HttpRequest) -> None:
        if not allows(request, "records:write"):
            raise PermissionDenied


def _urls() -> list[Any]:
    made = admin.site._registry[Job]
    assert isinstance(made, JobAdmin)
    return [*made.import_urls(), *made.export_urls()]


site_urls.append(_urls)
