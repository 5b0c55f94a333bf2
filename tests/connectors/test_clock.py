"""What happens by the clock, and the doors that messages open."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from celery import current_app
from django.db import connection
from django.utils import timezone

from apps.connectors import tasks
from apps.connectors.models import CallCount, Integration, IntegrationLog, SyncError, SyncJob
from apps.connectors.services import lifecycle, removals, row_errors, syncs, ticking
from apps.records.models import Link, Record
from apps.records.selectors import dataset_of
from integration_hub.schedule import ENTRIES
from tests.connectors.shop import customer, stream


def test_the_tasks_have_the_names_that_are_rung():
    names = {name for name in current_app.tasks if name.startswith("connectors.")}
    rung = {entry.task for entry in ENTRIES if entry.task.startswith("connectors.")}

    assert rung == {"connectors.tick", "connectors.sweep_logs"}
    assert names == rung | {"connectors.run_sync", "connectors.check_health", "connectors.retry_rows"}


def test_a_tick_starts_a_sync_and_a_worker_ends_it(connect):
    integration = connect(auto_sync=True, sync_interval_minutes=5)

    tasks.tick()
    job = SyncJob.objects.get()
    tasks.run_sync(str(job.pk))
    tasks.run_sync(str(job.pk))

    job.refresh_from_db()
    assert (job.status, job.created) == ("completed", 25)
    integration.refresh_from_db()
    assert integration.lease_owner == ""


def test_a_schedule_whose_sync_still_runs_waits_for_its_next_time(connect, actor):
    integration = connect(auto_sync=True, sync_interval_minutes=5)
    syncs.start(integration=integration, actor=actor)

    assert ticking.start_due() == 0
    integration.refresh_from_db()
    assert integration.next_sync_at > timezone.now() + timedelta(minutes=4)
    assert SyncJob.objects.count() == 1


@pytest.mark.parametrize(
    "change", [{"sync_enabled": False}, {"status": "inactive"}, {"removed_at": timezone.now()}]
)
def test_what_is_off_is_not_due(connect, change):
    connect(auto_sync=True, sync_interval_minutes=5)
    if "sync_enabled" in change:
        change = {**change, "auto_sync": False}
    Integration.objects.update(**change)

    assert ticking.start_due() == 0


@pytest.mark.django_db(transaction=True)
def test_two_schedulers_start_a_sync_once(connect):
    for number in range(5):
        connect(auto_sync=True, sync_interval_minutes=5, name=f"Shop {number}")
    started = []

    def tick():
        started.append(ticking.start_due())
        connection.close()

    threads = [threading.Thread(target=tick) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(started) == SyncJob.objects.count() == 5


def test_health_is_checked_when_it_is_due(connect, peer):
    integration = connect()
    assert ticking.check_due() == 0
    Integration.objects.update(next_check_at=timezone.now())
    peer.fault("status", path="/me", status=503)

    assert ticking.check_due() == 1
    tasks.check_health(str(integration.pk))

    integration.refresh_from_db()
    assert (integration.health_status, integration.consecutive_failures) == ("healthy", 1)
    assert integration.last_error.startswith("The provider has a problem of its own (HTTP 503).")
    assert IntegrationLog.objects.filter(action="check").count() == 1


def test_an_integration_that_is_down_recovers_by_itself(connect, peer):
    integration = connect()
    fault = peer.fault("status", path="/me", status=503, times=4)

    statuses = []
    for _ in range(6):
        lifecycle.check_health(integration=integration)
        statuses.append((integration.status, integration.health_status))

    assert fault.done == 4
    assert statuses[3] == ("error", "down")
    assert statuses[5] == ("active", "healthy")


def test_old_calls_are_swept(connect, sync):
    sync(connect())
    old = timezone.now() - timedelta(days=31)
    kept = IntegrationLog.objects.order_by("-id").first()
    IntegrationLog.objects.exclude(pk=kept.pk).update(created_at=old)
    CallCount.objects.update(hour=timezone.now() - timedelta(days=500))

    assert ticking.sweep_logs(batch=2) == 3
    assert list(IntegrationLog.objects.all()) == [kept]
    assert CallCount.objects.count() == 0


def test_refused_rows_are_tried_again_in_the_background(connect, sync, peer, actor):
    peer.collections["customers"][2] = customer(3, email="?")
    peer.collections["customers"][3] = customer(4, email="?")
    job = sync(connect())
    SyncError.objects.filter(remote_id="3").update(row=customer(3))

    assert row_errors.retry_later(job=job, actor=actor) is True
    tasks.retry_rows(str(job.pk))

    assert dict(SyncError.objects.values_list("remote_id", "status")) == {"3": "resolved", "4": "open"}
    error = SyncError.objects.get(remote_id="4")
    row_errors.ignore(error=error, actor=actor)
    assert row_errors.retry_later(job=job, actor=actor) is False


def test_many_missing_records_are_deleted_in_steps(organization, connect, sync, peer, monkeypatch):
    monkeypatch.setattr(removals, "CHUNK", 4)
    given = stream()
    del given["incremental"]
    integration = connect(given)
    integration.streams.update(delete_missing=True, delete_limit_percent=80)
    sync(integration)
    Link.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    peer.collections["customers"] = [customer(n) for n in range(1, 11)]

    job = sync(integration)

    assert (job.status, job.deleted) == ("completed", 15)
    assert Record.objects.filter(dataset=dataset_of(organization, "clients"), deleted_at=None).count() == 10
    assert Link.objects.filter(gone_at=None).count() == 10


def test_a_record_that_another_system_still_has_is_not_deleted(organization, connect, sync, peer):
    given = stream()
    del given["incremental"]
    first, second = connect(given), connect(given, name="Twin")
    first.streams.update(delete_missing=True)
    sync(first)
    sync(second)
    Link.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    peer.collections["customers"] = [row for row in peer.collections["customers"] if row["id"] != 7]

    job = sync(first)

    assert job.deleted == 0
    assert Record.objects.filter(organization=organization, deleted_at=None).count() == 25
    assert Link.objects.filter(gone_at__isnull=False).count() == 1
