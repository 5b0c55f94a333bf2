"""Schedules in the admin: the list, the form with its next runs, the history, and what can be done."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html

from apps.jobs import selectors
from apps.jobs.admin.delivery_forms import field_of
from apps.jobs.admin.schedule_forms import ScheduleForm
from apps.jobs.models import JobSchedule, ScheduleRun
from apps.jobs.schedule_statuses import ScheduleStatus
from apps.jobs.services import callbacks, schedules
from apps.kernel.admin import (
    HubModelAdmin,
    ago,
    allows,
    confirm_action,
    duration,
    muted,
    status_badge,
)
from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.timetables import Timetable, parse

RUNS_SHOWN = 25
NEXT_RUNS = 5
_WHEN = ("Name and time", ("name", "schedule_type", "run_at", ("interval_count", "interval_unit"), "crontab"))
_IMPORT = ("Files", ("source", "source_path", "pattern", "after_import", "move_to"))
_READ = ("How they are imported", ("mapping", "mode", "on_error"))
_EXPORT = ("What is exported", ("export_template", "format", "columns", "filters", "labels"))
_TO = ("Where it is delivered", ("deliver_to", "deliver_path", "mail_to"))
_TELL = (
    "Who hears of it",
    (
        "notify_on_error",
        "notify_on_completion",
        "notify_emails",
        "webhook_url",
        "max_failures",
        "description",
    ),
)
_OF_IMPORTS = ("source", "source_path", "pattern", "after_import", "mapping", "mode", "on_error")
_OF_EXPORTS = ("export_template", "deliver_to", "deliver_path", "mail_to")
_BY_HAND = ("format", "columns", "filters", "labels")


@admin.register(JobSchedule)
class JobScheduleAdmin(HubModelAdmin):
    scope_resource = "schedules"
    audit_name = "job_schedule"
    form = ScheduleForm
    list_display = ("named", "kind", "dataset_name", "when", "state", "next_run", "last_run")
    list_filter = ("status", "job_type", "dataset")
    list_select_related = ("dataset", "organization", "source")
    search_fields = ("number__istartswith", "name__istartswith")
    search_help_text = "Search by number or the beginning of the name"
    palette_fields = ("number", "name")
    ordering = ("-id",)
    sortable_by = ()
    actions_detail = ("run_now", "pause", "resume")
    change_form_after_template = "jobs/schedule_history.html"
    change_form_before_template = "jobs/schedule_next.html"
    list_title = "Schedules"
    add_label = "New schedule"
    empty_icon = "schedule"
    empty_title = "No schedules yet"
    empty_text = (
        "A schedule fetches files and imports them, or exports records and delivers the file: once, at an "
        "interval, or by a crontab."
    )
    conditional_fields = {
        "run_at": "schedule_type == 'once'",
        "interval_count": "schedule_type == 'interval'",
        "interval_unit": "schedule_type == 'interval'",
        "crontab": "schedule_type == 'cron'",
        **dict.fromkeys(_OF_IMPORTS, "job_type == 'import'"),
        "move_to": "job_type == 'import' && after_import == 'move'",
        **dict.fromkeys(_OF_EXPORTS, "job_type == 'export'"),
        **dict.fromkeys(_BY_HAND, "job_type == 'export' && !export_template"),
    }

    class Media:
        css = {"all": ("jobs/jobs.css",)}
        js = ("jobs/schedule.js",)

    # --- columns

    @admin.display(description="Schedule")
    def named(self, obj: JobSchedule) -> str:
        return format_html("{}<br>{}", obj.name, muted(obj.number))

    @admin.display(description="Kind")
    def kind(self, obj: JobSchedule) -> str:
        return obj.get_job_type_display()

    @admin.display(description="Dataset")
    def dataset_name(self, obj: JobSchedule) -> str:
        return obj.dataset.name

    @admin.display(description="When")
    def when(self, obj: JobSchedule) -> str:
        return obj.schedule_text

    @admin.display(description="Status")
    def state(self, obj: JobSchedule) -> str:
        return status_badge(obj.status, obj.get_status_display())

    @admin.display(description="Next run")
    def next_run(self, obj: JobSchedule) -> str:
        return ago(obj.next_run_at, never="–")

    @admin.display(description="Last run")
    def last_run(self, obj: JobSchedule) -> str:
        if not obj.last_run_at:
            return ago(None)
        return format_html("{} {}", ago(obj.last_run_at), _run_badge(obj.last_run_status))

    # --- the form

    def get_fieldsets(self, request: HttpRequest, obj: Any | None = None) -> Any:
        parts = [_IMPORT, _READ, _EXPORT, _TO]
        if obj is not None:
            parts = [_IMPORT, _READ] if obj.is_import else [_EXPORT, _TO]
        what = ("What runs", ("job_type", "into"))
        return [(title, {"fields": fields}) for title, fields in (_WHEN, what, *parts, _TELL)]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The notification address is looked up before Django opens its transaction."""
        url = request.POST.get("webhook_url", "").strip()
        if request.method == "POST" and url and self.has_write_permission(request):
            request.hub_webhook = self._hook(request, url)  # type: ignore[attr-defined]
        context = {
            "next_url": reverse("admin:jobs_jobschedule_next"),
            "zone": request.organization.timezone,  # type: ignore[attr-defined]
            **(extra_context or {}),
        }
        if object_id is not None and (row := self.get_object(request, object_id)) is not None:
            context["schedule"] = row
            context["runs"] = [_shown(run) for run in selectors.runs_of(row)[:RUNS_SHOWN]]
        return super().changeform_view(request, object_id, form_url, context)

    @staticmethod
    def _hook(request: HttpRequest, url: str) -> str | InvalidInput:
        organization, actor = request.organization, request.actor  # type: ignore[attr-defined]
        try:
            return str(callbacks.settled(organization, {"webhook_url": url}, actor)["webhook"])
        except InvalidInput as error:
            return error

    def get_form(
        self, request: HttpRequest, obj: Any | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:
        made = super().get_form(request, obj, change=change, **kwargs)
        made.organization = request.organization  # type: ignore[attr-defined]
        return made

    def service_create(
        self, request: HttpRequest, values: dict[str, Any], form: forms.ModelForm
    ) -> JobSchedule:
        assert isinstance(form, ScheduleForm)
        given = self._settings(request, form, None)
        self._may(request, given["job_type"])
        try:
            return schedules.create(
                organization=request.organization,  # type: ignore[attr-defined]
                actor=request.actor,  # type: ignore[attr-defined]
                **given,
            )
        except InvalidInput as error:
            raise _placed(error) from None

    def service_update(
        self, request: HttpRequest, obj: Any, values: dict[str, Any], form: forms.ModelForm
    ) -> JobSchedule:
        assert isinstance(form, ScheduleForm)
        self._may(request, obj.job_type)
        try:
            given = self._settings(request, form, obj)
            return schedules.update(schedule=obj, actor=request.actor, **given)  # type: ignore[attr-defined]
        except InvalidInput as error:
            raise _placed(error) from None

    def service_delete(self, request: HttpRequest, obj: Any) -> None:
        schedules.delete(schedule=obj, actor=request.actor)  # type: ignore[attr-defined]

    def _settings(
        self, request: HttpRequest, form: ScheduleForm, schedule: JobSchedule | None
    ) -> dict[str, Any]:
        given = form.settings_for(schedule)
        hook = getattr(request, "hub_webhook", "")
        if isinstance(hook, InvalidInput):
            raise hook
        if hook:
            given["notifications"]["webhook"] = hook
        return given

    def _may(self, request: HttpRequest, job_type: str) -> None:
        """It acts for its maker, who must be allowed to do so directly."""
        needed = "records:write" if job_type == "import" else "records:read"
        if not (allows(request, "jobs:write") and allows(request, needed)):
            raise PermissionDenied

    # --- addresses

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.next_view)
        return [path("next-runs/", view, name="jobs_jobschedule_next"), *super().get_urls()]

    def next_view(self, request: HttpRequest) -> JsonResponse:
        """The next runs of what a form says just now."""
        if not self.has_scope(request, "read"):
            raise PermissionDenied
        zone = request.organization.timezone  # type: ignore[attr-defined]
        try:
            table = _asked(request, zone)
            times = [_told(time, zone) for time in table.upcoming(timezone.now(), NEXT_RUNS)]
            said = {"times": times, "error": "" if times else "It never runs: this time has gone by."}
        except ValueError as error:
            said = {"times": [], "error": str(error)}
        return JsonResponse(said, headers={"Cache-Control": "no-store"})

    # --- deeds

    @confirm_action(
        description="Run now",
        icon="play_arrow",
        permissions=["write"],
        instantly=True,
        title="Run {object} now?",
        text="Besides its times; these stay as they are.",
    )
    def run_now(self, request: HttpRequest, objects: models.QuerySet[JobSchedule]) -> None:
        for row in objects:
            self._may(request, row.job_type)
            schedules.run_now(schedule=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{row.number} runs. Its history below shows what becomes of it.")

    @confirm_action(
        description="Pause",
        icon="pause",
        permissions=["write"],
        instantly=True,
        title="Pause {object}?",
        text="It does not run until it is resumed. What runs now goes on.",
    )
    def pause(self, request: HttpRequest, objects: models.QuerySet[JobSchedule]) -> None:
        for row in objects:
            schedules.pause(schedule=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{row.number} is paused.")

    @confirm_action(
        description="Resume",
        icon="resume",
        permissions=["write"],
        instantly=True,
        title="Resume {object}?",
        text="It runs again, from its next time on.",
    )
    def resume(self, request: HttpRequest, objects: models.QuerySet[JobSchedule]) -> None:
        for row in objects.select_related("organization"):
            self._may(request, row.job_type)
            schedules.resume(schedule=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, f"{row.number} runs again.")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        found = super().get_actions_detail(request, object_id)
        row = self.find(request, str(object_id))
        hidden = "pause" if row is not None and row.status != ScheduleStatus.ACTIVE else "resume"
        return [action for action in found if not action.action_name.endswith(f"_{hidden}")]


def _asked(request: HttpRequest, zone: str) -> Timetable:
    given = request.GET
    kind = given.get("schedule_type", "")
    if kind == "cron":
        parse(given.get("crontab", "")[:100])
        return Timetable(crontab=given["crontab"][:100], zone=zone)
    if kind == "interval":
        count, unit = given.get("interval_count", ""), given.get("interval_unit", "1")
        if not (count.isdigit() and unit.isdigit() and 0 < int(count[:6]) * int(unit[:4]) <= 527_040):
            raise ValueError("An interval has from 1 minute to 366 days.")
        return Timetable(minutes=int(count[:6]) * int(unit[:4]), zone=zone)
    moment = parse_datetime(given.get("run_at", ""))
    if moment is None:
        raise ValueError("Say when it runs.")
    return Timetable(once=moment.replace(tzinfo=ZoneInfo(zone)), zone=zone)


def _told(moment: datetime, zone: str) -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%a %d %b %Y, %H:%M}"


def _run_badge(status: str) -> str:
    return status_badge(status) if status else ""


def _shown(run: ScheduleRun) -> dict[str, Any]:
    seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at and run.started_at else None
    return {
        "when": ago(run.scheduled_for),
        "trigger": run.get_trigger_display(),
        "by": run.actor_label,
        "status": _run_badge(run.status),
        "reason": run.reason,
        "files": run.files_taken,
        "took": duration(seconds) if seconds is not None else "–",
        "jobs": [
            (job.number, reverse("admin:jobs_job_change", args=[job.number])) for job in run.jobs.all()[:20]
        ],
    }


# Where the form shows what the service says about these.
_PLACES = {
    "interval_minutes": "interval_count",
    "import_settings": "mode",
    "export_options/columns": "columns",
    "export_options/format": "format",
    "export_options": "filters",
    "notifications/webhook_url": "webhook_url",
    "notifications": "notify_emails",
    "dataset": "into",
}


def _placed(error: InvalidInput) -> InvalidInput:
    moved = []
    for one in error.errors:
        where = one.pointer.strip("/")
        place = next((to for at, to in _PLACES.items() if where == at or where.startswith(f"{at}/")), "")
        if where.startswith("destinations/"):
            place = field_of(where)
        moved.append(FieldError(f"/{place or where.partition('/')[0]}", one.code, one.detail))
    return InvalidInput(error.detail, errors=moved, code=error.code)
