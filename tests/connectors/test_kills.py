"""Workers that are killed, frozen, or many: no row is lost, none is applied twice, one works at a time."""

from __future__ import annotations

import random
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.connectors.models import SyncJob
from apps.connectors.services import running, syncs
from apps.records.models import Change, Link, Record
from tests.connectors import worker
from tests.connectors.shop import customer

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = [customer(n) for n in range(1, 301)]


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


def expire_lease(job):
    """What time does after a worker's death."""
    SyncJob.objects.filter(pk=job.pk).update(
        lease_until=timezone.now() - timedelta(seconds=1), due_at=timezone.now()
    )


def reads(peer):
    return [seen for seen in peer.requests if seen.path == "/cursor/customers"]


def test_workers_killed_at_any_moment_lose_nothing_and_apply_nothing_twice(
    organization, connect, peer, actor
):
    peer.collections["customers"] = list(ROWS)
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)
    moment = random.Random(20260131)
    kills = 0

    while True:
        before = len(reads(peer))
        with worker.working(job.pk) as pid:
            # Somewhere between the question, the answer, the write and the next question.
            wait_for(lambda seen=before: len(reads(peer)) >= seen + 2 or not alive(pid))
            time.sleep(moment.random() * 0.05)
        kills += 1
        job.refresh_from_db()
        if not job.is_live:
            break
        # Whatever was committed is whole pages, each counted once.
        assert Change.objects.count() == job.created == job.processed == job.pages * 10
        if kills == 12:
            expire_lease(job)
            assert running.run(job_id=job.pk)
            job.refresh_from_db()
            break
        expire_lease(job)

    assert kills >= 5
    assert (job.status, job.created, job.processed, job.unchanged, job.failed) == (
        "completed",
        300,
        300,
        0,
        0,
    )
    assert Record.objects.filter(organization=organization).count() == 300
    assert Change.objects.values("record").distinct().count() == Change.objects.count() == 300
    assert Link.objects.count() == 300
    assert integration.streams.get().cursor == "2026-01-06T10:00:00Z"
    assert connection.vendor in ("sqlite", "postgresql")


def alive(pid):
    import os

    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


def test_of_many_workers_one_works(connect, peer, actor):
    peer.collections["customers"] = list(ROWS)
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)

    pids = [worker.start(job.pk) for _ in range(4)]
    codes = sorted(worker.wait(pid) for pid in pids)

    job.refresh_from_db()
    assert codes == [0, 1, 1, 1]
    assert (job.status, job.created, job.lease_token) == ("completed", 300, 1)
    asked = [seen.query.get("after") for seen in reads(peer)]
    assert len(asked) == len(set(asked)) == 30


def test_a_worker_that_wakes_up_after_its_lease_writes_nothing(connect, peer, actor):
    peer.collections["customers"] = ROWS[:50]
    integration = connect()
    job = syncs.start(integration=integration, actor=actor)
    hold = peer.fault("hold", path="/cursor", after=2, times=1)
    sleeper = threading.Thread(target=lambda: (running.run(job_id=job.pk), connection.close()))

    sleeper.start()
    wait_for(lambda: hold.done == 1)
    assert Change.objects.count() == 20
    expire_lease(job)
    assert running.run(job_id=job.pk)
    hold.release.set()
    sleeper.join(20)

    job.refresh_from_db()
    assert (job.status, job.created, job.unchanged, job.pages, job.lease_token) == ("completed", 50, 0, 5, 2)
    assert Change.objects.count() == 50
