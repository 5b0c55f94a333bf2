"""What a schedule must be to be kept: everything is tried now that would fail at three in the morning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.jobs.models import Job, JobSchedule
from apps.jobs.places import checked_path
from apps.jobs.schedule_statuses import AfterImport, LocationKind, ScheduleType
from apps.jobs.services import destinations as destination_checks
from apps.jobs.services import exports, imports
from apps.jobs.statuses import JobType
from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.timetables import parse

MAX_INTERVAL = 366 * 24 * 60
Wrong = Callable[..., None]


def refuse(schedule: JobSchedule, destinations: Sequence[Mapping[str, Any]]) -> None:
    """Raise InvalidInput with everything that is wrong."""
    found: list[FieldError] = []

    def wrong(pointer: str, detail: str, code: str = "invalid") -> None:
        found.append(FieldError(pointer, code, detail))

    if not schedule.name.strip():
        wrong("/name", "Give the schedule a name.", "required")
    if schedule.dataset.organization_id != schedule.organization.pk:
        raise InvalidInput("The dataset belongs to another organization.")
    _when(schedule, wrong)
    if schedule.job_type == JobType.IMPORT:
        _import(schedule, wrong)
        if destinations:
            wrong("/destinations", "Only exports are delivered.")
    elif schedule.job_type == JobType.EXPORT:
        _export(schedule, wrong)
        found += destination_checks.problems(schedule.organization, destinations)
    else:
        wrong("/job_type", "The kind is import or export.")
    emails = schedule.notifications.get("notify_emails") or []
    found += destination_checks.recipient_problems(emails, "/notifications/notify_emails")
    if found:
        raise InvalidInput(found[0].detail, errors=found)


def _when(schedule: JobSchedule, wrong: Wrong) -> None:
    kind = schedule.schedule_type
    if kind == ScheduleType.CRON:
        try:
            parse(schedule.crontab)
        except ValueError as error:
            wrong("/crontab", str(error))
    elif kind == ScheduleType.INTERVAL:
        if not 1 <= schedule.interval_minutes <= MAX_INTERVAL:
            wrong("/interval_minutes", "An interval has from 1 minute to 366 days.", "out_of_range")
    elif kind == ScheduleType.ONCE:
        changed = schedule._state.adding or not JobSchedule.objects.filter(
            pk=schedule.pk, run_at=schedule.run_at
        )
        if schedule.run_at is None:
            wrong("/run_at", "Say when it runs.", "required")
        elif changed and schedule.run_at < timezone.now() - timedelta(minutes=1):
            wrong("/run_at", "This time has gone by.")
    else:
        wrong("/schedule_type", f"It runs {', '.join(ScheduleType.values)}.")


def _import(schedule: JobSchedule, wrong: Wrong) -> None:
    source = schedule.source
    if source is None:
        wrong("/source", "Choose the place that the files come from.", "required")
        return
    if source.organization_id != schedule.organization.pk:
        wrong("/source", "There is no such place.", "not_found")
    for name in ("source_path", "move_to"):
        try:
            setattr(schedule, name, checked_path(getattr(schedule, name)))
        except ValueError as error:
            wrong(f"/{name}", str(error))
    if "/" in schedule.pattern or "\\" in schedule.pattern:
        wrong("/pattern", "A pattern is about names within the folder, such as orders-*.csv.")
    if source.kind == LocationKind.HTTPS and schedule.after_import != AfterImport.KEEP:
        wrong("/after_import", "Files at web addresses can only be left there.")
    if schedule.after_import not in AfterImport.values:
        wrong("/after_import", f"It is one of {', '.join(AfterImport.values)}.")
    if schedule.after_import == AfterImport.MOVE and not schedule.move_to:
        wrong("/move_to", "Name the folder that imported files are moved to.", "required")
    if schedule.after_import == AfterImport.MOVE and schedule.move_to == schedule.source_path:
        wrong("/move_to", "That is the folder that the files come from.")
    mapping = schedule.mapping
    if mapping is not None and mapping.dataset_id != schedule.dataset.pk:
        wrong("/mapping", "This mapping is of another dataset.")
    job = Job(organization=schedule.organization, dataset=schedule.dataset)
    given = imports.Settings(**schedule.import_settings).given(job)
    for found in imports.wrong_settings(job, given):
        wrong(f"/import_settings{found.pointer}", found.detail, found.code)


def _export(schedule: JobSchedule, wrong: Wrong) -> None:
    template = schedule.export_template
    if template is not None and template.dataset_id != schedule.dataset.pk:
        wrong("/export_template", "This template is of another dataset.")
    options = dict(schedule.export_options)
    filters, search = options.pop("filters", None), options.pop("search", "")
    try:
        exports.checked(schedule.dataset, options, filters, search=search)
    except InvalidInput as error:
        for item in error.errors or [FieldError("", error.code, error.detail)]:
            wrong(f"/export_options{item.pointer}", item.detail, item.code)
