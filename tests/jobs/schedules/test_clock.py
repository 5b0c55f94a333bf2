"""When schedules run: by the clock, once, whoever ticks, whatever was missed."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.jobs.models import Job, JobSchedule, ScheduleRun
from apps.jobs.services import schedule_runs, schedules
from apps.kernel.errors import Conflict, InvalidInput
from tests.jobs.conftest import ADA
from tests.jobs.schedules.conftest import run_now, work_off

pytestmark = pytest.mark.django_db


def make_due(schedule, minutes=0):
    due = timezone.now() - timedelta(minutes=minutes)
    JobSchedule.objects.filter(pk=schedule.pk).update(next_run_at=due)
    return due


def test_a_due_schedule_runs_once_and_moves_on(scheduled):
    schedule = scheduled()
    assert schedule.next_run_at - timezone.now() > timedelta(minutes=59)
    assert schedule_runs.start_due() == 0
    due = make_due(schedule)

    assert schedule_runs.start_due() == 1
    assert schedule_runs.start_due() == 0

    run = ScheduleRun.objects.get()
    assert (run.scheduled_for, run.trigger, run.status) == (due, "schedule", "waiting")
    schedule.refresh_from_db()
    assert schedule.next_run_at == due + timedelta(minutes=60)
    work_off(run)
    job = Job.objects.get()
    assert (job.status, job.run, job.is_scheduled, job.scheduled_at) == ("completed", run, True, due)
    assert run.status == "completed"
    schedule.refresh_from_db()
    assert (schedule.last_run_status, schedule.consecutive_failures) == ("completed", 0)


def test_what_was_missed_is_caught_up_once(scheduled):
    schedule = scheduled(interval_minutes=10)
    due = make_due(schedule, minutes=95)

    assert schedule_runs.start_due() == 1
    schedule.refresh_from_db()
    assert schedule.next_run_at == due + timedelta(minutes=100)
    assert schedule_runs.start_due() == 0
    assert ScheduleRun.objects.count() == 1


def test_a_run_that_is_not_over_lets_the_next_one_pass_by(scheduled):
    schedule = scheduled()
    make_due(schedule, minutes=5)
    schedule_runs.start_due()
    make_due(schedule)

    assert schedule_runs.start_due() == 0

    skipped, waiting = ScheduleRun.objects.order_by("-id")
    assert (skipped.status, skipped.reason) == ("skipped", "The run before it was not over.")
    assert waiting.status == "waiting"
    assert work_off(waiting).status == "completed"
    assert Job.objects.count() == 1
    schedules.run_now(schedule=schedule, actor=ADA)
    with pytest.raises(Conflict, match="is running already"):
        schedules.run_now(schedule=schedule, actor=ADA)


@pytest.mark.django_db(transaction=True)
def test_many_schedulers_start_each_time_once(scheduled):
    for number in range(5):
        make_due(scheduled(name=f"Schedule {number}"))
    started, errors = [], []

    def tick():
        try:
            started.append(schedule_runs.start_due())
        except Exception as error:
            errors.append(error)
        connection.close()

    threads = [threading.Thread(target=tick) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert sum(started) == ScheduleRun.objects.count() == 5


def test_once_is_once(scheduled):
    when = timezone.now() + timedelta(days=1)
    schedule = scheduled(schedule_type="once", run_at=when, interval_minutes=0)
    assert schedule.next_run_at == when
    make_due(schedule)

    assert schedule_runs.start_due(when + timedelta(hours=1)) == 1

    schedule.refresh_from_db()
    assert (schedule.status, schedule.next_run_at) == ("finished", None)
    JobSchedule.objects.filter(pk=schedule.pk).update(run_at=timezone.now())
    schedule.refresh_from_db()
    with pytest.raises(Conflict, match="has gone by"):
        schedules.resume(schedule=schedule, actor=ADA)


def test_times_are_those_of_the_organization(scheduled, organization):
    organization.timezone = "Europe/Berlin"
    organization.save()
    schedule = scheduled(schedule_type="cron", crontab="30 2 * * *", interval_minutes=0)
    schedule.organization = organization
    # 29 March 2026: 02:30 does not exist. 25 October 2026: it happens twice.
    spring = schedule.timetable.upcoming(datetime(2026, 3, 28, 12, tzinfo=UTC), 2)
    assert [f"{time:%d %H:%M}" for time in spring] == ["29 01:30", "30 00:30"]
    autumn = schedule.timetable.upcoming(datetime(2026, 10, 24, 12, tzinfo=UTC), 2)
    assert [f"{time:%d %H:%M}" for time in autumn] == ["25 00:30", "26 01:30"]


def test_paused_schedules_do_not_run_and_go_on_from_their_next_time(scheduled):
    schedule = scheduled()
    make_due(schedule)
    schedule.refresh_from_db()

    schedules.pause(schedule=schedule, actor=ADA)
    assert schedule_runs.start_due() == 0
    assert schedule.status_reason == "Paused by Ada Lovelace."

    schedules.resume(schedule=schedule, actor=ADA)
    assert schedule.next_run_at > timezone.now() + timedelta(minutes=59)
    assert ScheduleRun.objects.count() == 0


def test_running_now_is_a_run_of_its_own(scheduled):
    schedule = scheduled()
    before = schedule.next_run_at

    run = run_now(schedule)

    assert (run.status, run.trigger, run.actor_label) == ("completed", "manual", "Ada Lovelace")
    schedule.refresh_from_db()
    assert schedule.next_run_at == before


@pytest.mark.parametrize(
    ("values", "pointer", "said"),
    [
        ({"schedule_type": "cron", "crontab": "* * *"}, "/crontab", "five fields"),
        ({"schedule_type": "cron", "crontab": "61 * * * *"}, "/crontab", "not a valid minute"),
        ({"interval_minutes": 0}, "/interval_minutes", "1 minute"),
        ({"schedule_type": "once", "run_at": None}, "/run_at", "when it runs"),
        ({"schedule_type": "sometimes"}, "/schedule_type", "once, interval, cron"),
        ({"name": " "}, "/name", "a name"),
        ({"export_options": {"format": "doc"}}, "/export_options/format", "no format"),
        ({"export_options": {"columns": ["nope"]}}, "/export_options/columns/0", "no field"),
        ({"destinations": [{"kind": "mail", "recipients": []}]}, "/destinations/0/recipients", "at least"),
        ({"destinations": [{"kind": "mail", "recipients": ["x"]}]}, "/destinations/0/recipients", "e-mail"),
        ({"destinations": [{"kind": "location"}]}, "/destinations/0/location", "Choose the place"),
        ({"destinations": [{"kind": "notice"}]}, "/destinations/0/kind", "location or a mail"),
        ({"notifications": {"notify_emails": ["y"]}}, "/notifications/notify_emails", "e-mail"),
        ({"job_type": "import"}, "/source", "Choose the place"),
    ],
)
def test_what_cannot_run_is_refused_at_once_and_leaves_nothing(scheduled, values, pointer, said):
    with pytest.raises(InvalidInput) as caught:
        scheduled(**values)

    assert (caught.value.errors[0].pointer, said in caught.value.errors[0].detail) == (pointer, True)
    assert JobSchedule.objects.count() == Job.objects.count() == 0


def test_failures_in_a_row_pause_it_and_say_so(scheduled, mailoutbox):
    schedule = scheduled(
        max_failures=2, notifications={"notify_on_error": True, "notify_emails": ["ops@example.com"]}
    )
    JobSchedule.objects.update(export_options={"filters": {"gone": "1"}})
    schedule.refresh_from_db()

    assert run_now(schedule).status == "failed"
    schedule.refresh_from_db()
    assert (schedule.status, schedule.consecutive_failures) == ("active", 1)
    assert run_now(schedule).status == "failed"

    schedule.refresh_from_db()
    assert (schedule.status, schedule.next_run_at) == ("paused", None)
    assert schedule.status_reason.startswith("It failed 2 times in a row.")
    assert [mail.subject for mail in mailoutbox] == [
        "Scheduled export failed: Nightly",
        "Scheduled export is paused after failures: Nightly",
    ]
    assert "gone" in mailoutbox[0].body
    assert mailoutbox[0].bcc == ["ops@example.com"]
    schedules.resume(schedule=schedule, actor=ADA)
    assert schedule.consecutive_failures == 0
