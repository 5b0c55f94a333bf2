"""Making, changing, pausing and deleting schedules of imports and exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.jobs.models import JobSchedule, ScheduleDestination, ScheduleRun
from apps.jobs.schedule_statuses import (
    OPEN_RUNS,
    SCHEDULE_TRANSITIONS,
    RunTrigger,
    ScheduleStatus,
    ScheduleType,
)
from apps.jobs.services import callbacks, schedule_checks
from apps.jobs.services.run_closing import TASK
from apps.kernel.background import enqueue
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.kernel.states import move
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

EDITABLE = (
    "name", "description", "schedule_type", "run_at", "interval_minutes", "crontab", "max_failures", "source",
    "source_path", "pattern", "after_import", "move_to", "file_options", "mapping", "import_settings",
    "export_options", "export_template", "notifications",
)  # fmt: skip
_WHEN = frozenset({"schedule_type", "run_at", "interval_minutes", "crontab"})


def create(
    *,
    organization: Organization,
    actor: Actor,
    destinations: Sequence[Mapping[str, Any]] = (),
    enabled: bool = True,
    **values: Any,
) -> JobSchedule:
    """Make a schedule; `values` are `job_type`, `dataset` and those of EDITABLE.

    `destinations` are mappings with `kind`, and `location` and `path`, or `recipients`. Raises InvalidInput
    with a pointer per field.
    """
    schedule = JobSchedule(organization=organization, created_by=actor.label[:200])
    _assign(schedule, {**values})
    schedule.job_type, schedule.dataset = values["job_type"], values["dataset"]
    schedule_checks.refuse(schedule, destinations)
    schedule.next_run_at = schedule.timetable.after(timezone.now())
    if not enabled:
        schedule.status, schedule.status_reason = ScheduleStatus.PAUSED, "It was made paused."
        schedule.next_run_at = None
    schedule.notifications = callbacks.settled(organization, schedule.notifications, actor)
    with transaction.atomic():
        schedule.number = numbers.assign(organization=organization, prefix="SCH")
        schedule.save(force_insert=True)
        _deliver_to(schedule, destinations)
        entries.record(
            organization=organization,
            actor=actor,
            action="job_schedule.created",
            target=schedule,
            changes={
                "job_type": ["", schedule.job_type],
                "dataset": ["", schedule.dataset.slug],
                "when": ["", schedule.schedule_text],
            },
        )
    return schedule


def update(
    *,
    schedule: JobSchedule,
    actor: Actor,
    destinations: Sequence[Mapping[str, Any]] | None = None,
    **values: Any,
) -> JobSchedule:
    """Change a schedule; a changed time counts from now. Raises InvalidInput with a pointer per field."""
    before = {name: getattr(schedule, name) for name in EDITABLE}
    were = described(schedule)
    _assign(schedule, values)
    schedule_checks.refuse(schedule, destinations if destinations is not None else were)
    schedule.notifications = callbacks.settled(schedule.organization, schedule.notifications, actor)
    changes = {
        name: [_told(before[name]), _told(getattr(schedule, name))]
        for name in EDITABLE
        if getattr(schedule, name) != before[name]
    }
    if destinations is not None and list(destinations) != were:
        changes["destinations"] = [_names(were), _names(destinations)]
    if not changes:
        return schedule
    with transaction.atomic():
        row = JobSchedule.objects.select_for_update(of=("self",)).get(pk=schedule.pk)
        schedule.status, schedule.next_run_at = row.status, row.next_run_at
        schedule.consecutive_failures = row.consecutive_failures
        if _WHEN & set(changes):
            schedule.next_run_at = schedule.timetable.after(timezone.now())
            if schedule.status == ScheduleStatus.FINISHED:
                schedule.status = ScheduleStatus.ACTIVE
            elif schedule.status == ScheduleStatus.PAUSED:
                schedule.next_run_at = None
        names = [*(n for n in EDITABLE if n in changes), "next_run_at", "status", "updated_at"]
        schedule.save(update_fields=names)
        if "destinations" in changes:
            schedule.destinations.all().delete()
            _deliver_to(schedule, destinations or ())
        entries.record(
            organization=schedule.organization,
            actor=actor,
            action="job_schedule.updated",
            target=schedule,
            changes=changes,
        )
    return schedule


def described(schedule: JobSchedule) -> list[dict[str, Any]]:
    """The schedule's destinations as they are given."""
    if schedule._state.adding:
        return []
    return [
        {"kind": row.kind, "location": row.location, "path": row.path, "recipients": row.recipients}
        for row in schedule.destinations.select_related("location").all()
    ]


