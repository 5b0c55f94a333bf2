"""What calls add up to, and what follows from the sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from apps.apikeys.usage import histogram

ADDED = ("count", "limited", "refused", "bytes_in", "bytes_out", "time_us", "statements", "database_us")


@dataclass
class Numbers:
    """What calls add up to."""

    count: int = 0
    classes: dict[int, int] = field(default_factory=dict)
    limited: int = 0
    refused: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    time_us: int = 0
    statements: int = 0
    database_us: int = 0
    longest_us: int = 0
    steps: list[int] = field(default_factory=lambda: [0] * histogram.STEPS)

    def add(self, row: dict[str, Any]) -> None:
        status_class = row.get("status_class")
        if status_class is not None:
            self.classes[status_class] = self.classes.get(status_class, 0) + row["count_sum"]
        for name in ADDED:
            setattr(self, name, getattr(self, name) + row[f"{name}_sum"])
        self.longest_us = max(self.longest_us, row["longest"])
        self.steps = [a + row[f"{name}_sum"] for a, name in zip(self.steps, histogram.COLUMNS, strict=True)]

    def merge(self, other: Numbers) -> None:
        for status_class, count in other.classes.items():
            self.classes[status_class] = self.classes.get(status_class, 0) + count
        self.count += other.count
        for name in ADDED[1:]:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_us = max(self.longest_us, other.longest_us)
        self.steps = [a + b for a, b in zip(self.steps, other.steps, strict=True)]

    @property
    def errors(self) -> int:
        """Answers 400 and above."""
        return sum(count for status_class, count in self.classes.items() if status_class >= 4)

    @property
    def failures(self) -> int:
        """Answers 500 and above: the hub's own fault."""
        return self.classes.get(5, 0)

    @property
    def success_rate(self) -> float | None:
        return round(100 * (self.count - self.errors) / self.count, 2) if self.count else None

    @property
    def error_rate(self) -> float | None:
        return round(100 * self.errors / self.count, 2) if self.count else None

    @property
    def server_error_rate(self) -> float | None:
        return round(100 * self.failures / self.count, 2) if self.count else None

    @property
    def average_ms(self) -> float | None:
        return round(self.time_us / self.count / 1000, 2) if self.count else None

    @property
    def statements_per_call(self) -> float | None:
        return round(self.statements / self.count, 2) if self.count else None

    @property
    def database_share(self) -> float | None:
        """Percent of the time of all calls that was spent waiting for the database."""
        return round(min(100.0, 100 * self.database_us / self.time_us), 2) if self.time_us else None

    def percentile(self, share: float) -> float | None:
        return histogram.percentile(self.steps, share, longest=self.longest_us / 1000)
