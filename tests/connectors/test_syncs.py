"""Trips of rows from a provider into the hub."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.connectors.errors import NotActive, SyncRunning
from apps.connectors.models import Integration, IntegrationLog, SyncError, SyncJob
from apps.connectors.services import integrations, lifecycle, row_errors, running, syncs, ticking
from apps.events.models import Event
from apps.kernel.errors import Conflict, InvalidInput
from apps.records.models import Change, Link, Record
from apps.tenants.principals import SYSTEM
from tests.connectors.shop import CUSTOMERS, customer, stream


def live_keys(organization):
    rows = Record.objects.filter(organization=organization, deleted_at=None)
    return sorted(map(int, rows.values_list("key", flat=True)))


def counts(job):
    return {name: getattr(job, name) for name in ("created", "updated", "unchanged", "deleted", "failed")}


def events(organization, prefix="sync."):
    rows = Event.objects.filter(organization=organization, type__startswith=prefix).order_by("id")
    return list(rows.values_list("type", flat=True))


def test_a_first_sync_takes_everything_over(organization, connect, sync, peer):
    integration = connect()

    job = sync(integration)

    assert (job.status, job.processed, job.created, job.failed, job.pages) == ("completed", 25, 25, 0, 3)
    assert live_keys(organization) == list(range(1, 26))
    record = Record.objects.get(organization=organization, key="7")
    assert record.data == {"external_id": "7", "name": "Customer 7", "email": "customer7@example.com"}
    assert Change.objects.filter(origin__kind="sync", origin__ref=job.number).count() == 25
    assert Link.objects.filter(source=integration.number, stream="customers").count() == 25
    assert IntegrationLog.objects.filter(sync_job=job).count() == 3
    assert SyncError.objects.count() == 0
    row = integration.streams.get()
    assert row.cursor == "2026-01-01T10:25:00Z"
    integration.refresh_from_db()
    assert (integration.last_sync_status, integration.health_status) == ("completed", "healthy")
    assert events(organization) == ["sync.started", "sync.completed"]


def test_the_next_sync_asks_only_for_changes(organization, connect, sync, peer):
    integration = connect()
    sync(integration)
    peer.requests.clear()
    peer.collections["customers"][4]["name"] = "Renamed"
    peer.collections["customers"][4]["updated_at"] = "2026-02-01T00:00:00Z"
    peer.collections["customers"].append(customer(99))

    job = sync(integration)

    assert peer.requests[0].query["updated_since"] == "2026-01-01T10:25:00Z"
    assert counts(job) == {"created": 1, "updated": 1, "unchanged": 1, "deleted": 0, "failed": 0}
    assert Record.objects.get(organization=organization, key="5").data["name"] == "Renamed"
    assert job.type == "incremental"
    streams = job.streams.get()
    assert (streams.cursor_before, streams.cursor_after) == ("2026-01-01T10:25:00Z", "2026-02-01T00:00:00Z")


def test_a_full_sync_reads_everything_and_writes_nothing_twice(connect, sync, peer):
    integration = connect()
    sync(integration)

    job = sync(integration, mode="full")

    assert (job.type, counts(job)["unchanged"], job.processed) == ("full", 25, 25)
    assert Change.objects.count() == 25


@pytest.mark.parametrize(
    ("path", "records", "paginate"),
    [
        ("/all/customers", "@", {"kind": "none"}),
        ("/page/customers", "data", {"kind": "page", "param": "page", "pages_path": "pages"}),
        ("/page/customers", "data", {"kind": "page", "param": "page", "size_param": "limit", "size": 7}),
        ("/offset/customers", "items", {"kind": "offset", "param": "offset", "more_path": "has_more"}),
        (
            "/row/customers",
            "data",
            {"kind": "cursor", "param": "starting_after", "last_row_path": "id", "more_path": "has_more"},
        ),
        ("/link/customers", "@", {"kind": "link_header"}),
        (
            "/body/customers",
            "value",
            {"kind": "link_body", "next_path": "next", "size_param": "limit", "size": 9},
        ),
    ],
)
def test_every_way_of_paging(organization, connect, sync, peer, path, records, paginate):
    integration = connect(stream(request={"path": path}, records_path=records, paginate=paginate))

    job = sync(integration)

    assert (job.status, job.created, job.failed) == ("completed", 25, 0)
    assert live_keys(organization) == list(range(1, 26))


def test_rows_that_move_while_reading_are_written_once(organization, connect, sync, peer):
    peer.fault("twice", path="/page")
    integration = connect(
        stream(
            request={"path": "/page/customers"},
            records_path="data",
            paginate={"kind": "page", "param": "page", "pages_path": "pages"},
        )
    )

    job = sync(integration)

    assert (job.status, job.created, job.unchanged) == ("completed", 25, 2)
    assert Change.objects.count() == 25


@pytest.mark.parametrize(
    ("kind", "options"),
    [("status", {"status": 500}), ("drop", {}), ("broken_json", {})],
)
def test_a_passing_fault_is_waited_out(organization, connect, sync, peer, kind, options):
    integration = connect()
    peer.fault(kind, path="/cursor", after=1, times=1, **options)

    job = sync(integration)

    assert (job.status, job.attempts, job.created) == ("pending", 1, 10)
    assert timezone.now() < job.due_at < timezone.now() + timedelta(seconds=10)
    assert integration.streams.get().cursor is None

    SyncJob.objects.update(due_at=timezone.now())
    running.run(job_id=job.pk)
    job.refresh_from_db()

    assert (job.status, job.attempts, job.created, job.unchanged) == ("completed", 0, 25, 0)
    assert [seen.query.get("after") for seen in peer.requests if seen.path == "/cursor/customers"] == [
        None,
        "10",
        "10",
        "20",
    ]


def test_a_provider_that_is_slow_is_not_waited_for_longer_than_the_time_out(connect, sync, peer):
    integration = connect(config={"timeout": 0.3})
    peer.fault("slow", path="/cursor", seconds=1.0, times=1)

    job = sync(integration)

    assert (job.status, job.error_kind) == ("pending", "transient")
    assert "did not answer completely within 0.3 s" in job.error_message


def test_retry_after_becomes_the_due_time(connect, sync, peer):
    integration = connect()
    peer.fault("status", path="/cursor", status=429, headers={"Retry-After": "3600"}, times=1)

    job = sync(integration)

    assert (job.status, job.error_kind) == ("pending", "rate")
    assert timedelta(minutes=59) < job.due_at - timezone.now() <= timedelta(minutes=60)
    assert running.run(job_id=job.pk) is False


def test_it_gives_up_after_the_configured_tries(organization, connect, sync, peer):
    integration = connect(config={"retry_attempts": 3})
    peer.fault("status", path="/cursor", status=503)

    job = sync(integration)
    for _ in range(2):
        SyncJob.objects.update(due_at=timezone.now())
        running.run(job_id=job.pk)
    job.refresh_from_db()

    assert job.status == "failed"
    assert job.error_message == (
        "customers: The provider has a problem of its own (HTTP 503). It says: “It went wrong.” "
        "Given up after 3 tries."
    )
    assert len([path for path in peer.paths() if path.startswith("/cursor")]) == 3
    assert events(organization) == ["sync.started", "sync.failed"]


def test_refused_credentials_put_the_integration_into_error(organization, connect, sync, peer):
    integration = connect(stream(), stream(name="again"))
    peer.fault("status", path="/cursor", status=401, body={"message": "Token expired"})

    job = sync(integration)

    integration.refresh_from_db()
    assert (job.status, job.error_kind) == ("failed", "auth")
    assert len([path for path in peer.paths() if path.startswith("/cursor")]) == 1
    assert integration.status == "error"
    assert "It says: “Token expired”" in integration.connection_status_description
    assert events(organization, "integration.")[-1] == "integration.error"
    with pytest.raises(NotActive):
        syncs.start(integration=integration, actor=SYSTEM)


def test_one_stream_that_fails_does_not_stop_the_others(connect, sync, peer):
    integration = connect(
        stream(name="broken", request={"path": "/cursor/nothing"}), stream(name="customers")
    )

    job = sync(integration)

    assert (job.status, job.created) == ("partial", 25)
    assert {run.name: run.status for run in job.streams.all()} == {
        "broken": "failed",
        "customers": "completed",
    }
    assert job.error_message.startswith("broken: The provider does not know this address (HTTP 404).")


@pytest.mark.parametrize(
    ("kind", "path", "records", "paginate", "message"),
    [
        ("loop", "/cursor/customers", "results", None, "go in circles"),
        ("repeat", "/cursor/customers", "results", None, "twice in a row"),
        ("other_host", "/link/customers", "@", {"kind": "link_header"}, "another host"),
        ("html", "/cursor/customers", "results", None, "The answer is not JSON but text/html"),
    ],
)
def test_what_a_provider_must_not_do(connect, sync, peer, kind, path, records, paginate, message):
    given = stream(request={"path": path}, records_path=records)
    if paginate:
        given["paginate"] = paginate
    integration = connect(given)
    peer.fault(kind, path=path)

    job = sync(integration)

    assert job.status == "failed"
    assert message in job.error_message
    assert integration.streams.get().cursor is None


def test_an_empty_page_with_a_cursor_goes_on(connect, sync, peer):
    integration = connect()
    peer.fault("empty", path="/cursor", after=1, times=1)

    job = sync(integration)

    assert (job.status, job.created, job.pages) == ("completed", 25, 4)


def test_wrong_rows_are_kept_with_their_reasons_and_resolved_by_themselves(organization, connect, sync, peer):
    peer.collections["customers"][2] = customer(3, email="not an address")
    peer.collections["customers"][5] = customer(6, name="")
    integration = connect()

    job = sync(integration)

    assert (job.status, counts(job)["created"], counts(job)["failed"]) == ("partial", 23, 2)
    assert job.error_message == "2 rows could not be taken over."
    errors = {error.remote_id: error for error in SyncError.objects.filter(job=job)}
    assert {remote: (error.field, error.status) for remote, error in errors.items()} == {
        "3": ("email", "open"),
        "6": ("name", "open"),
    }
    assert errors["3"].row["email"] == "not an address"

    peer.collections["customers"][2] = customer(3)
    again = sync(integration, mode="full")

    assert counts(again) == {"created": 1, "updated": 0, "unchanged": 23, "deleted": 0, "failed": 1}
    statuses = dict(SyncError.objects.values_list("remote_id", "status"))
    assert statuses == {"3": "resolved", "6": "open"}
    assert SyncError.objects.get(remote_id="6").attempts == 2


def test_a_kept_row_can_be_tried_again_after_the_mapping_is_mended(organization, connect, sync, peer, actor):
    peer.collections["customers"][5] = customer(6, name="")
    integration = connect()
    sync(integration)
    error = SyncError.objects.get()

    assert row_errors.retry(error=error, actor=actor) is False
    config = dict(integration.config)
    config["streams"][0]["mapping"]["fields"][1]["default"] = "Nameless"
    Integration.objects.filter(pk=integration.pk).update(config=config)
    error = SyncError.objects.get()
    assert row_errors.retry(error=error, actor=actor) is True

    assert Record.objects.get(organization=organization, key="6").data["name"] == "Nameless"
    assert (error.status, error.resolved_by) == ("resolved", "Ada")
    with pytest.raises(Conflict):
        row_errors.retry(error=error, actor=actor)


def full(**more):
    given = stream(**more)
    del given["incremental"]
    return given


def test_records_that_the_provider_no_longer_has_are_deleted_if_wanted(organization, connect, sync, peer):
    integration = connect(full())
    integration.streams.update(delete_missing=True)
    sync(integration)
    Link.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    peer.collections["customers"] = [row for row in CUSTOMERS if row["id"] not in (4, 17)]

    job = sync(integration)

    assert (job.status, counts(job)["deleted"], counts(job)["unchanged"]) == ("completed", 2, 23)
    assert Record.objects.filter(deleted_at__isnull=False).count() == 2
    assert Change.objects.filter(operation="deleted", origin__ref=job.number).count() == 2

    peer.collections["customers"] = list(CUSTOMERS)
    assert counts(sync(integration))["created"] == 2


def test_it_refuses_to_delete_too_much_at_once(organization, connect, sync, peer):
    integration = connect(full())
    integration.streams.update(delete_missing=True)
    sync(integration)
    Link.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    peer.collections["customers"] = CUSTOMERS[:10]

    job = sync(integration)

    assert (job.status, counts(job)["deleted"]) == ("partial", 0)
    assert "15 of 25 records are missing at the provider" in job.error_message
    assert len(live_keys(organization)) == 25


def test_a_row_that_could_not_be_written_is_not_missing(organization, connect, sync, peer):
    integration = connect(full())
    integration.streams.update(delete_missing=True)
    sync(integration)
    Link.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    peer.collections["customers"] = [customer(3, email="?") if row["id"] == 3 else row for row in CUSTOMERS]

    job = sync(integration)

    assert (counts(job)["deleted"], counts(job)["failed"]) == (0, 1)
    assert len(live_keys(organization)) == 25


def test_rows_that_are_marked_as_deleted_are_deleted(organization, connect, sync, peer):
    integration = connect(stream(deleted_when="archived"))
    sync(integration)
    peer.collections["customers"][3] = customer(4, archived=True, updated_at="2026-02-01T00:00:00Z")

    job = sync(integration)

    assert counts(job)["deleted"] == 1
    assert 4 not in live_keys(organization)


def test_only_one_sync_of_an_integration_at_a_time(connect, actor):
    integration = connect()
    first = syncs.start(integration=integration, actor=actor)

    with pytest.raises(SyncRunning, match=first.number):
        syncs.start(integration=integration, actor=actor)

    assert SyncJob.objects.count() == 1


def test_a_sync_that_waits_is_cancelled_at_once(organization, connect, actor):
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)

    syncs.cancel(job=job, actor=actor)

    assert job.status == "cancelled"
    assert running.run(job_id=job.pk) is False
    assert events(organization) == ["sync.cancelled"]
    with pytest.raises(Conflict):
        syncs.cancel(job=job, actor=actor)


def test_a_running_sync_is_cancelled_after_its_page(connect, actor, peer, monkeypatch):
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)
    asked = []

    class Watcher(running.Caller):
        def __call__(self, request):
            response = super().__call__(request)
            asked.append(request)
            if len(asked) == 2:
                SyncJob.objects.filter(pk=job.pk).update(cancel_requested_at=timezone.now())
            return response

    monkeypatch.setattr(running, "Caller", Watcher)
    running.run(job_id=job.pk)
    job.refresh_from_db()

    assert (job.status, job.created, len(asked)) == ("cancelled", 20, 2)
    assert integration.streams.get().cursor is None


def test_a_failed_sync_is_retried_from_where_it_stopped(connect, sync, peer, actor):
    integration = connect(config={"retry_attempts": 1})
    peer.fault("status", path="/cursor", after=2, times=1)
    failed = sync(integration)
    assert (failed.status, failed.created) == ("failed", 20)
    peer.requests.clear()

    job = syncs.retry(job=failed, actor=actor)
    running.run(job_id=job.pk)
    job.refresh_from_db()

    assert (job.status, job.created, job.retry_of) == ("completed", 5, failed)
    assert [seen.query.get("after") for seen in peer.requests] == ["20"]
    assert Change.objects.count() == 25
    with pytest.raises(Conflict):
        syncs.retry(job=job, actor=actor)


def test_a_stream_that_changes_while_it_is_read_is_read_from_its_beginning_next(connect, actor, peer):
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)
    running.run(job_id=job.pk, budget=0.0)
    config = {**integration.config, "streams": [stream(records_path="results[?id]")]}
    integrations.update(integration=integration, actor=actor, values={"config": config})

    running.run(job_id=job.pk)

    job.refresh_from_db()
    assert (job.status, job.created) == ("completed", 25)
    assert integration.streams.get().cursor is None


def test_pausing_ends_a_waiting_sync(connect, actor):
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)

    lifecycle.pause(integration=integration, actor=actor)
    running.run(job_id=job.pk)

    job.refresh_from_db()
    assert job.status == "cancelled"


def test_a_long_sync_hands_over_to_the_next_task(connect, actor):
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)

    runs = 0
    while job.status in ("pending", "running"):
        running.run(job_id=job.pk, budget=0.0)
        job.refresh_from_db()
        runs += 1

    assert (job.status, job.created, runs) == ("completed", 25, 3)


def test_the_integrations_own_limit_holds_and_the_sync_waits(connect, sync, peer):
    integration = connect(requests_per_minute=3)  # one for the test of the connection

    job = sync(integration)

    assert (job.status, job.created, job.attempts) == ("pending", 20, 0)
    assert job.error_message.startswith("The limit of 3 calls per minute is used up")
    assert job.due_at <= timezone.now() + timedelta(seconds=61)
    assert len(peer.requests) == 3


def test_the_clock_starts_what_is_due_and_computes_the_next_time(connect, actor, organization):
    integration = connect(auto_sync=True, sync_interval_minutes=15)

    assert ticking.start_due() == 1
    assert ticking.start_due() == 0
    job = SyncJob.objects.get()
    assert (job.trigger, job.requested_by) == ("scheduled", "The hub")
    running.run(job_id=job.pk)

    integration.refresh_from_db()
    wait = integration.next_sync_at - timezone.now()
    assert timedelta(minutes=14, seconds=50) < wait <= timedelta(minutes=15)


def test_the_clock_wakes_what_a_dead_worker_left_behind(connect, actor):
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)
    SyncJob.objects.update(
        status="running", lease_owner="dead", lease_until=timezone.now() - timedelta(seconds=1)
    )

    assert ticking.wake() == 1
    running.run(job_id=job.pk)
    job.refresh_from_db()
    assert (job.status, job.created) == ("completed", 25)
    assert ticking.wake() == 0


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"streams": ["ghosts"]}, "/streams"),
        ({"streams": []}, "/streams"),
        ({"mode": "sideways"}, "/mode"),
        ({"direction": "outbound"}, "/direction"),
    ],
)
def test_a_sync_that_makes_no_sense_is_refused(connect, actor, options, pointer):
    integration = connect()

    with pytest.raises(InvalidInput) as caught:
        syncs.start(integration=integration, actor=actor, **options)

    assert [error.pointer for error in caught.value.errors] == [pointer]
    assert SyncJob.objects.count() == 0
