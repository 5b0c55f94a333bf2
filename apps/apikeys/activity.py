"""What keys did lately, for the pages that show them. Reads of what usage has written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Max, Min, Q, Sum
from django.utils import timezone

from apps.apikeys.models import APIKey, KeyAlert
from apps.apikeys.models.usage import Grain, Level, RequestLog, SubjectKind, UsageBucket

HOURS = 24
RECENT = 20


@dataclass
class Hour:
    """What one hour brought. `failed` are answers of 400 and more, those over a limit among them."""

    start: datetime
    succeeded: int = 0
    failed: int = 0
    limited: int = 0


@dataclass
class Activity:
    """The last 24 hours of a key's group."""

    hours: list[Hour]
    refused: int = 0
    bytes: int = 0
    time_us: int = 0

    @property
    def calls(self) -> int:
        return sum(hour.succeeded + hour.failed for hour in self.hours)

    @property
    def failed(self) -> int:
        return sum(hour.failed for hour in self.hours)

    @property
    def limited(self) -> int:
        return sum(hour.limited for hour in self.hours)

    @property
    def success_rate(self) -> float | None:
        """Percent; None without calls."""
        return 100 * (self.calls - self.failed) / self.calls if self.calls else None

    @property
    def average_ms(self) -> float | None:
        return self.time_us / 1000 / self.calls if self.calls else None


def activity_of(keys: Sequence[APIKey]) -> dict[str, Activity]:
    """The last 24 hours by group (hex), in one query for all of them."""
    this_hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    starts = [this_hour - timedelta(hours=back) for back in reversed(range(HOURS))]
    found = {key.group.hex: Activity([Hour(start) for start in starts]) for key in keys}
    at = {start: n for n, start in enumerate(starts)}
    rows = UsageBucket.objects.filter(
        organization_id__in={key.organization_id for key in keys},
        level=Level.SUBJECT,
        grain=Grain.HOUR,
        starts_at__gte=starts[0],
        subject_kind=SubjectKind.KEY,
        subject_id__in=list(found),
    )
    for row in rows:
        activity = found[row.subject_id]
        hour = activity.hours[at[row.starts_at]] if row.starts_at in at else activity.hours[-1]
        if row.status_class < 4:
            hour.succeeded += row.count
        else:
            hour.failed += row.count
        hour.limited += row.limited
        activity.refused += row.refused
        activity.bytes += row.bytes_in + row.bytes_out
        activity.time_us += row.time_us
    return found


@dataclass(frozen=True)
class Totals:
    """Everything that a key's group ever did."""

    calls: int = 0
    succeeded: int = 0
    failed: int = 0
    unauthorized: int = 0
    bytes: int = 0
    average_ms: float | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def success_rate(self) -> float | None:
        return 100 * self.succeeded / self.calls if self.calls else None

    @property
    def usage_rate(self) -> float:
        """Calls a day since the first one."""
        if self.first_at is None:
            return 0.0
        days = (timezone.now() - self.first_at).total_seconds() / 86400
        return self.calls / max(days, 1.0)


def totals_of(key: APIKey) -> Totals:
    """What a key's group did since it was made."""
    found = UsageBucket.objects.filter(
        organization_id=key.organization_id,
        level=Level.SUBJECT,
        grain=Grain.EVER,
        subject_kind=SubjectKind.KEY,
        subject_id=key.group.hex,
    ).aggregate(
        calls=Sum("count"),
        succeeded=Sum("count", filter=Q(status_class__lt=4)),
        unauthorized=Sum("refused"),
        bytes=Sum(F("bytes_in") + F("bytes_out")),
        time_us=Sum("time_us"),
        first=Min("first_at"),
        last=Max("last_at"),
    )
    calls = found["calls"] or 0
    return Totals(
        calls=calls,
        succeeded=found["succeeded"] or 0,
        failed=calls - (found["succeeded"] or 0),
        unauthorized=found["unauthorized"] or 0,
        bytes=found["bytes"] or 0,
        average_ms=(found["time_us"] or 0) / 1000 / calls if calls else None,
        first_at=found["first"],
        last_at=found["last"],
    )


def recent_requests(key: APIKey) -> list[RequestLog]:
    """The last twenty calls of a key's group, newest first."""
    rows = RequestLog.objects.filter(
        organization_id=key.organization_id, subject_kind=SubjectKind.KEY, subject_id=key.group.hex
    )
    return list(rows.order_by("-id")[:RECENT])


def recent_alerts(key: APIKey) -> list[KeyAlert]:
    """What was told about a key's group lately, newest first."""
    rows = KeyAlert.objects.filter(organization_id=key.organization_id, group=key.group)
    return list(rows.select_related("key").order_by("-id")[:5])
