"""What the hub asks about itself."""

from __future__ import annotations

import shutil
import time
from datetime import timedelta

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from apps.health.models import Heartbeat
from apps.kernel.crypto.keyring import get_keyring
from apps.kernel.probes import Finding, Probe, Verdict, graded, probes

QUIET = timedelta(seconds=90)
SILENT = timedelta(minutes=5)


def database() -> Finding:
    """How long a query takes."""
    start = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    milliseconds = (time.perf_counter() - start) * 1000
    return graded(milliseconds, warn=250, fail=2000, unit="ms", detail=f"A query took {milliseconds:.1f} ms.")


def migrations() -> Finding:
    """Whether the tables are those of the code."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        return Finding(
            Verdict.FAIL,
            f"{len(plan)} migrations are not applied: run manage.py migrate.",
            len(plan),
            "migrations",
        )
    return Finding(Verdict.PASS, "All migrations are applied.", 0, "migrations")


def disk() -> Finding:
    """How full the disk of the hub's home is."""
    usage = shutil.disk_usage(settings.HUB_HOME)
    percent = 100 * usage.used / usage.total
    free = usage.free / 2**30
    return graded(percent, warn=85, fail=95, unit="percent", detail=f"{free:.1f} GiB free on the hub's disk.")


def files() -> Finding:
    """Whether the place that files are kept in can be read."""
    bucket = getattr(default_storage, "bucket_name", "")
    if not bucket:
        return Finding(Verdict.PASS, "Files are kept in a folder of this machine.")
    try:
        client = default_storage.connection.meta.client  # type: ignore[attr-defined]
        client.list_objects_v2(Bucket=bucket, MaxKeys=1)
    except Exception as error:  # whatever it is, files cannot be read
        code = getattr(error, "response", {}).get("Error", {}).get("Code", "") or type(error).__name__
        detail = f"The bucket “{bucket}” cannot be used ({code}): check STORAGE_URL and its keys."
        return Finding(Verdict.FAIL, detail)
    return Finding(Verdict.PASS, f"The bucket “{bucket}” can be read.")


def keys() -> Finding:
    """Whether secrets can be read: an encryption key is loaded and works."""
    ring = get_keyring()
    if ring.decrypt(ring.encrypt(b"canary", b"health"), b"health") != b"canary":
        return Finding(Verdict.FAIL, "The active encryption key does not work.")
    return Finding(Verdict.PASS, f"The active encryption key “{ring.active_id}” works.")


def workers() -> Finding:
    """Whether every queue was heard lately."""
    now = timezone.now()
    seen = dict(Heartbeat.objects.filter(name__startswith="queue:").values_list("name", "at"))
    if not seen:
        return Finding(Verdict.FAIL, "No worker has ever been heard. Start one with make run.", None, "s")
    name, oldest = min(seen.items(), key=lambda item: item[1])
    age = now - oldest
    detail = f"The queue “{name.partition(':')[2]}” was last heard {age.total_seconds():.0f} s ago."
    return graded(
        age.total_seconds(), warn=QUIET.total_seconds(), fail=SILENT.total_seconds(), unit="s", detail=detail
    )


def scheduler() -> Finding:
    """Whether the scheduler rings."""
    beat = Heartbeat.objects.filter(name="scheduler").first()
    if beat is None:
        return Finding(Verdict.FAIL, "The scheduler has never been heard. Start it with make run.", None, "s")
    age = (timezone.now() - beat.at).total_seconds()
    return graded(
        age,
        warn=QUIET.total_seconds(),
        fail=SILENT.total_seconds(),
        unit="s",
        detail=f"It last rang {age:.0f} s ago.",
    )


def register() -> None:
    """Called when the apps are ready."""
    for probe in (
        Probe("database:response_time", "Database", database, vital=True),
        Probe("database:migrations", "Migrations", migrations, vital=True),
        Probe("keys:canary", "Encryption keys", keys, vital=True),
        Probe("files:readable", "File storage", files),
        Probe("disk:used", "Disk", disk),
        Probe("workers:last_heard", "Workers", workers),
        Probe("scheduler:last_heard", "Scheduler", scheduler),
    ):
        probes.register(probe)
