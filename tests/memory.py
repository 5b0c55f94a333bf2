"""How much memory something takes at its peak. Linux keeps a peak for ever, unless it is told to forget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SELF = Path("/proc/self")
FORGET_THE_PEAK = "5"  # proc(5), clear_refs


@contextmanager
def costs_at_most(megabytes: float) -> Iterator[None]:
    """Fails if this process holds more resident memory meanwhile than before, by more than so much."""
    (_SELF / "clear_refs").write_text(FORGET_THE_PEAK)
    before = _peak()
    yield
    grown = _peak() - before
    assert grown < megabytes, f"{grown:.0f} MB more than before"


def _peak() -> float:
    lines = (_SELF / "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))
