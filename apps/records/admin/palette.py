"""Records in the command palette: by the beginning of their key or title, in every dataset at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from unfold.dataclasses import SearchResult

from apps.kernel.admin import allows, search
from apps.records import selectors
from apps.records.admin.columns import title_of
from apps.records.models import Dataset, Record

FOUND = 8
SHORTEST = 2


def records_like(request: HttpRequest, term: str) -> list[SearchResult]:
    """At most eight. Each condition is a range of an index that begins with the dataset."""
    organization = getattr(request, "organization", None)
    if organization is None or len(term) < SHORTEST or not allows(request, "records:read"):
        return []
    datasets = {d.pk: d for d in selectors.datasets_of(organization).select_related("organization")}
    found: dict[Any, Record] = {}
    for rows in _places(datasets, term):
        found |= {row.pk: row for row in Record.objects.filter(rows, deleted_at=None)[:FOUND]}
    return [
        SearchResult(
            title_of(row, datasets[row.dataset_id]),
            f"{datasets[row.dataset_id].singular or datasets[row.dataset_id].name} {row.key or ''}".strip(),
            reverse("admin:data_record", args=[datasets[row.dataset_id].slug, row.public_id]),
            datasets[row.dataset_id].icon or "database",
        )
        for row in islice(found.values(), FOUND)
    ]


def _places(datasets: dict[Any, Dataset], term: str) -> Iterator[Q]:
    yield Q(dataset__in=list(datasets)) & selectors.prefix_range("key", term)
    by_slot: dict[str, list[Any]] = defaultdict(list)
    for dataset in datasets.values():
        if dataset.title_field in dataset.slots:
            by_slot[dataset.slots[dataset.title_field]].append(dataset.pk)
    for slot, keys in by_slot.items():
        yield Q(dataset__in=keys) & selectors.prefix_range(slot, term.casefold()[:190])


if records_like not in search.sources:
    search.sources.append(records_like)
