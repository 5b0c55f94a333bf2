"""A spreadsheet's whole way in: upload, columns matched, worker, records, changes; and its way out again.

Peers in the same run: django-import-export with defaults and in bulk at its best, and on PostgreSQL COPY of
the same file into a temporary table with INSERT … ON CONFLICT.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from typing import Any

from benchmarks import records
from benchmarks.measure import Figure, Took, at_least, at_most, median, taken

_serial = itertools.count(1)
PLAIN = {"validate_before_import": False}
"""The run alone, as after a check by a person: the check is measured as the dry run."""


def job_of(text: str, dataset: Any, **settings: Any) -> Any:
    """An import that only needs a worker, uploaded and matched as a person does."""
    from django.core.files.base import ContentFile

    from apps.jobs.services import imports, uploads
    from apps.tenants.principals import Actor

    actor = Actor("user", "1", "Benchmark")
    file = ContentFile(text.encode(), name="clients.csv")
    job = uploads.receive(organization=dataset.organization, dataset=dataset, file=file, actor=actor)
    spec = imports.propose(job=job).spec
    return imports.configure(job=job, actor=actor, mapping=spec, settings=imports.Settings(**settings))


def carried_out(job: Any) -> Any:
    """Start the import and be the worker until it has ended."""
    from apps.jobs.services import imports, work
    from apps.tenants.principals import Actor

    imports.start(job=job, actor=Actor("user", "1", "Benchmark"))
    while not job.is_complete:
        work.take(job_id=job.pk)
        job.refresh_from_db()
    if job.status != "completed":
        raise SystemExit(f"{job.number} is {job.status}: {job.status_reason}")
    return job


def new_dataset() -> Any:
    from apps.records.selectors import dataset_of

    return dataset_of(records.organization(f"Imports {next(_serial)}"), "clients")


def imported(text: str, dataset: Any, **settings: Any) -> tuple[Any, Took]:
    """The job, and what it took from the upload to the end."""
    done: list[Any] = []
    took = taken(lambda: done.append(carried_out(job_of(text, dataset, **settings))))
    return done[0], took


def merge(text: str) -> Took:
    """COPY of the file into a temporary table, and from there INSERT … ON CONFLICT DO UPDATE."""
    from django.db import connection, transaction

    types = {"credit_limit": "numeric(16,2)", "since": "date"}
    columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in records.COLUMNS)
    sets = ", ".join(f"{name} = EXCLUDED.{name}" for name in records.COLUMNS[1:])
    body = text.encode()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_merge")
        cursor.execute(f"CREATE TABLE bench_merge ({columns}, PRIMARY KEY (external_id))")

        def work() -> None:
            with transaction.atomic():
                cursor.execute(f"CREATE TEMPORARY TABLE bench_stage ({columns}) ON COMMIT DROP")
                with cursor.copy("COPY bench_stage FROM STDIN (FORMAT csv, HEADER)") as copy:
                    for start in range(0, len(body), 131_072):
                        copy.write(body[start : start + 131_072])
                cursor.execute(
                    "INSERT INTO bench_merge SELECT * FROM bench_stage "
                    f"ON CONFLICT (external_id) DO UPDATE SET {sets}"
                )

        took = taken(work)
        cursor.execute("DROP TABLE bench_merge")
    return took


def spoilt(text: str) -> tuple[str, int]:
    """The file with one wrong cell in every hundredth row, and how many those are."""
    rows = list(csv.reader(io.StringIO(text)))
    wrong = 0
    for row in rows[50::100]:
        row[10] = "31.02.x"
        wrong += 1
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue(), wrong


def changed(text: str) -> str:
    """The same clients under other names."""
    return text.replace(",Company ", ",Firm ")


def _written() -> tuple[int, int]:
    from apps.events.models import Event
    from apps.records.models import Change

    return Change.objects.count(), Event.objects.filter(type__startswith="clients.").count()


def undo(text: str) -> Took:
    """Taking back an import that changed every record, in the background's own way."""
    from apps.records.models import Record
    from apps.records.services import undoing
    from apps.tenants.principals import Actor

    dataset = new_dataset()
    carried_out(job_of(text, dataset, **PLAIN))
    job = carried_out(job_of(changed(text), dataset, **PLAIN))
    count = job.updated_count

    def work() -> None:
        undoing.undo(origin=job.origin, actor=Actor("user", "1", "Benchmark"))
        while (row := undoing.at_work(job.origin)) is not None:
            undoing.take(undoing_id=row.pk)

    took = taken(work)
    kept = Record.objects.filter(dataset=dataset, data__contains='"name":"Firm ').count()
    if kept or not count:
        raise SystemExit(f"{kept} of {count} records were not taken back")
    return took


