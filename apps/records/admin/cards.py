"""The home page's cards about records: how many there are, what was written, what changed last."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.cache import cache
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from apps.kernel.admin import Series, ago, bar_chart, dashboard, number, sparkline
from apps.records import selectors
from apps.records.admin.columns import title_of
from apps.records.models import Change, Dataset

DAYS = 7
SHOWN_DATASETS = 5
COUNT_CAP = 1_000_000
LATEST = 6
PER_DATASET = 3
TODAY_SECONDS = 60
TONES = ("a", "b", "c", "d", "e", "f")


def _organization(request: HttpRequest) -> Any:
    return request.organization  # type: ignore[attr-defined]


def _datasets(request: HttpRequest) -> list[Dataset]:
    """Read once for all cards of a page."""
    found: list[Dataset] | None = getattr(request, "hub_dashboard_datasets", None)
    if found is None:
        found = list(selectors.datasets_of(_organization(request)))
        request.hub_dashboard_datasets = found  # type: ignore[attr-defined]
    return found


def first_id(at: dt.datetime) -> UUID:
    """The smallest time-ordered id of a moment (RFC 9562): turns a time into a place in the primary key."""
    return UUID(int=(int(at.timestamp() * 1000) << 80) | (7 << 76) | (0b10 << 62))


def _days(request: HttpRequest) -> list[dt.date]:
    today = timezone.localdate(timezone=ZoneInfo(_organization(request).timezone))
    return [today - dt.timedelta(days=n) for n in range(DAYS - 1, -1, -1)]


def written(request: HttpRequest) -> dict[UUID, list[int]]:
    """Changes per dataset and day of the last week; past days are remembered, today for a minute."""
    read: dict[UUID, list[int]] | None = getattr(request, "hub_written", None)
    if read is not None:
        return read
    days, datasets = _days(request), _datasets(request)
    zone = str(_organization(request).timezone)
    keys: dict[tuple[UUID, dt.date], str] = {}
    for dataset in datasets:
        keys |= {(dataset.pk, day): f"written:{dataset.pk}:{day}:{zone}" for day in days}
    cached = cache.get_many(list(keys.values()))
    missing = [place for place, key in keys.items() if key not in cached]
    counts = dict(zip(missing, _count(missing, ZoneInfo(zone)), strict=True))
    past = {keys[p]: n for p, n in counts.items() if p[1] != days[-1]}
    if past:
        cache.set_many(past, timeout=(DAYS + 1) * 86400)
    today = {keys[p]: n for p, n in counts.items() if p[1] == days[-1]}
    if today:
        cache.set_many(today, timeout=TODAY_SECONDS)
    known = {place: int(counts.get(place, cached.get(key, 0))) for place, key in keys.items()}
    found = {d.pk: [known[d.pk, day] for day in days] for d in datasets}
    request.hub_written = found  # type: ignore[attr-defined]
    return found


def _count(places: list[tuple[UUID, dt.date]], zone: dt.tzinfo) -> list[int]:
    """How many changes each dataset had on each day, in one query over the indexes (dataset, id)."""
    if not places:
        return []
    table = connection.ops.quote_name(Change._meta.db_table)
    dataset_field, id_field = Change._meta.get_field("dataset"), Change._meta.get_field("id")
    one = (
        f"(SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE dataset_id = %s AND id >= %s AND id < %s"  # noqa: S608
        f" LIMIT {COUNT_CAP}) AS counted)"
    )
    counts: list[int] = []
    for start in range(0, len(places), 200):
        part = places[start : start + 200]
        values: list[Any] = []
        for pk, day in part:
            begin = dt.datetime.combine(day, dt.time(), tzinfo=zone)
            end = dt.datetime.combine(day + dt.timedelta(days=1), dt.time(), tzinfo=zone)
            values += [
                dataset_field.get_db_prep_value(pk, connection),
                id_field.get_db_prep_value(first_id(begin), connection),
                id_field.get_db_prep_value(first_id(end), connection),
            ]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {', '.join([one] * len(part))}", values)
            counts += cursor.fetchone()
    return counts


def held(request: HttpRequest) -> dict[str, Any]:
    """How many records the organization holds."""
    counts = selectors.counts(_organization(request))
    datasets = _datasets(request)
    total = sum(counts.get(d.pk, 0) for d in datasets)
    used = sum(1 for d in datasets if counts.get(d.pk, 0))
    week = [sum(values[n] for values in written(request).values()) for n in range(DAYS)]
    return {
        "title": "Records",
        "value": number(total),
        "note": f"in {used} of {len(datasets)} datasets",
        "href": reverse("admin:records_dataset_changelist"),
        "spark": sparkline(week, label=f"{sum(week):,} changes in 7 days") if any(week) else "",
    }


def per_day(request: HttpRequest) -> dict[str, Any]:
    """A chart: records written per day by dataset."""
    by_dataset = written(request)
    named = {d.pk: d.name for d in _datasets(request)}
    ranked = sorted(by_dataset, key=lambda pk: -sum(by_dataset[pk]))
    top = [pk for pk in ranked[:SHOWN_DATASETS] if any(by_dataset[pk])]
    rest = [pk for pk in ranked[SHOWN_DATASETS:] if any(by_dataset[pk])]
    series = [Series(named[pk], tuple(by_dataset[pk]), TONES[n]) for n, pk in enumerate(top)]
    if rest:
        series.append(
            Series("Others", tuple(sum(by_dataset[pk][n] for pk in rest) for n in range(DAYS)), "quiet")
        )
    labels = [f"{day:%a} {day.day}" for day in _days(request)]
    return {
        "title": "Records written in the last 7 days",
        "chart": bar_chart(labels, series, unit="changes"),
        "href": reverse("admin:records_change_changelist"),
        "link": "Changes",
    }


def latest_changes(request: HttpRequest) -> QuerySet[Change]:
    """The latest changes of all datasets."""
    keys = selectors.latest_changes([d.pk for d in _datasets(request)], PER_DATASET)[:LATEST]
    rows = Change.objects.filter(pk__in=keys).select_related("origin", "dataset", "record")
    return rows.order_by("-id")


def changed_last(request: HttpRequest) -> dict[str, Any]:
    """A list: the latest changes."""
    tones = {"created": "good", "updated": "busy", "deleted": "bad", "restored": "good"}
    items = [
        {
            "title": title_of(change.record, change.dataset),
            "text": f"{change.dataset.name}: {change.get_operation_display().lower()} by {change.origin}",
            "tone": tones.get(change.operation, "quiet"),
            "href": reverse("admin:data_record", args=[change.dataset.slug, change.record.public_id]),
            "when": ago(change.created_at),
        }
        for change in latest_changes(request)
    ]
    return {
        "title": "Latest changes",
        "items": items,
        "href": reverse("admin:records_change_changelist"),
        "empty": "No record has been written yet.",
    }


def register() -> None:
    dashboard.cards.register(dashboard.Card("records", "health", 10, held, scope="records:read"))
    dashboard.cards.register(
        dashboard.Card("records-per-day", "charts", 10, per_day, dashboard.CHART, scope="records:read")
    )
    dashboard.cards.register(
        dashboard.Card("latest-changes", "today", 90, changed_last, dashboard.LIST, scope="records:read")
    )


register()
