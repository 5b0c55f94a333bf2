"""What an export will hold, before it is ordered: how many records, and the first of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from apps.jobs.formats.outputs import plain_text, value_of
from apps.jobs.services.export_columns import METADATA, Layout, layout_of
from apps.jobs.services.exports import checked
from apps.kernel import ids
from apps.records import reading, selectors
from apps.records.models import Dataset, Record

SHOWN = 5
CLIPPED = 80
COUNTED = 100_000
"""Records that are counted at most, where the dataset does not know their number."""
TESTED = 5_000
"""Records that are read at most to find out which a filter without an index keeps."""


@dataclass(frozen=True)
class Preview:
    """`count` records, or at least so many unless it `is_exact`; the first rows under their headings."""

    count: int
    is_exact: bool
    headings: list[str]
    rows: list[list[str]]


def preview(
    dataset: Dataset, settings: Mapping[str, Any], filters: Mapping[str, str], *, search: str = ""
) -> Preview:
    """A bounded look, whatever the dataset's size. Raises as `exports.create` does for the same."""
    chosen = checked(dataset, settings, filters, search=search)
    layout = layout_of(dataset, chosen)
    selection = reading.select(
        dataset,
        filters,
        search=search,
        ordering=chosen["ordering"],
        include_deleted=chosen["include_deleted"],
    )
    labels = chosen["labels"]
    rows: list[list[str]] = []
    kept = read = 0
    limit = TESTED if selection.tests else SHOWN
    for page in reading.pages(selection, using=DEFAULT_DB_ALIAS, meta=True, size=500, limit=limit):
        read += page.read
        kept += len(page.data)
        if len(rows) < SHOWN:
            rows += _rows(layout, page)
    if selection.tests:
        count, exact = kept, read < TESTED
    elif not filters and not search and not chosen["include_deleted"]:
        count, exact = selectors.count(dataset), True
    else:
        count = selection.rows.order_by().values("pk")[: COUNTED + 1].count()
        count, exact = min(count, COUNTED), count <= COUNTED
    return Preview(count, exact, [c.title if labels else c.name for c in layout.columns], rows[:SHOWN])


def _rows(layout: Layout, page: reading.Page) -> list[list[str]]:
    first = page.data[:SHOWN]
    related = [
        reading.by_keys(
            join.dataset,
            [key for row in first if isinstance(key := row.get(join.field), str)],
            using=DEFAULT_DB_ALIAS,
        )
        for join in layout.joins
    ]
    found = []
    for data, meta in zip(first, page.meta, strict=False):
        about = (ids.public(Record.PREFIX, meta[0]), *meta[1:])
        values = [value_of(column, data, about, related) for column in layout.columns]
        found.append([_clipped(plain_text(value)) for value in values])
    return found


def _clipped(text: str) -> str:
    return text if len(text) <= CLIPPED else text[: CLIPPED - 1] + "…"


assert len(METADATA) == len(reading.META)
