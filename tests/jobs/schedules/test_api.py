"""Schedules, places and deliveries over the API."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from apps.apikeys.services import keys
from apps.audit.models import AuditEntry
from apps.jobs.models import FileLocation, Job, JobDelivery, JobSchedule
from apps.jobs.services import fetching, live, storage, work
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.dumps import dump
from tests.jobs.schedules.conftest import CSV, put, work_off
from tests.peers.sftp_peer import PASSWORD, USER
from tests.webhooks.receiver import receiving, say

pytestmark = pytest.mark.django_db
API = "/api/v1"


def client_of(organization, *scopes):
    issued = keys.create(
        organization=organization,
        name="k",
        actor=SYSTEM,
        never_expires=True,
        scopes=list(scopes or ("*:*",)),
        permissions=keys.ALL_PERMISSIONS,
    )
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    return client


@pytest.fixture
def client(organization):
    return client_of(organization)


def place_body(sftp, **values):
    return {
        "name": "Partner", "kind": "sftp", "host": "127.0.0.1", "port": sftp.port, "username": USER,
        "host_key": sftp.fingerprint, "secret": PASSWORD, **values,
    }  # fmt: skip


def post(client, path, body=None, status=201):
    answer = client.post(f"{API}/{path}", body or {}, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_a_place_is_named_tested_changed_and_forgotten(client, sftp, clients):
    made = post(client, "file-locations", place_body(sftp))
    assert made["has_secret"] is True
    assert PASSWORD not in str(made)
    address = f"file-locations/{made['id']}"
    tested = post(client, f"{address}/test", status=200)
    assert tested == {"passed": True, "detail": "127.0.0.1 lets the hub in; the folder has 1 entries."}

    # A secret goes nowhere else than where it was meant for.
    moved = client.patch(f"{API}/{address}", {"host": "localhost"}, format="json")
    assert (moved.status_code, moved.json()["errors"][0]["pointer"]) == (422, "/secret")
    renamed = client.patch(f"{API}/{address}", {"name": "Friend", "folder": "in"}, format="json")
    assert (renamed.json()["name"], renamed.json()["test_passed"]) == ("Friend", None)
    stale = client.patch(f"{API}/{address}", {"name": "X"}, format="json", HTTP_IF_MATCH='"old"')
    assert stale.status_code == 412
    twice = client.post(f"{API}/file-locations", place_body(sftp, name="Friend"), format="json")
    assert (twice.status_code, twice.json()["errors"][0]["pointer"]) == (422, "/name")

    post(
        client,
        "job-schedules",
        {
            "name": "In", "job_type": "import", "dataset": "clients", "schedule_type": "cron",
            "crontab": "0 6 * * *", "source": made["id"],
        },
    )  # fmt: skip
    refused = client.delete(f"{API}/{address}")
    assert (refused.status_code, "SCH-" in refused.json()["detail"]) == (409, True)
    JobSchedule.objects.all().delete()
    assert client.delete(f"{API}/{address}").status_code == 204
    assert PASSWORD not in str(list(AuditEntry.objects.values()))


def test_a_schedule_from_its_making_to_its_history(client, sftp, clients):
    place = post(client, "file-locations", place_body(sftp))["id"]
    put(sftp.folder / "in", "a.csv", CSV.format(n=1))
    made = post(
        client,
        "job-schedules",
        {
            "name": "In", "job_type": "import", "dataset": "clients", "schedule_type": "interval",
            "interval_minutes": 30, "source": place, "source_path": "in", "pattern": "*.csv",
            "import_settings": {"mode": "create"},
        },
    )  # fmt: skip
    assert (made["status"], len(made["next_runs"]), made["source"]) == ("active", 5, place)
    address = f"job-schedules/{made['id']}"
    run = post(client, f"{address}/run", status=202)
    assert (run["trigger"], run["status"]) == ("manual", "waiting")
    post(client, f"{address}/run", status=409)
    assert client.delete(f"{API}/{address}").status_code == 409

    work_off(JobSchedule.objects.get().runs.get())

    (row,) = client.get(f"{API}/{address}/runs").json()["data"]
    assert (row["status"], row["files_taken"]) == ("completed", 1)
    assert row["jobs"] == [{"id": Job.objects.get().number, "status": "completed"}]
    (file,) = client.get(f"{API}/{address}/files").json()["data"]
    assert (file["path"], file["status"], file["job"]) == ("in/a.csv", "imported", row["jobs"][0]["id"])

    paused = client.patch(f"{API}/{address}", {"enabled": False}, format="json").json()
    assert (paused["status"], paused["next_run_at"], paused["next_runs"]) == ("paused", None, [])
    changed = client.patch(f"{API}/{address}", {"interval_minutes": 5}, format="json").json()
    assert (changed["status"], changed["next_run_at"]) == ("paused", None)
    assert post(client, f"{address}/resume", status=200)["status"] == "active"
    assert post(client, f"{address}/pause", status=200)["status"] == "paused"
    assert client.delete(f"{API}/{address}").status_code == 204
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {f"job_schedule.{verb}" for verb in ("created", "run", "paused", "resumed", "deleted")} <= actions
    assert Job.objects.get().run is None


def test_deliveries_are_seen_and_tried_again(client, sftp, clients):
    place = post(client, "file-locations", place_body(sftp, secret="wrong"))["id"]
    made = post(
        client,
        "job-schedules",
        {
            "name": "Out", "job_type": "export", "dataset": "clients", "schedule_type": "interval",
            "interval_minutes": 30, "export_options": {"format": "csv"},
            "destinations": [{"kind": "location", "location": place, "path": "x.csv"}],
        },
    )  # fmt: skip
    assert made["destinations"] == [
        {"kind": "location", "location": place, "path": "x.csv", "recipients": []}
    ]
    post(client, f"job-schedules/{made['id']}/run", status=202)
    run = JobSchedule.objects.get().runs.get()
    work_off(run)
    job = Job.objects.get().number
    (row,) = client.get(f"{API}/job-deliveries", {"job": job, "status": "failed"}).json()["data"]
    assert row["last_error"] == "127.0.0.1 does not accept this user name and password."

    place_now = FileLocation.objects.get()
    assert (
        client.patch(f"{API}/file-locations/{place}", {"secret": PASSWORD}, format="json").status_code == 200
    )
    assert place_now.pk
    assert post(client, f"job-deliveries/{row['id']}/retry", status=202)["status"] == "waiting"
    work_off(run)
    assert JobDelivery.objects.get().status == "delivered"
    assert (sftp.folder / "x.csv").exists()
    post(client, f"job-deliveries/{row['id']}/retry", status=409)


@pytest.mark.parametrize(
    ("scopes", "job_type"),
    [
        (["schedules:write", "jobs:write"], "export"),
        (["schedules:write", "records:read"], "export"),
        (["schedules:write", "jobs:write", "records:read"], "import"),
        (["schedules:read", "jobs:write", "records:read"], "export"),
    ],
)
def test_a_schedule_does_nothing_that_its_maker_may_not(organization, clients, scopes, job_type):
    body = {
        "name": "S", "job_type": job_type, "dataset": "clients", "schedule_type": "interval",
        "interval_minutes": 5,
    }  # fmt: skip
    answer = client_of(organization, *scopes).post(f"{API}/job-schedules", body, format="json")
    assert (answer.status_code, JobSchedule.objects.count()) == (403, 0)


def test_what_is_anothers_is_not_there(client, organization, scheduled, sftp_place):
    schedule = scheduled(destinations=[{"kind": "mail", "recipients": ["a@example.com"]}])
    stranger = client_of(organizations.create(name="Other"))
    place = sftp_place.public_id
    for path in (f"job-schedules/{schedule.number}", f"file-locations/{place}"):
        assert stranger.get(f"{API}/{path}").status_code == 404
        assert stranger.delete(f"{API}/{path}").status_code == 404
        assert client.get(f"{API}/{path}").status_code == 200
    assert stranger.post(f"{API}/file-locations/{place}/test").status_code == 404
    assert stranger.post(f"{API}/job-schedules/{schedule.number}/run").status_code == 404
    for name in ("job-schedules", "file-locations", "job-deliveries"):
        assert stranger.get(f"{API}/{name}").json()["data"] == []
    body = {
        "name": "S", "job_type": "export", "dataset": "clients", "schedule_type": "interval",
        "interval_minutes": 5, "destinations": [{"kind": "location", "location": place, "path": "x"}],
    }  # fmt: skip
    answer = stranger.post(f"{API}/job-schedules", body, format="json")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/destinations/0/location")
    fetched = {"dataset": "clients", "location": place, "path": "in/a.csv"}
    assert stranger.post(f"{API}/import/fetch", fetched, format="json").status_code == 422
    assert JobSchedule.objects.count() == 1
    assert Job.objects.count() == 0


def test_an_import_is_fetched_by_a_worker(client, organization, sftp, sftp_place):
    put(sftp.folder / "in", "a.csv", CSV.format(n=1))
    body = {"dataset": "clients", "location": sftp_place.public_id, "path": "in/a.csv", "name": "Monthly"}
    made = post(client, "import/fetch", body, 202)
    assert (made["status"], made["progress"]["fetched_bytes"], made["name"]) == ("fetching", 0, "Monthly")
    status = f"{API}/import/{made['id']}/status"
    assert client.get(status).json()["preview"] is None
    early = client.post(f"{API}/import/execute", {"job": made["id"]}, format="json")
    assert (early.status_code, early.json()["type"]) == (409, "/api/errors#not_ready")

    assert work.take(job_id=Job.objects.get(number=made["id"]).pk)

    there = client.get(status).json()
    assert (there["status"], there["preview"]["columns"][0]["name"]) == ("pending", "external_id")
    assert there["proposal"]["columns"][0]["target"] == "external_id"
    post(client, "import/execute", {"job": made["id"]}, 202)
    assert work.take(job_id=Job.objects.get(number=made["id"]).pk)
    assert client.get(status).json()["results"]["created_count"] == 1
    assert client.get(status).json()["proposal"] is None


def test_an_address_with_a_token_is_fetched_and_forgotten(client, organization):
    with receiving() as server:
        server.usual = say(200, CSV.format(n=2).encode())
        where = {"dataset": "clients", "url": f"{server.url}/b.csv?key=s3cret"}
        made = post(client, "import/fetch", where, 202)
        assert made["name"] == "127.0.0.1/hook/b.csv"
        job = Job.objects.get(number=made["id"])
        assert job.source_url.endswith("?key=s3cret")
        assert "s3cret" not in dump()
        assert work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.source_url, job.original_name) == ("pending", None, "b.csv")
    assert "s3cret" not in dump() + str(client.get(f"{API}/jobs/{job.number}").json())


def test_a_file_that_cannot_be_fetched_fails_with_the_reason_and_is_tried_again(client, organization):
    with receiving() as server:
        server.usual = say(404)
        made = post(client, "import/fetch", {"dataset": "clients", "url": server.url}, 202)
        job = Job.objects.get(number=made["id"])
        work.take(job_id=job.pk)
        job.refresh_from_db()
        assert (job.status, job.status_reason) == (
            "failed",
            "127.0.0.1 has no file at this address (HTTP 404).",
        )
        server.usual = say(503)
        post(client, f"jobs/{job.number}/retry", {}, 202)
        for _ in range(3):
            job.refresh_from_db()
            assert job.status == "fetching"
            assert work.take(job_id=job.pk)
        job.refresh_from_db()
        assert (job.status, "HTTP 503" in job.status_reason) == ("failed", True)
        server.usual = say(200, b"%PDF-nonsense")
        post(client, f"jobs/{job.number}/retry", {}, 202)
        work.take(job_id=job.pk)
        job.refresh_from_db()
        assert job.status == "failed"
        assert storage.stored_of(job) == []
        server.usual = say(200, CSV.format(n=2).encode())
        post(client, f"jobs/{job.number}/retry", {}, 202)
        work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.status_reason) == ("pending", "")


def test_a_fetch_that_is_cancelled_stops_and_leaves_nothing(client, organization, monkeypatch):
    monkeypatch.setattr(fetching, "TOLD_EVERY", 0)
    with receiving() as server:
        server.usual = say(200, CSV.format(n=2).encode())
        made = post(client, "import/fetch", {"dataset": "clients", "url": server.url}, 202)
        job = Job.objects.get(number=made["id"])
        note = live.note

        def cancels(watched, **values):
            note(watched, **values)
            if Job.objects.get(pk=job.pk).status == "fetching":
                post(client, f"jobs/{job.number}/cancel", {}, 200)

        monkeypatch.setattr(live, "note", cancels)
        work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.file_path, job.artifacts.count()) == ("cancelled", "", 0)
    assert storage.stored_of(job) == []


def test_what_cannot_be_fetched_is_refused_at_once(client, sftp_place):
    for body, pointer in (
        ({}, "/url"),
        ({"url": "https://x.example", "location": "loc_1"}, "/location"),
        ({"url": "ftp://x"}, "/url"),
        ({"url": "http://10.0.0.1/"}, "/url"),
        ({"location": sftp_place.public_id, "path": "../etc/passwd"}, "/path"),
        ({"location": sftp_place.public_id}, "/path"),
        ({"location": "loc_nothing", "path": "a.csv"}, "/location"),
    ):
        answer = client.post(f"{API}/import/fetch", {"dataset": "clients", **body}, format="json")
        assert answer.status_code == 422, answer.content
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert Job.objects.count() == 0
