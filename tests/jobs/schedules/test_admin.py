"""Schedules and places in the admin."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.jobs.models import FileLocation, Job, JobSchedule
from apps.jobs.services import work
from apps.webhooks.models import WebhookEndpoint
from tests.jobs.schedules.conftest import CSV, put, run_now
from tests.people import member, signed_in
from tests.webhooks.receiver import receiving

CONFIRMED = {"_confirmed": "1"}
pytestmark = pytest.mark.django_db


@pytest.fixture
def owner(organization):
    return signed_in(member(organization, "owner"))


def test_a_file_of_a_place_is_fetched_by_a_worker_and_looked_at(owner, clients, sftp, sftp_place):
    put(sftp.folder / "in", "a.csv", CSV.format(n=1))
    page = reverse("admin:jobs_import_new")
    where = {"dataset": "clients", "source": "place", "place": sftp_place.public_id}
    assert "may not lead upwards" in owner.post(page, {**where, "path": "../x"}).content.decode()
    assert Job.objects.count() == 0
    answer = owner.post(page, {**where, "path": "in/a.csv"})
    job = Job.objects.get()
    assert answer.url == reverse("admin:jobs_job_change", args=[job.number])
    shown = owner.get(answer.url).content.decode()
    assert "Fetching its file" in shown
    assert "Partner: in/a.csv" in shown
    assert owner.get(reverse("admin:jobs_job_changelist")).status_code == 200
    assert owner.get(reverse("admin:jobs_import_file", args=[job.number])).status_code == 404
    owner.post(page, {**where, "path": "in/none.csv"})
    absent = Job.objects.exclude(pk=job.pk).get()
    work.take(job_id=absent.pk)
    assert f"{absent.number} Partner: in/none.csv failed" in owner.get("/admin/").content.decode()
    work.take(job_id=job.pk)
    assert reverse("admin:jobs_import", args=[job.number]) in owner.get(answer.url).content.decode()
    assert owner.get(reverse("admin:jobs_import_file", args=[job.number])).status_code == 200


def form(clients, **values):
    return {
        "name": "Clients every morning",
        "job_type": "export",
        "into": str(clients.pk),
        "schedule_type": "cron",
        "crontab": "30 6 * * mon-fri",
        "interval_count": "1",
        "interval_unit": "1440",
        "after_import": "keep",
        "mode": "upsert",
        "on_error": "skip",
        "format": "csv",
        "max_failures": "5",
        "notify_on_error": "on",
        "notify_emails": "ada@example.com, bob@example.com",
        "_save": "Save",
        **values,
    }


def test_a_schedule_is_made_changed_run_and_deleted(owner, clients, s3_place):
    add = reverse("admin:jobs_jobschedule_add")
    assert owner.get(add).status_code == 200
    with receiving() as server:
        answer = owner.post(
            add, form(clients, deliver_to=str(s3_place.pk), mail_to="a@example.com", webhook_url=server.url)
        )
    assert answer.status_code == 302, answer.context["errors"]
    schedule = JobSchedule.objects.get()
    number = WebhookEndpoint.objects.get().number
    assert schedule.notifications == {
        "notify_on_error": True,
        "notify_on_completion": False,
        "notify_emails": ["ada@example.com", "bob@example.com"],
        "webhook": number,
    }
    assert [row.kind for row in schedule.destinations.all()] == ["location", "mail"]

    change = reverse("admin:jobs_jobschedule_change", args=[schedule.number])
    shown = owner.get(change).content.decode()
    assert number in shown
    assert "It has not run yet" in shown
    changed = owner.post(change, form(clients, deliver_to=str(s3_place.pk), crontab="0 7 * * *"))
    assert changed.status_code == 302, changed.context["errors"]
    schedule.refresh_from_db()
    assert (schedule.crontab, schedule.destinations.get().location) == ("0 7 * * *", s3_place)
    assert schedule.notifications["webhook"] == number
    entries = AuditEntry.objects.filter(object_ref=schedule.number).order_by("pk")
    assert list(entries.values_list("action", flat=True)) == ["job_schedule.created", "job_schedule.updated"]
    assert entries[1].changes["crontab"] == ["30 6 * * mon-fri", "0 7 * * *"]

    owner.post(reverse("admin:jobs_jobschedule_run_now", args=[schedule.number]), CONFIRMED)
    assert schedule.runs.count() == 1
    schedule.runs.all().delete()
    run_now(schedule)
    assert "JOB-" in owner.get(change).content.decode()
    owner.post(reverse("admin:jobs_jobschedule_pause", args=[schedule.number]), CONFIRMED)
    schedule.refresh_from_db()
    assert schedule.status == "paused"
    assert "Paused by" in owner.get(change).content.decode()

    delete = reverse("admin:jobs_jobschedule_delete", args=[schedule.number])
    assert owner.get(delete).status_code == 200
    assert JobSchedule.objects.count() == 1
    owner.post(delete, {"post": "yes"})
    assert JobSchedule.objects.count() == 0


def test_what_is_wrong_is_said_at_its_field(owner, clients):
    add = reverse("admin:jobs_jobschedule_add")
    answer = owner.post(add, form(clients, crontab="nonsense", columns="nope", mail_to="x"))
    errors = answer.context["adminform"].form.errors
    assert set(errors) == {"crontab", "columns", "mail_to"}, errors
    assert "five fields" in str(errors["crontab"])
    assert JobSchedule.objects.count() == 0


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"schedule_type": "cron", "crontab": "0 6 * * *"}, 5),
        ({"schedule_type": "interval", "interval_count": "2", "interval_unit": "60"}, 5),
        ({"schedule_type": "once", "run_at": "2099-01-01T06:00"}, 1),
        ({"schedule_type": "once", "run_at": "2001-01-01T06:00"}, "gone by"),
        ({"schedule_type": "cron", "crontab": "0 6"}, "five fields"),
        ({"schedule_type": "interval", "interval_count": "-1"}, "An interval"),
        ({"schedule_type": "once", "run_at": "2001-99-01T06:00"}, "month must be"),
        ({}, "Say when"),
    ],
)
def test_the_next_runs_are_shown_while_one_types(owner, query, said):
    answer = owner.get(reverse("admin:jobs_jobschedule_next"), query).json()
    if isinstance(said, int):
        assert (len(answer["times"]), answer["error"]) == (said, "")
    else:
        assert (answer["times"], said in answer["error"]) == ([], True)


def test_a_place_keeps_its_secret(owner, sftp_place):
    change = reverse("admin:jobs_filelocation_change", args=[sftp_place.public_id])
    page = owner.get(change).content.decode()
    assert "correct horse" not in page
    body = {
        "name": "Renamed", "kind": "sftp", "host": "127.0.0.1", "port": str(sftp_place.port),
        "host_key": sftp_place.host_key, "username": sftp_place.username, "secret": "", "_save": "Save",
    }  # fmt: skip
    answer = owner.post(change, body)
    assert answer.status_code == 302, answer.context["errors"]
    place = FileLocation.objects.get()
    assert (place.name, place.credentials) == ("Renamed", {"secret": "correct horse"})
    refused = owner.post(change, {**body, "host": "localhost"})
    assert "enter the secret" in refused.content.decode()
    owner.post(reverse("admin:jobs_filelocation_test_now", args=[place.public_id]), CONFIRMED)
    place.refresh_from_db()
    assert place.test_passed is True


def test_staff_sees_no_places(organization, sftp_place):
    staff = signed_in(member(organization, "staff"))
    assert staff.get(reverse("admin:jobs_filelocation_changelist")).status_code == 403
    assert staff.get(reverse("admin:jobs_jobschedule_add")).status_code == 403
