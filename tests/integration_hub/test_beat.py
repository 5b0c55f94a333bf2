"""However many schedulers are started, one acts; when it is killed, another does."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from celery.schedules import crontab
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from integration_hub import schedule
from integration_hub.celery import app
from integration_hub.celery_settings import QUEUES
from integration_hub.models import SchedulerLease
from integration_hub.runtime import beat
from tests.database import copy, template
from tests.integration_hub.hub_process import PROJECT, clean_environ
from tests.integration_hub.test_sqlite_transport import wait_for

PEER = Path(__file__).with_name("beat_peer.py")


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[schedule.Entry]:
    made = [schedule.Entry("Ring", "tests.ring", "default", seconds=10)]
    monkeypatch.setattr(beat, "ENTRIES", made)
    return made


class Recorder(beat.LeasedScheduler):
    """Notes what it would ring: the broker is outside."""

    def __init__(self) -> None:
        self.rung: list[str] = []
        super().__init__(app=app)
        self._finalize.cancel()  # it would write at the end of the tests, when their database is gone

    def apply_entry(self, entry, producer=None) -> None:  # type: ignore[no-untyped-def]
        self.rung.append(entry.name)

    def run_due(self) -> list[str]:
        """Tick until nothing is due; what was rung."""
        before = len(self.rung)
        for _ in range(20):
            if self.tick() > 0:
                break
        return self.rung[before:]


def make_due(name: str) -> None:
    PeriodicTask.objects.filter(name=name).update(last_run_at=timezone.now() - timedelta(days=2))


def run_out() -> None:
    SchedulerLease.objects.update(lease_until=timezone.now() - timedelta(seconds=1))


def test_the_first_acts_and_the_second_waits(transactional_db: None, entries: list[schedule.Entry]) -> None:
    first, second = Recorder(), Recorder()
    first.tick()
    assert second.tick() == beat.WAIT
    make_due("Ring")
    first._initial_read, first._heap = True, None
    assert first.run_due() == ["Ring"]
    assert second.run_due() == []


def test_a_clean_stop_hands_over_at_once(transactional_db: None, entries: list[schedule.Entry]) -> None:
    first, second = Recorder(), Recorder()
    first.tick()
    first.close()
    make_due("Ring")
    assert second.run_due() == ["Ring"]


def test_a_lease_that_ran_out_is_taken_over_and_its_old_holder_rings_no_more(
    transactional_db: None, entries: list[schedule.Entry]
) -> None:
    first, second = Recorder(), Recorder()
    first.tick()
    run_out()
    make_due("Ring")
    assert second.run_due() == ["Ring"]

    first._renew_at = 0
    make_due("Ring")
    assert first.run_due() == []


def test_a_daily_ring_is_not_repeated_by_the_successor(
    transactional_db: None, entries: list[schedule.Entry]
) -> None:
    entries[:] = [schedule.Entry("Daily", "tests.daily", "maintenance", at=crontab(minute="*"))]
    first, second = Recorder(), Recorder()
    first.tick()
    make_due("Daily")
    first._initial_read, first._heap = True, None
    assert first.run_due() == ["Daily"]
    # Killed: it says nothing more to anybody.
    run_out()
    assert second.run_due() == []


def test_declared_entries_are_written_and_withdrawn_and_people_may_disable_them(
    transactional_db: None, entries: list[schedule.Entry]
) -> None:
    first = Recorder()
    first.tick()
    task = PeriodicTask.objects.get(name="Ring")
    assert (task.task, task.queue, task.interval.every, task.expire_seconds) == (
        "tests.ring",
        "default",
        10,
        30,
    )
    PeriodicTask.objects.filter(name="Ring").update(enabled=False)
    first.close()

    entries.append(schedule.Entry("Other", "tests.other", "jobs", seconds=60))
    second = Recorder()
    second.tick()
    assert PeriodicTask.objects.get(name="Ring").enabled is False
    second.close()

    del entries[0]
    Recorder().tick()
    assert list(PeriodicTask.objects.values_list("name", flat=True)) == ["Other"]


def test_every_declared_entry_names_a_task_and_a_queue_that_exist() -> None:
    app.loader.import_default_modules()
    for entry in schedule.ENTRIES:
        assert entry.task in app.tasks, entry
        assert entry.queue in QUEUES, entry
    assert len({entry.name for entry in schedule.ENTRIES}) == len(schedule.ENTRIES)


@pytest.fixture
def schedulers(tmp_path: Path, django_db_setup: None) -> Iterator[tuple[Path, list[subprocess.Popen[bytes]]]]:
    home = tmp_path / "var"
    environ = clean_environ(home)
    if template().exists():
        home.mkdir()
        copy(template(), home / "hub.sqlite3")
    subprocess.run(
        [sys.executable, "manage.py", "prepare", "--no-owner"], cwd=PROJECT, env=environ, check=True
    )
    running = [subprocess.Popen([sys.executable, str(PEER)], cwd=PROJECT, env=environ) for _ in range(2)]
    yield home, running
    for process in running:
        process.kill()
        process.wait()


def test_two_processes_ring_as_often_as_one_and_the_second_takes_over_from_a_killed_first(
    schedulers: tuple[Path, list[subprocess.Popen[bytes]]],
) -> None:
    home, running = schedulers

    def holder() -> int:
        with sqlite3.connect(home / "hub.sqlite3") as database:
            row = database.execute("SELECT lease_owner FROM integration_hub_schedulerlease").fetchone()
        return int(row[0].split(":")[1]) if row and row[0] else 0

    def rings(since: float) -> int:
        with sqlite3.connect(home / "queue.sqlite3") as database:
            try:
                found = database.execute("SELECT count(*) FROM message WHERE due > ?", (since,))
                return int(found.fetchone()[0])
            except sqlite3.OperationalError:  # its table is not made yet
                return 0

    wait_for(lambda: rings(0) > 0, seconds=40)
    # The other is certainly awake, too, by the time that the first has rung for a while.
    start = time.time()
    wait_for(lambda: time.time() - start > 4, seconds=5)
    assert rings(start) <= 5  # every second: four, where two would ring eight

    first = next(process for process in running if process.pid == holder())
    first.send_signal(signal.SIGKILL)
    first.wait()
    killed = time.time()
    wait_for(lambda: holder() not in (0, first.pid), seconds=10)
    wait_for(lambda: rings(killed + 1) > 0, seconds=10)