def _rounds(cases: dict[str, Callable[[], Took]], rounds: int) -> dict[str, Took]:
    """Each case in turn, several times; the medians."""
    all_taken: dict[str, list[Took]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            all_taken[name].append(case())
    return {
        name: Took(*(median(getattr(took, part) for took in many) for part in ("wall", "client", "server")))
        for name, many in all_taken.items()
    }


def run(backend: str, *, quick: bool = False) -> list[Figure]:
    """All figures on the database that the settings name."""
    count = 10_000 if quick else 100_000
    text = records.csv_text(count)
    bad, wrong = spoilt(text)
    on_postgres = backend == "PostgreSQL"
    last: dict[str, Any] = {}

    def first() -> Took:
        last["dataset"] = new_dataset()
        last["job"], took = imported(text, last["dataset"], **PLAIN)
        return took

    def again() -> Took:
        before = _written()
        job, took = imported(text, last["dataset"], **PLAIN)
        if _written() != before or job.unchanged_count != count:
            raise SystemExit("the second upload of the same file wrote something")
        return took

    def with_errors() -> Took:
        job, took = imported(bad, new_dataset(), **PLAIN)
        if (job.failed_records, job.error_count) != (wrong, wrong):
            raise SystemExit(f"{job.failed_records} rows were left out instead of {wrong}")
        return took

    def dry() -> Took:
        job, took = imported(text, new_dataset(), dry_run=True)
        if job.created_count != last["job"].created_count:
            raise SystemExit("the dry run foretold another count")
        return took

    cases: dict[str, Callable[[], Took]] = {
        "first": first, "again": again, "errors": with_errors, "dry": dry,
    }  # fmt: skip
    if on_postgres:
        cases["merge"] = lambda: merge(text)
    found = _rounds(cases, 1 if quick else 3)
    bulk, few = (10_000, 500) if on_postgres else (3_000, 300)
    peer_bulk = records.import_export(text, bulk)
    peer_default = records.import_export(text, few, bulk=False)
    took = undo(text)

    def note(*names: str) -> str:
        return "; ".join(f"{name}: {found[name].cpu()}" for name in names)

    rate = count / found["first"].wall
    label = f"CSV import of {count:,} rows"
    figures = [
        at_least(
            f"{label} vs import-export defaults ({backend})", rate, peer_default, 40 if on_postgres else 20
        ),
        at_most(
            f"second, unchanged upload vs first ({backend})",
            found["again"].wall, found["first"].wall, 0.56, note=note("again", "first"),
        ),
        at_most(
            f"file with 1 % wrong cells vs the clean one ({backend})",
            found["errors"].wall, found["first"].wall, 1.3, note=note("errors", "first"),
        ),
        at_most(
            f"dry run vs the real run ({backend})",
            found["dry"].wall, found["first"].wall, 0.6, note=note("dry", "first"),
        ),
        at_most(f"undo of {count:,} updates ({backend})", took.wall, 1, 10, note=took.cpu()),
    ]  # fmt: skip
    if on_postgres:
        figures += [
            at_least(f"{label} vs import-export bulk ({backend})", rate, peer_bulk, 6),
            at_most(
                f"{label} vs COPY + INSERT … ON CONFLICT ({backend})",
                found["first"].wall, found["merge"].wall, 2.5, note=note("first", "merge"),
            ),
        ]  # fmt: skip
    return figures
