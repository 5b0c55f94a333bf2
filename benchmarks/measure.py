"""How the figures are taken and written down: ours and the peer's in one run, and the ratio that counts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Figure:
    """One row of the table. `ratio` is ours to the peer's (or the other way round, as `unit` says)."""

    name: str
    ours: float
    peer: float
    ratio: float
    goal: str
    holds: bool
    unit: str = ""
    note: str = ""


def at_most(name: str, ours: float, peer: float, times: float, *, unit: str = "s", note: str = "") -> Figure:
    """Ours may be at most `times` the peer's."""
    ratio = ours / peer if peer else float("inf")
    return Figure(
        name, round(ours, 4), round(peer, 4), round(ratio, 3), f"≤ {times}×", ratio <= times, unit, note
    )


def at_least(
    name: str, ours: float, peer: float, times: float, *, unit: str = "rows/s", note: str = ""
) -> Figure:
    """Ours must be at least `times` the peer's."""
    ratio = ours / peer if peer else float("inf")
    return Figure(
        name, round(ours, 1), round(peer, 1), round(ratio, 2), f"≥ {times}×", ratio >= times, unit, note
    )


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Took:
    """What a piece of work took: wall seconds, and CPU seconds of this process and of the database's server.

    On a machine that others use too the CPU seconds tell more than the clock.
    """

    wall: float
    client: float
    server: float

    def cpu(self) -> str:
        return f"{self.client:.2f} s CPU here, {self.server:.2f} s in the server"


def taken(work: Callable[[], object]) -> Took:
    """Do the work once."""
    server, client, wall = _server_cpu(), time.process_time(), time.perf_counter()
    work()
    return Took(time.perf_counter() - wall, time.process_time() - client, max(0.0, _server_cpu() - server))


def _server_cpu() -> float:
    """CPU seconds of the backends that serve this database, where they run on this machine; else 0."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend'"
        )
        pids = [pid for (pid,) in cursor.fetchall()]
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def peak_memory() -> float:
    """The most resident memory that this process has had, in MB."""
    # Not ru_maxrss: it begins with that of the process which started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def show(figures: list[Figure]) -> str:
    head = ("name", "ours", "peer", "ratio", "goal", "holds")
    rows = [
        (
            f.name,
            f"{f.ours:g} {f.unit}",
            f"{f.peer:g} {f.unit}",
            f"{f.ratio:g}",
            f.goal,
            "yes" if f.holds else "NO",
        )
        for f in figures
    ]
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    )


def save(figures: list[Figure]) -> None:
    """Write the figures down; those of this run replace their former selves, the others stay."""
    known = {}
    if RESULTS.exists():
        known = {item["name"]: item for item in json.loads(RESULTS.read_text())}
    known |= {f.name: asdict(f) for f in figures}
    RESULTS.write_text(json.dumps(list(known.values()), indent=2, ensure_ascii=False) + "\n")
