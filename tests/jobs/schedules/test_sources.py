"""Imports that fetch their files: each once, the oldest first, and nothing that should not be."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.jobs.models import FetchedFile, FileLocation, Job, JobSchedule, ScheduleRun
from apps.jobs.services import disposals, fetching, locations, schedule_runs, schedules, storage, work
from apps.kernel.errors import InvalidInput
from apps.records.models import Record
from apps.records.services import mappings
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA
from tests.jobs.schedules.conftest import CSV, put, run_now, work_off
from tests.jobs.test_admin import signed_in
from tests.peers.sftp_peer import USER
from tests.webhooks.receiver import receiving, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def fetching_from(scheduled):
    def make(place, **values):
        given = {"source_path": "in", "pattern": "*.csv", **values}
        return scheduled("import", source=place, **given)

    return make


def taken():
    return [(row.path, row.status) for row in FetchedFile.objects.order_by("id")]


def test_files_are_taken_once_and_the_oldest_first(fetching_from, sftp, sftp_place):
    folder = sftp.folder / "in"
    put(folder, "b.csv", CSV.format(n=2), age=10)
    put(folder, "a.csv", CSV.format(n=1), age=5)
    put(folder, "c.txt", "no match")
    (folder / "sub.csv").mkdir()
    schedule = fetching_from(sftp_place)

    run = run_now(schedule)

    assert (run.status, run.files_found, run.files_taken) == ("completed", 2, 2)
    jobs = Job.objects.order_by("id")
    assert [(job.original_name, job.status, job.created_count) for job in jobs] == [
        ("b.csv", "completed", 1),
        ("a.csv", "completed", 1),
    ]
    assert jobs[0].completed_at <= jobs[1].started_at
    assert Record.objects.count() == 2

    again = run_now(schedule)
    assert (again.status, again.reason, again.files_taken) == ("completed", "There was no new file.", 0)
    assert Job.objects.count() == 2

    put(folder, "a.csv", CSV.format(n=3))
    run_now(schedule)
    assert [job.original_name for job in Job.objects.order_by("id")][2:] == ["a.csv"]
    os.utime(folder / "a.csv", (1_790_000_000, 1_790_000_000))
    run_now(schedule)
    assert taken()[-1] == ("in/a.csv", "duplicate")
    assert Job.objects.count() == 3


def test_s3_files_below_a_prefix(fetching_from, s3, s3_place):
    s3.put("in/orders-1.csv", CSV.format(n=1).encode())
    s3.put("in/orders-2.csv", CSV.format(n=2).encode())
    s3.put("in/deeper/orders-3.csv", CSV.format(n=3).encode())
    s3.put("elsewhere.csv", CSV.format(n=4).encode())

    run = run_now(fetching_from(s3_place, pattern="orders-*.csv"))

    assert (run.status, run.files_taken) == ("completed", 2)
    assert sorted(job.original_name for job in Job.objects.all()) == ["orders-1.csv", "orders-2.csv"]


def test_a_web_address_is_read_each_time_and_imported_when_it_changed(fetching_from, organization):
    with receiving() as server:
        server.usual = say(200, CSV.format(n=1).encode(), Content_Type="text/csv")
        base = server.url.rpartition("/")[0]
        place = locations.create(
            organization=organization, actor=ADA, name="Web", kind="https", base_url=base, secret="t0ken",
        )  # fmt: skip
        schedule = fetching_from(place, source_path="export/daily file.csv", pattern="")

        assert run_now(schedule).files_taken == 1
        assert run_now(schedule).status == "completed"
        assert Job.objects.count() == 1
        for n in (2, 1):  # it may become again what it was
            server.usual = say(200, CSV.format(n=n).encode())
            run_now(schedule)

    assert Job.objects.count() == 3
    assert server.arrivals[0].path == "/export/daily%20file.csv"
    assert server.arrivals[0].headers["authorization"] == "Bearer t0ken"


def test_what_cannot_be_imported_is_passed_over_and_said(fetching_from, sftp, sftp_place, mailoutbox):
    folder = sftp.folder / "in"
    put(folder, "1.csv", "", age=9)
    put(folder, "2.csv", "foo,bar\n1,2\n", age=8)
    put(folder, "3.csv", CSV.format(n=3), age=7)
    schedule = fetching_from(
        sftp_place, notifications={"notify_on_error": True, "notify_emails": ["ops@example.com"]}
    )

    run = run_now(schedule)

    assert run.status == "failed"
    assert "“in/1.csv” was not imported: The file is empty." in run.reason
    assert taken() == [("in/1.csv", "refused"), ("in/2.csv", "refused"), ("in/3.csv", "imported")]
    assert Job.objects.get().status == "completed"
    assert [mail.subject for mail in mailoutbox] == ["Scheduled import failed: Nightly"]
    assert run_now(schedule).status == "completed"


def test_a_saved_mapping_that_does_not_fit_is_not_replaced_by_a_guess(
    fetching_from, sftp, sftp_place, organization, clients
):
    spec = {"fields": [{"target": "external_id", "source": "ID"}, {"target": "name", "source": "Name"}]}
    mapping = mappings.save(organization=organization, dataset=clients, name="m", spec=spec, actor=ADA)
    put(sftp.folder / "in", "1.csv", CSV.format(n=1))
    put(sftp.folder / "in", "2.csv", "ID;Name\n7;Seven\n")
    schedule = fetching_from(sftp_place, mapping=mapping)

    assert "The mapping “m” does not fit" in run_now(schedule).reason
    assert [row.data["name"] for row in Record.objects.all()] == ["Seven"]


@pytest.mark.parametrize(
    ("after", "left"), [("move", ["in", "done", "in/new.csv", "done/a.csv"]), ("delete", None)]
)
def test_imported_files_are_moved_or_deleted_where_that_was_asked(
    fetching_from, sftp, sftp_place, after, left
):
    folder = sftp.folder / "in"
    put(folder, "a.csv", CSV.format(n=1))
    schedule = fetching_from(sftp_place, after_import=after, move_to="done" if after == "move" else "")
    run_now(schedule)
    put(folder, "new.csv", "came later")

    assert disposals.dispose_due() == 1
    assert disposals.dispose_due() == 0

    found = sorted(str(p.relative_to(sftp.folder)) for p in sftp.folder.rglob("*"))
    assert found == sorted(left or ["in", "in/new.csv"])


def test_a_file_that_was_replaced_after_its_import_is_not_deleted(fetching_from, sftp, sftp_place):
    folder = sftp.folder / "in"
    put(folder, "a.csv", CSV.format(n=1))
    schedule = fetching_from(sftp_place, after_import="delete")
    run_now(schedule)
    put(folder, "a.csv", CSV.format(n=22), age=-60)

    disposals.dispose_due()

    assert (folder / "a.csv").exists()
    run_now(schedule)
    assert Record.objects.count() == 2


def test_a_failed_import_leaves_the_file_where_it_is(fetching_from, sftp, sftp_place):
    put(sftp.folder / "in", "a.csv", "external_id,name,email\n1,One,nonsense\n")
    schedule = fetching_from(
        sftp_place, after_import="delete", import_settings={"stop_on_error": True, "skip_errors": False}
    )
    assert run_now(schedule).status == "failed"
    assert disposals.dispose_due() == 0
    assert (sftp.folder / "in" / "a.csv").exists()


# --- attacks and faults


def test_a_file_that_is_replaced_while_it_is_read_is_taken_later_and_whole(fetching_from, sftp, sftp_place):
    folder = sftp.folder / "in"
    put(folder, "a.csv", CSV.format(n=1))
    sftp.on_read = lambda path: put(folder, "a.csv", "external_id,name\n1,Other\n2,Two\n", age=-9)
    run = run_now(fetching_from(sftp_place))

    assert (run.status, run.attempts, Job.objects.count()) == ("waiting", 1, 0)
    assert "“a.csv” was written while it was read" in run.reason
    sftp.on_read = None
    ScheduleRun.objects.update(due_at=timezone.now())
    assert work_off(run).status == "completed"
    assert Record.objects.count() == 2


def test_names_that_lead_elsewhere_are_not_followed(fetching_from, sftp, sftp_place):
    sftp.also_listed = ["../../etc/passwd.csv", "/etc/x.csv", "a\\b.csv", "a\nb.csv", ".hidden.csv", "..", ""]
    put(sftp.folder / "in", "good.csv", CSV.format(n=1))

    run_now(fetching_from(sftp_place))

    assert taken() == [("in/good.csv", "imported")]


def test_endless_and_huge_files_end(fetching_from, sftp, sftp_place, settings):
    settings.HUB_IMPORT_MAX_BYTES = 100_000
    put(sftp.folder / "in", "a.csv", CSV.format(n=1))
    sftp.endless = True
    run = run_now(fetching_from(sftp_place))
    assert (run.status, run.reason) == (
        "failed",
        "The file is larger than 0 MB, which is the most that is accepted.",
    )
    sftp.endless = False
    (sftp.folder / "in" / "a.csv").write_bytes(b"x" * 200_000)
    assert run_now(JobSchedule.objects.get()).status == "failed"
    assert Job.objects.count() == 0


def test_a_server_with_another_key_gets_no_password(fetching_from, sftp, sftp_place):
    FileLocation.objects.update(host_key="SHA256:" + "A" * 43)
    put(sftp.folder / "in", "a.csv", CSV.format(n=1))

    run = run_now(fetching_from(FileLocation.objects.get()))

    assert run.status == "failed"
    assert "shows another key" in run.reason
    assert sftp.logins == []


def test_a_private_key_lets_in_and_a_wrong_password_does_not(organization, sftp):
    given = {"organization": organization, "actor": ADA, "kind": "sftp", "host": "127.0.0.1"}
    keyed = locations.create(
        **given, name="keyed", port=sftp.port, host_key=sftp.host_key, username=USER,
        private_key=sftp.client_key,
    )  # fmt: skip
    assert locations.test(location=keyed, actor=ADA) == (
        True,
        "127.0.0.1 lets the hub in; the folder has 1 entries.",
    )
    wrong = locations.create(
        **given, name="wrong", port=sftp.port, host_key=sftp.host_key, username=USER, secret="guess"
    )
    assert locations.test(location=wrong, actor=ADA) == (
        False,
        "127.0.0.1 does not accept this user name and password.",
    )
    unknown = locations.create(**given, name="new", port=sftp.port, username=USER, secret="guess")
    passed, said = locations.test(location=unknown, actor=ADA)
    assert (passed, "shows the key SHA256:" in said) == (False, True)
    assert sftp.logins == [f"key {USER}", f"password {USER}"]


def test_inner_addresses_are_refused_for_every_kind_of_place(organization, settings):
    settings.HUB_OUTBOUND_ALLOW = []
    given = {"organization": organization, "actor": ADA, "username": "u", "secret": "s"}
    for values in (
        {"kind": "sftp", "host": "127.0.0.1"},
        {"kind": "sftp", "host": "169.254.169.254"},
        {"kind": "s3", "bucket": "abc", "endpoint_url": "http://169.254.169.254"},
        {"kind": "https", "base_url": "http://localhost:8000/"},
        {"kind": "https", "base_url": "file:///etc/passwd"},
    ):
        with pytest.raises(InvalidInput):
            locations.create(**given, name="inner", **values)
    assert FileLocation.objects.count() == 0


@pytest.mark.parametrize("kind", ["sftp", "s3", "https"])
def test_a_name_that_leads_to_an_inner_address_is_refused_when_it_is_called(
    organization, settings, monkeypatch, kind
):
    """The name is public when it is saved; what it leads to is judged at each connection."""
    settings.HUB_OUTBOUND_ALLOW = []
    where = {
        "sftp": {"host": "rebinding.example.com", "host_key": "SHA256:x"},
        "s3": {"bucket": "abc", "endpoint_url": "http://rebinding.example.com"},
        "https": {"base_url": "http://rebinding.example.com"},
    }[kind]
    place = locations.create(
        organization=organization, actor=ADA, name="p", kind=kind, username="u", secret="s", **where
    )
    monkeypatch.setattr("socket.getaddrinfo", lambda *a, **k: [(2, 1, 6, "", ("127.0.0.1", 0))])
    passed, said = locations.test(location=place, actor=ADA)
    assert (passed, "not public" in said or "cannot be resolved" in said) == (False, True)


def fetched(organization, clients, url):
    """An import whose file a worker has fetched, or could not."""
    job = fetching.order(organization=organization, dataset=clients, url=url, actor=ADA)
    assert work.take(job_id=job.pk)
    job.refresh_from_db()
    return job


def test_a_redirect_to_an_inner_address_is_not_followed(organization, clients, settings):
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.1/32"]
    with receiving() as server:
        server.usual = say(302, Location="http://127.0.0.2:9/secret.csv")
        assert "not public" in fetched(organization, clients, server.url).status_reason
        server.usual = say(302, Location=server.url)
        assert "without an end" in fetched(organization, clients, server.url).status_reason
        assert len(server.arrivals) == 7
    assert {*Job.objects.values_list("status", "file_path")} == {("failed", "")}


def test_the_name_that_an_answer_gives_its_file_is_a_name_only(organization, clients):
    with receiving() as server:
        server.usual = say(
            200,
            CSV.format(n=1).encode(),
            Content_Disposition='attachment; filename="../../../etc/cron.d/x.csv"',
        )
        job = fetched(organization, clients, server.url)
    assert job.original_name == "x.csv"
    assert job.file_path.startswith(f"organizations/{organization.pk.hex}/jobs/")


def test_a_large_answer_is_given_up_before_it_is_whole(organization, clients, settings):
    settings.HUB_IMPORT_MAX_BYTES = 1000
    with receiving() as server:
        server.usual = say(200, b"x" * 2000)
        job = fetched(organization, clients, server.url)
    assert (job.status, "larger than" in job.status_reason, storage.stored_of(job)) == ("failed", True, [])


@pytest.mark.parametrize("path", ["../up", "a/../../b", "a\\b", "a\0b"])
def test_paths_that_lead_upwards_are_refused(fetching_from, sftp_place, path):
    with pytest.raises(InvalidInput):
        fetching_from(sftp_place, source_path=path)
    assert JobSchedule.objects.count() == 0


def test_a_source_that_is_down_is_tried_again_and_then_given_up(fetching_from, sftp, sftp_place):
    schedule = fetching_from(sftp_place)
    sftp.stop()
    run = schedules.run_now(schedule=schedule, actor=ADA)
    waits = []
    for _ in range(5):
        ScheduleRun.objects.filter(status="waiting").update(due_at=timezone.now() - timedelta(seconds=1))
        assert schedule_runs.take(run_id=run.pk)
        run.refresh_from_db()
        waits.append(round((run.due_at - timezone.now()).total_seconds() / 60))
    assert waits[:4] == [1, 5, 15, 60]
    assert (run.status, "cannot be reached" in run.reason) == ("failed", True)


def test_places_of_others_are_no_sources(scheduled, sftp_place):
    other = organizations.create(name="Other")
    FileLocation.objects.update(organization=other)
    sftp_place.refresh_from_db()
    with pytest.raises(InvalidInput, match="no such place"):
        scheduled("import", source=sftp_place)


def test_a_file_of_a_place_is_imported_by_hand(organization, clients, sftp, sftp_place):
    staff = signed_in(organization, Role.ADMIN)
    put(sftp.folder, "old.csv", "external_id,name\nA,Anna\n", age=60)
    put(sftp.folder, "new.csv", "external_id,name\nB,Bert\n")
    seen = staff.post("/admin/jobs/import/place/", {"place": sftp_place.public_id, "path": ""}).json()
    assert [file["path"] for file in seen["files"]] == ["new.csv", "old.csv"]
    given = {"dataset": "clients", "source": "place", "place": sftp_place.public_id}
    assert staff.post("/admin/jobs/import/", {**given, "path": "old.csv"}).status_code == 302
    job = Job.objects.get()
    assert work.take(job_id=job.pk)
    job.refresh_from_db()
    assert (job.original_name, job.preview["rows"][0]["cells"]) == ("old.csv", ["A", "Anna"])
    staff.post("/admin/jobs/import/", {**given, "path": "none.csv"})
    absent = Job.objects.exclude(pk=job.pk).get()
    assert work.take(job_id=absent.pk)
    absent.refresh_from_db()
    assert (absent.status, "none.csv" in absent.status_reason) == ("failed", True)
    refused = staff.post("/admin/jobs/import/place/", {"place": sftp_place.public_id, "path": "../x"})
    assert "may not lead upwards" in refused.json()["error"]
    stranger = signed_in(organizations.create(name="Contoso"), Role.ADMIN, "other@example.com")
    asked = {"place": sftp_place.public_id, "path": ""}
    assert stranger.post("/admin/jobs/import/place/", asked).status_code == 404
    assert Job.objects.count() == 2
