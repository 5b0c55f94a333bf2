"""Reading usage: one statement for a chart, one for each ranking, whatever the number of buckets behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, Min, Q, QuerySet, Sum
from django.utils import timezone

from apps.apikeys.models import APIKey, Application, RequestLog, UsageAddresses, UsageBucket
from apps.apikeys.models.usage import Grain, Level
from apps.apikeys.usage import histogram, sketch
from apps.apikeys.usage.numbers import ADDED, Numbers
from apps.apikeys.usage.retention import KEPT
from apps.kernel.errors import BadRequest, FieldError
from apps.tenants.models import Organization, User

RANGES = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}
BUCKETS = {"5m": Grain.MINUTES, "hour": Grain.HOUR, "day": Grain.DAY}
MOST_BARS = 750


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` (at a bucket's beginning) up to `end`, in buckets of `grain` seconds."""

    start: datetime
    end: datetime
    grain: int

    @property
    def starts(self) -> list[datetime]:
        count = max(1, -(-int((self.end - self.start).total_seconds()) // self.grain))
        return [self.start + timedelta(seconds=n * self.grain) for n in range(count)]


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What is looked at: everything, one caller, one endpoint, or one caller at one endpoint."""

    subject: tuple[str, str] | None = None
    endpoint: tuple[str, str] | None = None  # method, route

    @property
    def level(self) -> Level:
        if self.subject and self.endpoint:
            return Level.DETAIL
        if self.subject:
            return Level.SUBJECT
        return Level.ENDPOINT if self.endpoint else Level.ORGANIZATION

    def apply(self, rows: QuerySet[UsageBucket]) -> QuerySet[UsageBucket]:
        if self.subject:
            rows = rows.filter(subject_kind=self.subject[0], subject_id=self.subject[1])
        if self.endpoint:
            rows = rows.filter(method=self.endpoint[0], route=self.endpoint[1])
        return rows


EVERYTHING = Narrowed()


@dataclass
class Point:
    start: datetime
    numbers: Numbers


@dataclass
class Group:
    """One line of a ranking. `key` is what it stands for, `label` what a person reads."""

    key: tuple[str, ...]
    label: str
    numbers: Numbers
    last_at: datetime | None = None


# --- time


def span_of(
    name: str | None = None,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    bucket: str | None = None,
    now: datetime | None = None,
) -> Span:
    """The span that was asked for: the name of a range up to now, or two moments.

    Raises BadRequest for a span that ends before it begins, is longer than 400 days, has too many buckets, or
    asks for finer ones than are kept.
    """
    now = now or timezone.now()
    until = min(end or now, now)
    since = start if start is not None else until - RANGES[name or "24h"]
    if since >= until:
        raise _wrong("from", "The span must begin before it ends, and before now.")
    if until - since > KEPT[Grain.DAY]:
        raise _wrong("from", f"A span is at most {KEPT[Grain.DAY].days} days.")
    grain = BUCKETS[bucket] if bucket else _usual(since, until, now)
    if bucket and now - since > KEPT[Grain(grain)] + timedelta(seconds=grain):
        raise _wrong("bucket", f"Buckets of this length are kept for {KEPT[Grain(grain)].days} days.")
    if (until - since).total_seconds() / grain > MOST_BARS:
        raise _wrong("bucket", f"That is more than {MOST_BARS} buckets: choose longer ones.")
    first = _floor(since, grain)
    if start is None and first < since:
        first += timedelta(seconds=grain)  # the last 24 hours are 24 buckets, of which the last still grows
    return Span(first, until, grain)


def _usual(since: datetime, until: datetime, now: datetime) -> int:
    length, age = until - since, now - since
    if length <= timedelta(hours=6) and age <= KEPT[Grain.MINUTES]:
        return Grain.MINUTES
    if length <= timedelta(days=7) and age <= KEPT[Grain.HOUR]:
        return Grain.HOUR
    return Grain.DAY


def _floor(moment: datetime, grain: int) -> datetime:
    seconds = int(moment.timestamp())
    return datetime.fromtimestamp(seconds - seconds % grain, UTC)


def _wrong(name: str, detail: str) -> BadRequest:
    return BadRequest(detail, errors=[FieldError(f"?{name}", "invalid", detail)], code="invalid")


# --- numbers


def buckets(
    organization: Organization | None, span: Span, level: Level, narrowed: Narrowed
) -> QuerySet[UsageBucket]:
    """The rows of a level in a span."""
    grain = span.grain
    if level == Level.DETAIL and grain == Grain.MINUTES:
        grain = Grain.HOUR  # details are not kept finer
    rows = UsageBucket.objects.filter(
        organization=organization,
        level=level,
        grain=grain,
        starts_at__gte=_floor(span.start, grain),
        starts_at__lt=span.end,
    )
    return narrowed.apply(rows)


def summed(rows: QuerySet[Any], *by: str) -> QuerySet[Any, Any]:
    """What they add up to, by some columns: what `Numbers.add` takes."""
    names = (*ADDED, *histogram.COLUMNS)
    return (
        rows.order_by()
        .values(*by)
        .annotate(**{f"{name}_sum": Sum(name) for name in names}, longest=Max("longest_us"))
    )


def series(organization: Organization | None, span: Span, narrowed: Narrowed = EVERYTHING) -> list[Point]:
    """Every bucket of the span, oldest first, empty ones too. One statement."""
    points = {start: Numbers() for start in span.starts}
    for row in summed(buckets(organization, span, narrowed.level, narrowed), "starts_at", "status_class"):
        found = points.get(row["starts_at"].astimezone(UTC))
        if found is None:
            found = points[min(points)]
        found.add(row)
    return [Point(start, numbers) for start, numbers in sorted(points.items())]


def total(points: Iterable[Point]) -> Numbers:
    found = Numbers()
    for point in points:
        found.merge(point.numbers)
    return found


GROUPS = {
    "key": ("subject_kind", "subject_id"),
    "endpoint": ("method", "route"),
    "method": ("method",),
    "version": ("version",),
    "status": ("status_class",),
}


def ranking(
    organization: Organization | None,
    span: Span,
    by: str,
    narrowed: Narrowed = EVERYTHING,
    *,
    limit: int = 10,
) -> list[Group]:
    """The busiest callers (`key`), endpoints, methods, versions or status classes. Two statements at most,
    and those that name callers."""
    columns = GROUPS[by]
    level = _level_for(by, narrowed)
    rows = buckets(organization, span, level, narrowed)
    busiest = list(
        rows.order_by()
        .values_list(*columns)
        .annotate(calls=Sum("count"), last=Max("last_at"))
        .order_by("-calls", *columns)[:limit]
    )
    if not busiest:
        return []
    wanted = Q()
    for row in busiest:
        wanted |= Q(**dict(zip(columns, row, strict=False)))
    found: dict[tuple[Any, ...], Numbers] = {}
    by_class = columns if "status_class" in columns else (*columns, "status_class")
    for row in summed(rows.filter(wanted), *by_class):
        found.setdefault(tuple(row[name] for name in columns), Numbers()).add(row)
    groups = []
    names = labels([row[:2] for row in busiest]) if by == "key" else {}
    for row in busiest:
        key = tuple(row[: len(columns)])
        label = names.get(key, "") if by == "key" else _label(by, key)
        groups.append(Group(tuple(map(str, key)), label, found[key], row[-1]))
    return groups


def _level_for(by: str, narrowed: Narrowed) -> Level:
    if by == "key":
        return Level.DETAIL if narrowed.endpoint else Level.SUBJECT
    if by in ("endpoint", "method"):
        return Level.DETAIL if narrowed.subject else Level.ENDPOINT
    if by == "version" and narrowed.level != Level.ORGANIZATION:
        return Level.DETAIL
    return narrowed.level


def _label(by: str, key: tuple[Any, ...]) -> str:
    if by == "status":
        return f"{key[0]}xx"
    return " ".join(map(str, key)) or "(none)"


def labels(subjects: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """What to call callers: the name of a group's newest key, of an application, of a person."""
    ids: dict[str, set[str]] = {}
    for kind, subject_id in subjects:
        ids.setdefault(kind, set()).add(subject_id)
    found: dict[tuple[str, str], str] = {("", ""): "Nobody known"}
    groups = [parsed for text in ids.get("key", ()) if (parsed := _uuid(text)) is not None]
    if groups:
        for group, name, number in (
            APIKey.objects.filter(group__in=groups).order_by("id").values_list("group", "name", "number")
        ):
            found["key", group.hex] = f"{name} ({number})"
    if ids.get("application"):
        rows = Application.objects.filter(client_id__in=ids["application"]).values_list("client_id", "name")
        found.update({("application", client_id): name or client_id for client_id, name in rows})
    people = [parsed for text in ids.get("user", ()) if (parsed := _pk(text)) is not None]
    if people:
        members = User.objects.filter(pk__in=people).values_list("pk", "email")
        found.update({("user", str(pk)): email for pk, email in members})
    for kind, several in ids.items():
        for subject_id in several:
            found.setdefault((kind, subject_id), subject_id)
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _pk(text: str) -> Any:
    try:
        return User._meta.pk.to_python(text)
    except Exception:
        return None


def distinct_addresses(
    organization: Organization | None, span: Span, subject: tuple[str, str] | None = None
) -> int:
    """From how many addresses calls came; above 128 an estimate. Whole hours, in spans beyond a week days."""
    grain = (
        Grain.HOUR if span.end - span.start <= timedelta(days=7) and span.grain != Grain.DAY else Grain.DAY
    )
    kind, subject_id = subject or ("", "")
    rows = UsageAddresses.objects.filter(
        organization=organization,
        level=Level.SUBJECT if subject else Level.ORGANIZATION,
        subject_kind=kind,
        subject_id=subject_id,
        grain=grain,
        starts_at__gte=_floor(span.start, grain),
        starts_at__lt=span.end,
    )
    return sketch.count(sketch.merge(bytes(text) for text in rows.values_list("sketch", flat=True)))


@dataclass
class Lifetime:
    """A caller's statistics since its first call."""

    numbers: Numbers
    first_at: datetime | None
    last_at: datetime | None
    endpoints: int
    addresses: int

    @property
    def a_day(self) -> float:
        """Calls a day since the first one."""
        if self.first_at is None:
            return 0.0
        days = max(1.0, (timezone.now() - self.first_at).total_seconds() / 86400)
        return round(self.numbers.count / days, 2)


def lifetime(organization: Organization, subject: tuple[str, str]) -> Lifetime:
    """Numbers since the first call; endpoints and addresses of the last 30 days."""
    rows = UsageBucket.objects.filter(
        organization=organization,
        level=Level.SUBJECT,
        grain=Grain.EVER,
        subject_kind=subject[0],
        subject_id=subject[1],
    )
    numbers, first, last = Numbers(), None, None
    for row in summed(rows, "status_class").annotate(first=Min("first_at"), last=Max("last_at")):
        numbers.add(row)
        first = row["first"] if first is None else min(first, row["first"])
        last = row["last"] if last is None else max(last, row["last"])
    span = span_of("30d")
    endpoints = buckets(organization, span, Level.DETAIL, Narrowed(subject))
    return Lifetime(
        numbers,
        first,
        last,
        endpoints.order_by().values("method", "route").distinct().count(),
        distinct_addresses(organization, span, subject),
    )


# --- requests


def requests_of(
    organization: Organization | None, subject: tuple[str, str] | None = None, *, limit: int = 20
) -> list[RequestLog]:
    """The last requests, newest first."""
    rows = RequestLog.objects.filter(organization=organization)
    if subject is not None:
        rows = rows.filter(subject_kind=subject[0], subject_id=subject[1])
    return list(rows.order_by("-id")[:limit])


def refused_requests(organization: Organization | None, *, limit: int = 10) -> list[RequestLog]:
    """The last calls of known keys that were refused, or with None those of nobody known."""
    return list(RequestLog.objects.filter(organization=organization, refused=True).order_by("-id")[:limit])


def may_see_strangers(organization: Organization, *, operator: bool) -> bool:
    """Whether refused calls of nobody known may be shown: to the operator, and where there is one tenant."""
    if operator:
        return True
    return not Organization.objects.filter(is_active=True).exclude(pk=organization.pk).exists()
