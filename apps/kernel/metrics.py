"""Numbers for Prometheus: apps register collectors, `render` writes them in the text format.

Nothing is counted in processes, so that any process gives the same answer, and none pays for counting: a
collector reads rows when it is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Sample:
    """One line: `suffix` is `_bucket`, `_sum` or `_count` in a histogram, else empty."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


@dataclass(slots=True)
class Family:
    """One metric with all its samples; `kind` is gauge, counter or histogram, units are in its name."""

    name: str
    kind: str
    help: str
    samples: list[Sample] = field(default_factory=list)


Collector = Callable[[], Iterable[Family]]
collectors: dict[str, Collector] = {}


def render() -> str:
    """All the families of all collectors, in Prometheus' text format 0.0.4."""
    lines: list[str] = []
    for name in sorted(collectors):
        for family in collectors[name]():
            lines.append(f"# HELP {family.name} {_help(family.help)}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += [_line(family.name, sample) for sample in family.samples]
    return "\n".join(lines) + "\n"


def _line(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{_label(value)}"' for key, value in sample.labels.items())
    shown = f"{{{labels}}}" if labels else ""
    return f"{name}{sample.suffix}{shown} {sample.value:.10g}"


def _help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _label(text: str) -> str:
    return _help(text).replace('"', '\\"')
