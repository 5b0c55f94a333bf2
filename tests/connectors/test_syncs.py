"""Trips of rows from a provider into the hub."""

from __future__ import annotations

from apps.connectors.models import IntegrationLog, SyncError
from apps.records.models import Change, Link, Record


def live_keys(organization):
    rows = Record.objects.filter(organization=organization, deleted_at=None)
    return sorted(rows.values_list("key", flat=True), key=int)


def test_a_first_sync_takes_everything_over(organization, connect, sync, peer):
    integration = connect()

    job = sync(integration)

    assert (job.status, job.processed, job.created, job.failed, job.pages) == ("completed", 25, 25, 0, 3)
    assert live_keys(organization) == [str(n) for n in range(1, 26)]
    record = Record.objects.get(organization=organization, key="7")
    assert record.data == {"external_id": "7", "name": "Customer 7", "email": "customer7@example.com"}
    assert Change.objects.filter(origin__kind="sync", origin__ref=job.number).count() == 25
    assert Link.objects.filter(source=integration.number, stream="customers").count() == 25
    assert IntegrationLog.objects.filter(sync_job=job).count() == 3
    assert SyncError.objects.count() == 0
    stream = integration.streams.get()
    assert stream.cursor == "2026-01-01T10:25:00Z"
    integration.refresh_from_db()
    assert (integration.last_sync_status, integration.health_status) == ("completed", "healthy")