@transaction.atomic
def pause(*, schedule: JobSchedule, actor: Actor, reason: str = "") -> JobSchedule:
    """Stop the clock of a schedule; what runs goes on. Raises RaceLost if it is not active."""
    reason = reason.strip() or f"Paused by {actor.label or 'the hub'}."
    move(schedule, ScheduleStatus.PAUSED, SCHEDULE_TRANSITIONS, status_reason=reason[:500], next_run_at=None)
    _audit(schedule, actor, "paused", ScheduleStatus.ACTIVE)
    return schedule


@transaction.atomic
def resume(*, schedule: JobSchedule, actor: Actor) -> JobSchedule:
    """Let a schedule run again, from its next time on. Raises Conflict if that has gone by."""
    before = schedule.status
    following = schedule.timetable.after(timezone.now())
    if following is None:
        raise Conflict(f"The time of {schedule.number} has gone by: give it a new one.")
    move(
        schedule,
        ScheduleStatus.ACTIVE,
        SCHEDULE_TRANSITIONS,
        status_reason="",
        next_run_at=following,
        consecutive_failures=0,
    )
    _audit(schedule, actor, "resumed", before)
    return schedule


def run_now(*, schedule: JobSchedule, actor: Actor) -> ScheduleRun:
    """Run besides the clock. Raises Conflict while a run is not over."""
    run = ScheduleRun(
        schedule=schedule,
        trigger=RunTrigger.MANUAL,
        scheduled_for=timezone.now(),
        actor_label=actor.label[:200],
    )
    try:
        with transaction.atomic():
            run.save(force_insert=True)
            JobSchedule.objects.filter(pk=schedule.pk).update(last_run_at=run.scheduled_for)
            _audit(schedule, actor, "run", schedule.status)
            enqueue(TASK, str(run.pk), queue="jobs")
    except IntegrityError:
        raise Conflict(f"{schedule.number} is running already. Wait until that run is over.") from None
    return run


def delete(*, schedule: JobSchedule, actor: Actor) -> None:
    """Delete a schedule with its history; its jobs stay. Raises Conflict while a run is not over."""
    with transaction.atomic():
        if schedule.runs.filter(status__in=OPEN_RUNS).exists():
            raise Conflict(f"{schedule.number} is running: cancel its job, or wait until it is over.")
        entries.record(
            organization=schedule.organization, actor=actor, action="job_schedule.deleted", target=schedule
        )
        schedule.delete()


def _assign(schedule: JobSchedule, values: Mapping[str, Any]) -> None:
    unknown = sorted(set(values) - {*EDITABLE, "job_type", "dataset"})
    if unknown:
        detail = f"There is no setting {unknown[0]}."
        raise InvalidInput(detail, errors=[FieldError(f"/{unknown[0]}", "unknown", detail)])
    for name in EDITABLE:
        if name in values:
            setattr(schedule, name, values[name])
    # Only one way to say when.
    if schedule.schedule_type != ScheduleType.ONCE:
        schedule.run_at = None
    if schedule.schedule_type != ScheduleType.INTERVAL:
        schedule.interval_minutes = 0
    if schedule.schedule_type != ScheduleType.CRON:
        schedule.crontab = ""


def _deliver_to(schedule: JobSchedule, destinations: Sequence[Mapping[str, Any]]) -> None:
    ScheduleDestination.objects.bulk_create(
        ScheduleDestination(
            schedule=schedule,
            position=position,
            kind=given["kind"],
            location=given.get("location"),
            path=given.get("path") or "",
            recipients=list(given.get("recipients") or ()),
        )
        for position, given in enumerate(destinations)
    )


def _names(destinations: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"{given['location']}: {given.get('path', '')}"
        if given.get("location")
        else ", ".join(given.get("recipients") or ())
        for given in destinations
    ]


def _told(value: Any) -> Any:
    return value if isinstance(value, str | int | dict | list | type(None)) else str(value)


def _audit(schedule: JobSchedule, actor: Actor, verb: str, before: str) -> None:
    entries.record(
        organization=schedule.organization,
        actor=actor,
        action=f"job_schedule.{verb}",
        target=schedule,
        changes={"status": [before, schedule.status]},
    )
