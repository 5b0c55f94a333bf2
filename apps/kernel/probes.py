"""Probes: small questions about the hub's own state, declared by the apps and asked by `apps.health`.

A probe answers within a second or two, changes nothing, and reads no whole table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from apps.kernel.registry import Registry


class Verdict(StrEnum):
    """healthy, warning, critical: `warn` asks for attention soon, `fail` now."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found. `detail` is one sentence for an administrator; it holds no secret."""

    verdict: Verdict
    detail: str = ""
    observed: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Probe:
    """`name` is `component:measurement`, as in health+json; `ask` raises nothing on purpose."""

    name: str
    title: str
    ask: Callable[[], Finding]
    vital: bool = False  # its failure makes the whole hub fail


probes: Registry[Probe] = Registry("Probe")


def graded(observed: float, *, warn: float, fail: float, unit: str, detail: str) -> Finding:
    """A finding by thresholds: at `warn` and above a warning, at `fail` and above a failure."""
    verdict = Verdict.FAIL if observed >= fail else Verdict.WARN if observed >= warn else Verdict.PASS
    return Finding(verdict, detail, observed, unit)
