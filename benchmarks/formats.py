"""Reading files: workbooks against the fastest libraries; memory when there are ten times as many rows.

Nothing of this asks a database, so it runs once, on whichever comes first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.measure import Figure, Took, at_least, at_most, median, taken

STREAMED = ("csv", "ndjson", "json", "xml")
KINDS = {"credit_limit": "decimal", "since": "date"}
_PART = 4_000
# What a child does: read every row of a file, and tell the most memory that this took, in KB.
# (What `getrusage` tells includes the process that started it.)
_READ = """
import sys
from apps.jobs.formats import open_table
with open(sys.argv[1], "rb") as file:
    count = sum(1 for _ in open_table(file, filename=sys.argv[1]).rows)
status = open("/proc/self/status").read()
print(count, status.partition("VmHWM:")[2].split()[0])
"""


def written(kind: str, path: Path, count: int) -> None:
    """A file of so many rows of 12 columns, as exports write it."""
    from apps.jobs.formats.outputs import Batch, OutColumn, OutOptions
    from apps.jobs.formats.outputs_by_format import OUTPUTS

    columns = [
        OutColumn(name, name, KINDS.get(name, "text"), ("data", name), 2 if name == "credit_limit" else None)
        for name in records.COLUMNS
    ]
    data = [dict(zip(records.COLUMNS, row, strict=True)) for row in records.rows(_PART)]
    with path.open("wb") as file:
        output = OUTPUTS[kind](file, columns, OutOptions())
        for start in range(0, count, _PART):
            output.write(Batch(data[: count - start]))
        output.close()


def peak_of(path: Path, count: int) -> float:
    """The most memory that reading a file took in a process of its own, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ,
    )
    rows, peak = done.stdout.split()
    if int(rows) != count:
        raise SystemExit(f"{path.name}: {rows} rows were read, {count} are there")
    return int(peak) / 1024


def memory(kind: str, folder: Path, count: int) -> tuple[float, float]:
    """Peaks of so many rows and of a tenth of them."""
    found = []
    for rows in (count, count // 10):
        path = folder / f"{rows}.{kind}"
        written(kind, path, rows)
        found.append(peak_of(path, rows))
        path.unlink()
    return found[0], found[1]


def ours(path: Path) -> int:
    from apps.jobs.formats import open_table

    with path.open("rb") as file:
        return sum(1 for _ in open_table(file, filename=path.name).rows)


def calamine(path: Path) -> int:
    from python_calamine import CalamineWorkbook

    with path.open("rb") as file:
        return len(CalamineWorkbook.from_filelike(file).get_sheet_by_index(0).to_python()) - 1


def openpyxl(path: Path) -> int:
    from openpyxl import load_workbook

    book = load_workbook(path, read_only=True)
    count = sum(1 for _ in book.worksheets[0].iter_rows(values_only=True)) - 1
    book.close()
    return count


def reading(read: Callable[[Path], int], path: Path, count: int) -> Took:
    def run() -> Any:
        if (found := read(path)) != count:
            raise SystemExit(f"{read.__name__}: {found} rows of {count}")

    return taken(run)


def run(backend: str, *, quick: bool = False) -> list[Figure]:
    """All figures; none on a second database."""
    if backend != "SQLite":
        return []
    count = 5_000 if quick else 100_000
    few = 2_000 if quick else 10_000
    figures = []
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as name:
        folder = Path(name)
        book, small = folder / "rows.xlsx", folder / "few.xlsx"
        written("xlsx", book, count)
        written("xlsx", small, few)
        reading(ours, small, few)  # what is imported the first time is not the reader's
        turns = range(1 if quick else 3)
        own = _middle([reading(ours, book, count) for _ in turns])
        peer = _middle([reading(calamine, book, count) for _ in turns])
        note = f"{own.cpu()}; calamine: {peer.cpu()}"
        label = "XLSX read: {n:,} rows vs {peer}"
        figures.append(
            at_most(label.format(n=count, peer="python-calamine"), own.wall, peer.wall, 1.5, note=note)
        )
        own, peer = reading(ours, small, few), reading(openpyxl, small, few)
        note = f"{own.cpu()}; openpyxl: {peer.cpu()}"
        figures.append(
            at_least(label.format(n=few, peer="openpyxl"), few / own.wall, few / peer.wall, 5, note=note)
        )
        rows = 100_000 if quick else 1_000_000
        for kind in (*STREAMED, "xlsx"):
            large = rows // 10 if kind == "xlsx" else rows
            most, least = memory(kind, folder, large)
            text = f"{kind.upper()} read: peak memory of {large:,} rows against {large // 10:,}"
            # A workbook is held in memory: its figure is stated, not promised.
            figures.append(
                Figure(text, round(most, 1), round(least, 1), round(most / least, 2), "stated", True, "MB")
                if kind == "xlsx"
                else at_most(text, most, least, 1.3, unit="MB")
            )
    return figures


def _middle(several: list[Took]) -> Took:
    return Took(*(median(getattr(took, part) for took in several) for part in ("wall", "client", "server")))
