"""Progress that moves: a bar that asks a JSON endpoint of the admin until the work is done."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from apps.kernel.admin.display import duration, muted, since_text


@dataclass(frozen=True)
class Progress:
    """How far a long job is. `total` None means that nobody knows yet; `active` that it still runs.

    `note` is a sentence below the bar, such as “12 rows failed”.
    """

    done: int
    total: int | None
    active: bool
    status: str = ""
    unit: str = "rows"
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None
    note: str = ""

    @property
    def percent(self) -> float | None:
        if not self.active and self.total in (None, 0):
            return 100.0
        if self.total is None:
            return None
        return 100.0 if self.total == 0 else round(min(100.0, self.done / self.total * 100), 1)

    @property
    def elapsed(self) -> float:
        """Seconds since it started, until now or its end."""
        if self.started_at is None:
            return 0.0
        return max(0.0, ((self.finished_at or timezone.now()) - self.started_at).total_seconds())

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.done / self.elapsed if self.elapsed > 0.5 else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that are left at this rate."""
        if not self.active or self.total is None or not self.rate or self.total < self.done:
            return None
        return (self.total - self.done) / self.rate

    @property
    def text(self) -> str:
        done = f"{self.done:,}"
        return f"{done} of {self.total:,} {self.unit}" if self.total is not None else f"{done} {self.unit}"

    @property
    def pace(self) -> str:
        parts = []
        if self.rate:
            parts.append(
                f"{self.rate:,.0f} {self.unit}/s" if self.rate >= 10 else f"{self.rate:,.1f} {self.unit}/s"
            )
        if self.remaining is not None:
            parts.append(f"about {since_text(max(1, self.remaining))} left")
        elif not self.active and self.elapsed:
            parts.append(f"took {duration(self.elapsed)}")
        return " · ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """What the bar's endpoint answers."""
        return {
            "percent": self.percent,
            "text": self.text,
            "pace": self.pace,
            "note": self.note,
            "status": self.status,
            "active": self.active,
        }


def progress_bar(
    progress: Progress | None, url: str = "", *, compact: bool = False, reload: bool = False
) -> SafeString:
    """The bar. With `url` (answering `Progress.as_json()`) it moves while `active`; with `reload` the page is
    loaded anew once the work is done."""
    if progress is None:
        return muted("not started")
    live = format_html(' data-progress-url="{}"', url) if url and progress.active else ""
    again = mark_safe(" data-reload") if reload else ""
    percent = progress.percent
    return format_html(
        '<div class="hub-progress{}{}"{}{} data-status="{}"><div class="hub-track" role="progressbar"'
        ' aria-valuemin="0" aria-valuemax="100"{}><i style="width:{}%"></i></div>'
        '<div class="hub-progress-line"><b>{}</b><span>{}</span><em>{}</em></div><p>{}</p></div>',
        " hub-compact" if compact else "",
        " hub-unknown" if percent is None and progress.active else "",
        live,
        again,
        progress.status,
        format_html(' aria-valuenow="{}"', percent) if percent is not None else "",
        percent if percent is not None else 100,
        f"{percent:.0f}%" if percent is not None else "…",
        progress.text,
        progress.pace,
        progress.note,
    )
