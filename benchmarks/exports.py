"""A dataset's way out: CSV against COPY of the same query, Excel against the fastest library.

The exports are whole jobs: ordered, leased, read in a snapshot, written, digested, stored.
"""

from __future__ import annotations

import tempfile
from typing import Any

from benchmarks import records
from benchmarks.measure import Figure, Took, at_least, at_most, median, taken

WANTED: dict[str, Any] = {
    "columns": list(records.COLUMNS),
    "filters": {"name__startswith": "Company"},
    "ordering": "name",
}


def filled(name: str, count: int) -> Any:
    """A dataset of so many clients."""
    from apps.records.selectors import dataset_of

    records.load(records.csv_text(count), name)
    return dataset_of(records.organization(name), "clients")


def ordered(dataset: Any, **settings: Any) -> Any:
    from apps.jobs.services import exports
    from apps.tenants.principals import Actor

    return exports.create(
        organization=dataset.organization, dataset=dataset, actor=Actor("user", "1", "Benchmark"), **settings
    )


def carried_out(dataset: Any, count: int, **settings: Any) -> Took:
    """One export, from the order to the stored file."""
    from apps.jobs.services import work

    jobs: list[Any] = []

    def run() -> None:
        jobs.append(ordered(dataset, **settings))
        work.take(job_id=jobs[0].pk)

    took = taken(run)
    jobs[0].refresh_from_db()
    if jobs[0].status != "completed" or jobs[0].processed_records != count:
        raise SystemExit(f"{jobs[0].status}, {jobs[0].processed_records} rows: {jobs[0].status_reason}")
    return took


def copied(dataset: Any) -> Took:
    """COPY TO of the same columns, rows and order; each row's JSON is parsed once."""
    from django.db import connection

    columns = ", ".join(f"d->>'{name}'" for name in records.COLUMNS)
    slot = dataset.slots["name"]
    query = (
        f"COPY (SELECT {columns} FROM (SELECT data::jsonb AS d, {slot}, id FROM records_record "
        f"WHERE dataset_id = '{dataset.pk}' AND deleted_at IS NULL AND {slot} >= 'company' "
        f"AND {slot} < 'company\U0010ffff' OFFSET 0) AS x ORDER BY {slot}, id) TO STDOUT (FORMAT csv, HEADER)"
    )

    def run() -> None:
        with tempfile.TemporaryFile() as file, connection.cursor() as cursor, cursor.copy(query) as copy:
            for part in copy:
                file.write(part)

    return taken(run)


def workbooks(count: int) -> tuple[Took, Took]:
    """The same rows written by our writer and by rustpy-xlsxwriter, both from dictionaries in memory."""
    from rustpy_xlsxwriter import write_worksheet

    from apps.jobs.formats.out_xlsx import XlsxOutput
    from apps.jobs.formats.outputs import Batch, OutColumn, OutOptions

    kinds = {"credit_limit": "decimal", "since": "date"}
    columns = [
        OutColumn(name, name, kinds.get(name, "text"), ("data", name), 2 if name == "credit_limit" else None)
        for name in records.COLUMNS
    ]
    data = [dict(zip(records.COLUMNS, row, strict=True)) for row in records.rows(count)]

    def ours() -> None:
        with tempfile.TemporaryFile() as file:
            output = XlsxOutput(file, columns, OutOptions())
            for start in range(0, count, 4_000):
                output.write(Batch(data[start : start + 4_000]))
            output.close()

    def theirs() -> None:
        with tempfile.TemporaryDirectory() as folder:
            write_worksheet(data, f"{folder}/rows.xlsx")

    ours()  # imports and fonts of the first time are not the writer's
    return taken(ours), taken(theirs)


def run(backend: str, *, quick: bool = False) -> list[Figure]:
    """All figures on the database that the settings name."""
    count = 20_000 if quick else 100_000
    dataset = filled("Exports", count)
    turns = range(1 if quick else 3)
    csv = _middle([carried_out(dataset, count, format="csv", **WANTED) for _ in turns])
    label = f"CSV export of {count:,} rows with filter, columns, sort"
    figures = [
        at_least(f"{label}, rows a second ({backend})", count / csv.wall, 100_000, 1, note=csv.cpu()),
    ]
    if backend == "PostgreSQL":
        copy = _middle([copied(dataset) for _ in turns])
        note = f"{csv.cpu()}; COPY: {copy.cpu()}"
        figures.append(at_most(f"{label} vs COPY TO ({backend})", csv.wall, copy.wall, 2, note=note))
    else:
        ours, theirs = workbooks(count)
        note = f"{ours.cpu()}; rustpy-xlsxwriter: {theirs.cpu()}"
        figures.append(
            at_most(f"XLSX of {count:,} rows vs rustpy-xlsxwriter", ours.wall, theirs.wall, 1.5, note=note)
        )
    return figures


def _middle(several: list[Took]) -> Took:
    return Took(*(median(getattr(took, part) for took in several) for part in ("wall", "client", "server")))
