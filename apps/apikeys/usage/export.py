"""Usage as a CSV file: a line for each bucket, caller, endpoint, version and status class; streamed."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from django.http import StreamingHttpResponse

from apps.apikeys.models.usage import Grain, Level
from apps.apikeys.usage import histogram, selectors
from apps.apikeys.usage.selectors import Narrowed, Span
from apps.tenants.models import Organization

HEADERS = (
    "starts_at", "bucket_seconds", "caller_kind", "caller", "method", "endpoint", "version", "status_class",
    "requests", "rate_limited", "unauthorized", "bytes_in", "bytes_out", "average_ms", "p50_ms", "p95_ms",
    "p99_ms", "longest_ms",
)  # fmt: skip
_COLUMNS = (
    "starts_at", "grain", "subject_kind", "subject_id", "method", "route", "version", "status_class", "count",
    "limited", "refused", "bytes_in", "bytes_out", "time_us", "longest_us", *histogram.COLUMNS,
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class _Line:
    """What csv writes into: gives each line back."""

    def write(self, text: str) -> str:
        return text


def lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """CSV lines of the rows; no cell is taken for a formula by a spreadsheet program."""
    writer = csv.writer(_Line())
    for row in rows:
        yield writer.writerow([_harmless(cell) for cell in row])


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def rows_of(organization: Organization, span: Span, narrowed: Narrowed) -> Iterator[list[Any]]:
    """The header and the rows, in order of time."""
    yield list(HEADERS)
    names: dict[tuple[str, str], str] = {}
    buckets = selectors.buckets(organization, _coarse(span), Level.DETAIL, narrowed)
    for row in buckets.order_by("starts_at", "id").values_list(*_COLUMNS).iterator(chunk_size=1000):
        starts_at, grain, kind, subject_id, method, route, version, status_class, count = row[:9]
        subject = (kind, subject_id)
        if subject not in names:
            names |= selectors.labels([subject])
        time_us, longest_us, steps = row[13], row[14], row[15:]
        yield [
            starts_at.isoformat().replace("+00:00", "Z"),
            int(grain),
            kind,
            names[subject],
            method,
            route,
            version,
            f"{status_class}xx",
            count,
            *row[9:13],
            round(time_us / count / 1000, 3) if count else "",
            *(histogram.percentile(steps, share, longest=longest_us / 1000) for share in (0.5, 0.95, 0.99)),
            round(longest_us / 1000, 3),
        ]


def _coarse(span: Span) -> Span:
    return span if span.grain != Grain.MINUTES else Span(span.start, span.end, Grain.HOUR)


def response(organization: Organization, span: Span, narrowed: Narrowed) -> StreamingHttpResponse:
    """The file as an answer."""
    name = f"api-usage-{span.start:%Y%m%d-%H%M}-{span.end:%Y%m%d-%H%M}.csv"
    return StreamingHttpResponse(
        lines(rows_of(organization, span, narrowed)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
    )
