"""Syncs with live progress, and the rows that could not be taken over."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from apps.connectors.admin.calls import integration_shown, rows_of
from apps.connectors.models import SyncError, SyncJob
from apps.connectors.services import row_errors, syncs
from apps.connectors.statuses import LIVE, SyncErrorStatus, SyncStatus
from apps.kernel.admin import (
    HubModelAdmin,
    Progress,
    ago,
    confirm_action,
    definition_list,
    json_block,
    link,
    mono,
    muted,
    number,
    progress_bar,
    status_badge,
)
from apps.kernel.admin.display import duration
from apps.kernel.errors import HubError
from apps.records.models import Origin


def progress_of_job(job: SyncJob) -> Progress:
    """How far a sync is. The total is known from the last such run, until there are more rows."""
    parts = list(job.streams.all())
    expected = [stream.expected for stream in parts]
    total = None
    if job.status not in LIVE:
        total = job.processed
    elif parts and all(expected):
        total = sum(max(stream.expected or 0, stream.processed) for stream in parts)
    note = job.error_message
    if job.status in LIVE and job.attempts:
        note = f"{note} Tried {job.attempts} times; the next try is due {ago_text(job)}.".strip()
    if job.cancel_requested_at and job.status in LIVE:
        note = "It is being cancelled."
    return Progress(
        done=job.processed,
        total=total,
        active=job.status in LIVE,
        status=job.status,
        started_at=job.started_at,
        finished_at=job.completed_at,
        note=note,
    )


def _changes_url(job: SyncJob) -> str:
    """The page of what the sync wrote; empty if it wrote nothing."""
    origin = Origin.objects.filter(organization=job.organization, kind="sync", ref=job.number).first()
    return reverse("admin:records_origin_change", args=[origin.public_id]) if origin else ""


def ago_text(job: SyncJob) -> str:
    return f"at {job.due_at:%H:%M:%S} UTC"


@admin.register(SyncJob)
class SyncJobAdmin(HubModelAdmin):
    scope_resource = "syncs"
    read_only = True
    list_display = (
        "numbered",
        "integration_link",
        "state",
        "bar",
        "created_rows",
        "updated_rows",
        "failed_rows",
        "started",
        "took",
    )
    list_filter = ("status", "type", "trigger", "integration")
    list_select_related = ("integration",)
    search_fields = ("number__istartswith",)
    search_help_text = "Search by number"
    palette_fields = ("number",)
    ordering = ("-id",)
    sortable_by = ()
    actions = ("cancel", "retry")
    actions_detail = ("cancel", "retry")
    empty_icon = "sync"
    empty_title = "No syncs yet"
    empty_text = "Each run of an integration stands here, with what it read, wrote and could not take over."
    empty_action = ("See the integrations", "admin:connectors_integration_changelist")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncJob]:
        rows: QuerySet[SyncJob] = super().get_queryset(request)
        return rows.prefetch_related("streams")

    # --- columns

    @admin.display(description="Sync")
    def numbered(self, obj: SyncJob) -> str:
        return format_html(
            "{}<br>{}", obj.number, muted(f"{obj.get_type_display()}, {obj.get_trigger_display().lower()}")
        )

    @admin.display(description="Integration")
    def integration_link(self, obj: SyncJob) -> str:
        return integration_shown(obj.integration)

    @admin.display(description="Status")
    def state(self, obj: SyncJob) -> str:
        return status_badge(obj.status, obj.get_status_display())

    @admin.display(description="Progress")
    def bar(self, obj: SyncJob) -> str:
        return progress_bar(progress_of_job(obj), self.progress_url(obj), compact=True)

    @admin.display(description="New")
    def created_rows(self, obj: SyncJob) -> str:
        return number(obj.created)

    @admin.display(description="Changed")
    def updated_rows(self, obj: SyncJob) -> str:
        return number(obj.updated + obj.deleted)

    @admin.display(description="Failed")
    def failed_rows(self, obj: SyncJob) -> str:
        return number(obj.failed) if obj.failed else muted("–")

    @admin.display(description="Started")
    def started(self, obj: SyncJob) -> str:
        return ago(obj.started_at, never="not yet")

    @admin.display(description="Took")
    def took(self, obj: SyncJob) -> str:
        return duration(obj.duration) if obj.duration and obj.completed_at else muted("–")

    # --- the page

    def progress_of(self, obj: SyncJob) -> Progress:
        return progress_of_job(obj)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        job = self.object_or_404(request, object_id)
        offered = {"cancel"} if job.is_live else {"retry"} if self._has_retry(job) else set()
        allowed = [
            action
            for action in self.get_actions_detail(request, job.number)
            if action.action_name.removeprefix("connectors_syncjob_") in offered
        ]
        errors = list(job.errors.filter(status=SyncErrorStatus.OPEN)[:10])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Sync {job.number}",
            "original": job,
            "hub_trail": [{"title": "Sync jobs", "link": self.list_url()}, {"title": job.number}],
            "actions_detail": self._get_actions_navigation(list(self.actions_detail), allowed, job.number),
            "media": self.media,
            "job": job,
            "integration": self.integration_link(job),
            "status": self.state(job),
            "bar": progress_bar(progress_of_job(job), self.progress_url(job), reload=True),
            "started": self.started(job),
            "completed": ago(job.completed_at, never="not yet"),
            "due": ago(job.due_at),
            "took": duration(job.duration) if job.duration else "–",
            "retry_of": link(self.object_url(job.retry_of), job.retry_of.number) if job.retry_of else "",
            "streams": [
                {
                    "run": run,
                    "status": status_badge(run.status, run.get_status_display()),
                    "mode": run.get_mode_display(),
                    "bar": f"{run.percent} %",
                }
                for run in job.streams.all()
            ],
            "errors": [
                {"error": error, "url": reverse("admin:connectors_syncerror_change", args=[error.public_id])}
                for error in errors
            ],
            "errors_url": f"{reverse('admin:connectors_syncerror_changelist')}?job__id__exact={job.pk}",
            "logs": rows_of(job.logs.all()[:10]),
            "changes_url": _changes_url(job),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "hub/connectors/sync_job.html", context)

    @staticmethod
    def _has_retry(job: SyncJob) -> bool:
        return job.status in (SyncStatus.FAILED, SyncStatus.PARTIAL, SyncStatus.CANCELLED)

    # --- deeds

    @confirm_action(
        description="Cancel",
        icon="cancel",
        permissions=["write"],
        danger=True,
        title="Cancel {object}?",
        text="A running sync ends after the page that is being written. What was written stays.",
        button="Cancel the sync",
    )
    def cancel(self, request: HttpRequest, objects: QuerySet[SyncJob]) -> None:
        for job in objects:
            try:
                syncs.cancel(job=job, actor=request.actor)  # type: ignore[attr-defined]
                messages.success(request, f"{job.number} is being cancelled.")
            except HubError as error:
                messages.error(request, error.detail)

    @confirm_action(
        description="Retry",
        icon="replay",
        permissions=["write"],
        title="Retry {object}?",
        text="Streams that failed go on in a new sync from where they stopped. If all were read, the rows "
        "that could not be taken over are tried again.",
    )
    def retry(self, request: HttpRequest, objects: QuerySet[SyncJob]) -> HttpResponse | None:
        actor, started = request.actor, []  # type: ignore[attr-defined]
        for job in objects:
            try:
                if row_errors.retry_later(job=job, actor=actor):
                    messages.success(request, f"The rows of {job.number} are tried again.")
                else:
                    started.append(syncs.retry(job=job, actor=actor))
            except HubError as error:
                messages.error(request, error.detail)
        if len(started) == 1:
            return HttpResponseRedirect(self.object_url(started[0]))
        return None


@admin.register(SyncError)
class SyncErrorAdmin(HubModelAdmin):
    scope_resource = "syncs"
    read_only = True
    list_display = ("remote", "integration_link", "what", "where", "state", "tries", "seen")
    list_filter = ("status", "code", "integration")
    allowed_lookups = ("job__id__exact", "job")
    list_select_related = ("integration", "job")
    search_fields = ("remote_id__exact",)
    search_help_text = "Search by the provider's id"
    ordering = ("-id",)
    sortable_by = ()
    actions = ("retry", "ignore")
    actions_detail = ("retry", "ignore")
    list_title = "Rows not taken over"
    empty_icon = "task_alt"
    empty_title = "No row was refused"
    empty_text = (
        "Rows that a sync cannot take over wait here with their reasons, to be mended and tried again."
    )
    fields = (
        "state",
        "what",
        "problem_list",
        "integration_link",
        "job_link",
        "stream",
        "remote_id",
        "tries",
        "seen",
        "resolved",
        "source_row",
    )
    readonly_fields = fields

    @admin.display(description="Row")
    def remote(self, obj: SyncError) -> str:
        return format_html("{}<br>{}", mono(obj.remote_id or "without an id"), muted(obj.stream))

    @admin.display(description="Integration")
    def integration_link(self, obj: SyncError) -> str:
        return integration_shown(obj.integration)

    @admin.display(description="Sync")
    def job_link(self, obj: SyncError) -> str:
        return link(reverse("admin:connectors_syncjob_change", args=[obj.job.number]), obj.job.number)

    @admin.display(description="Reason")
    def what(self, obj: SyncError) -> str:
        return obj.message

    @admin.display(description="Field")
    def where(self, obj: SyncError) -> str:
        return mono(obj.field)

    @admin.display(description="Status")
    def state(self, obj: SyncError) -> str:
        tone = {"open": "failed", "resolved": "completed", "ignored": "inactive"}[obj.status]
        return status_badge(tone, obj.get_status_display())

    @admin.display(description="Tries")
    def tries(self, obj: SyncError) -> str:
        return number(obj.attempts)

    @admin.display(description="Last seen")
    def seen(self, obj: SyncError) -> str:
        return ago(obj.last_seen_at)

    @admin.display(description="Resolved")
    def resolved(self, obj: SyncError) -> str:
        return format_html(
            "{} {}", ago(obj.resolved_at, never="not yet"), obj.resolved_by and f"by {obj.resolved_by}"
        )

    @admin.display(description="Reasons")
    def problem_list(self, obj: SyncError) -> str:
        return definition_list([(p["field"] or p["column"] or "row", p["message"]) for p in obj.problems])

    @admin.display(description="Row at the provider")
    def source_row(self, obj: SyncError) -> str:
        return json_block(obj.row) if obj.row else muted("too large to be kept")

    @confirm_action(
        description="Try again",
        icon="replay",
        permissions=["write"],
        title="Try {object} again?",
        text="The kept row is written again, with the mapping and the dataset as they are now.",
    )
    def retry(self, request: HttpRequest, objects: QuerySet[SyncError]) -> None:
        good = bad = 0
        for error in objects.select_related("integration__organization", "job__integration"):
            try:
                if row_errors.retry(error=error, actor=request.actor):  # type: ignore[attr-defined]
                    good += 1
                else:
                    bad += 1
            except HubError as problem:
                messages.error(request, problem.detail)
        if good:
            messages.success(request, f"{good} row{'s were' if good > 1 else ' was'} taken over.")
        if bad:
            messages.warning(request, f"{bad} row{'s' if bad > 1 else ''} still cannot be taken over.")

    @confirm_action(
        description="Ignore",
        icon="visibility_off",
        permissions=["write"],
        title="Ignore {object}?",
        text="It is put aside. If the row is refused again by a later sync, it comes back.",
    )
    def ignore(self, request: HttpRequest, objects: QuerySet[SyncError]) -> None:
        for error in objects:
            row_errors.ignore(error=error, actor=request.actor)  # type: ignore[attr-defined]
        messages.success(request, "Put aside.")
