"""Files of exports without a schedule: brought when they are there, or now, or once more."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.jobs.errors import NotReady
from apps.jobs.models import Job, JobDelivery, JobSchedule
from apps.jobs.services import control, deliveries, exports, work
from apps.kernel.errors import InvalidInput
from apps.records.services import records
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA
from tests.jobs.schedules.conftest import run_now
from tests.jobs.schedules.test_api import client_of, post
from tests.people import member, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _one_client(clients: Any) -> None:
    records.create(dataset=clients, values={"external_id": "C1", "name": "Ada"}, actor=ADA)


def carried_out(job: Job) -> Job:
    work.take(job_id=job.pk)
    for row in JobDelivery.objects.filter(status="waiting", next_attempt_at__lte=timezone.now()):
        assert deliveries.attempt(delivery_id=row.pk)
    job.refresh_from_db()
    return job


def test_an_export_is_ordered_with_where_it_goes(organization, clients, sftp, sftp_place, mailoutbox):
    body = {
        "dataset": "clients",
        "destinations": [
            {"kind": "location", "location": sftp_place.public_id, "path": "{number}.{ext}"},
            {"kind": "mail", "recipients": ["boss@example.com"]},
        ],
    }
    number = post(client_of(organization), "export", body, 202)["id"]
    assert deliveries.wake() == 0  # nothing is due before the file is there
    rows = JobDelivery.objects.filter(status="waiting", next_attempt_at=None)
    assert rows.count() == 2

    carried_out(Job.objects.get(number=number))

    assert {*JobDelivery.objects.values_list("status", flat=True)} == {"delivered"}
    assert b"Ada" in (sftp.folder / f"{number}.csv").read_bytes()
    assert mailoutbox[0].bcc == ["boss@example.com"]
    told = AuditEntry.objects.get(action="job.created").changes["delivered_to"]
    assert told == [None, ["Partner: {number}.{ext}", "boss@example.com"]]


def test_an_export_that_was_cancelled_delivers_when_it_is_retried(organization, clients, sftp, sftp_place):
    where = [{"kind": "location", "location": sftp_place, "path": "x.csv"}]
    job = exports.create(organization=organization, dataset=clients, actor=ADA, destinations=where)
    control.cancel(job=job, actor=ADA)
    assert deliveries.wake() == 0
    control.retry(job=job, actor=ADA)
    carried_out(job)
    assert JobDelivery.objects.get().status == "delivered"
    assert (sftp.folder / "x.csv").exists()


@pytest.mark.parametrize(
    ("destination", "pointer"),
    [
        ({"kind": "location", "path": "x.csv"}, "/destinations/0/location"),
        ({"kind": "mail", "recipients": []}, "/destinations/0/recipients"),
        ({"kind": "pigeon"}, "/destinations/0/kind"),
        ({"kind": "location", "path": "../x.csv"}, "/destinations/0/path"),
        ({"kind": "location", "path": "{what}.csv"}, "/destinations/0/path"),
    ],
)
def test_what_cannot_be_delivered_is_refused_and_nothing_ordered(organization, clients, destination, pointer):
    with pytest.raises(InvalidInput) as caught:
        exports.create(organization=organization, dataset=clients, actor=ADA, destinations=[destination])
    assert pointer in [error.pointer for error in caught.value.errors]
    assert Job.objects.count() == JobDelivery.objects.count() == 0


def test_a_finished_export_is_brought_somewhere_now(organization, clients, sftp, sftp_place):
    job = exports.create(organization=organization, dataset=clients, actor=ADA)
    client = client_of(organization)
    body = {"job": job.number, "kind": "location", "location": sftp_place.public_id, "path": "now/x.csv"}
    early = client.post("/api/v1/job-deliveries", body, format="json")
    assert (early.status_code, early.json()["type"]) == (409, "/api/errors#not_ready")
    with pytest.raises(NotReady):
        deliveries.order(job=job, destinations=[], actor=ADA)
    carried_out(job)

    made = post(client, "job-deliveries", body, 202)
    assert (made["status"], made["path"], made["job"]) == ("waiting", "now/x.csv", job.number)
    carried_out(job)
    assert (sftp.folder / "now" / "x.csv").exists()
    assert AuditEntry.objects.filter(action="job.delivery_ordered").count() == 1


def test_places_and_exports_of_others_are_unknown(organization, clients, sftp_place):
    job = carried_out(exports.create(organization=organization, dataset=clients, actor=ADA))
    other = organizations.create(name="Other")
    foreign = client_of(other)
    body = {"job": job.number, "kind": "mail", "recipients": ["a@example.com"]}
    assert foreign.post("/api/v1/job-deliveries", body, format="json").status_code == 404
    own = {
        "dataset": "clients", "destinations": [{"kind": "location", "location": sftp_place.public_id}],
    }  # fmt: skip
    answer = foreign.post("/api/v1/export", own, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/destinations/0/location")
    for scopes in (["jobs:write"], ["jobs:write", "records:read"]):
        narrow = client_of(organization, *scopes)
        to_place = {"job": job.number, "kind": "location", "location": sftp_place.public_id, "path": "x"}
        assert narrow.post("/api/v1/job-deliveries", to_place, format="json").status_code == 403
    assert JobDelivery.objects.count() == 0


def test_the_job_page_delivers_shows_and_tries_again(organization, clients, sftp, sftp_place):
    job = carried_out(exports.create(organization=organization, dataset=clients, actor=ADA))
    owner = signed_in(member(organization, "owner"))
    page, deliver = (reverse(f"admin:jobs_job_{name}", args=[job.number]) for name in ("change", "deliver"))
    assert deliver in owner.get(page).content.decode()
    wrong = owner.post(deliver, {"deliver_to": str(sftp_place.pk), "deliver_path": "a/../b", "mail_to": "x"})
    assert "may not lead upwards" in wrong.content.decode()
    assert "“x” is no e-mail address." in wrong.content.decode()
    assert "Choose a place" in owner.post(deliver, {}).content.decode()
    sftp_place.credentials = {"secret": "wrong"}
    sftp_place.save()
    assert owner.post(deliver, {"deliver_to": str(sftp_place.pk), "deliver_path": "x.csv"}).status_code == 302
    carried_out(job)

    row = JobDelivery.objects.get()
    again = reverse("admin:jobs_job_delivery_retry", args=[job.number, row.public_id])
    shown = owner.get(page).content.decode()
    assert "does not accept this user name and password. Given up after 1 try." in shown
    assert again in shown
    assert f"{job.number} was not delivered" in owner.get("/admin/").content.decode()
    assert owner.get(again).status_code == 405
    auditor = signed_in(member(organization, "auditor"))
    assert again not in auditor.get(page).content.decode()
    assert auditor.post(again).status_code == 403
    assert auditor.get(deliver).status_code == 403
    assert owner.post(again).status_code == 302
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("waiting", 0)


def test_an_export_form_orders_with_a_destination(organization, clients, sftp_place):
    owner = signed_in(member(organization, "owner"))
    address = f"{reverse('admin:jobs_export_new')}?dataset=clients"
    values = {"columns": ["name"], "format": "csv", "delimiter": ",", "encoding": "utf-8"}
    wrong = owner.post(address, {**values, "deliver_to": str(sftp_place.pk), "deliver_path": "{x}.csv"})
    assert "{x} is not known" in wrong.content.decode()
    assert owner.post(address, {**values, "deliver_to": str(sftp_place.pk)}).status_code == 302
    row = JobDelivery.objects.get()
    assert (row.location, row.next_attempt_at, row.job.export_settings["columns"]) == (
        sftp_place, None, ["name"],
    )  # fmt: skip


def test_schedules_that_fail_are_told_on_the_home_page(organization, scheduled, sftp_place):
    owner = signed_in(member(organization, "owner"))
    failing = scheduled("import", name="From nowhere", source=sftp_place, source_path="no", max_failures=2)
    for told in ("failed", "is paused after failures"):
        run_now(failing)
        assert f"{failing.number} From nowhere {told}" in owner.get("/admin/").content.decode()
    JobSchedule.objects.update(consecutive_failures=0)
    assert "From nowhere" not in owner.get("/admin/").content.decode()
