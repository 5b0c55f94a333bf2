"""Reads about versions of the API and who calls them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Max, QuerySet, Sum
from django.utils import timezone

from apps.apikeys.models import APIKey, ApiVersion, Application, UsageBucket
from apps.apikeys.models.usage import Grain, Level, SubjectKind
from apps.apikeys.services import api_versions
from apps.kernel.api.changes import changes
from apps.kernel.api.versions import versions
from apps.tenants.models import Organization, User


def versions_told() -> list[dict[str, Any]]:
    """All versions that this release serves, oldest first, as developers see them."""
    rows = {row.version: row for row in ApiVersion.objects.all()}
    return [
        api_versions.told(rows.get(spec.name) or ApiVersion(version=spec.name)) for spec in versions.all()
    ]


def changes_told(name: str) -> list[dict[str, Any]]:
    """What became different in a version, oldest first."""
    return [
        {
            "id": change.id,
            "version": name,
            "revision": change.since.partition("@")[2],
            "title": change.title,
            "description": change.description,
            "breaking": change.breaking,
            "operations": change.operations,
        }
        for change in changes.in_version(name)
    ]


@dataclass(frozen=True)
class CallerUse:
    """That somebody calls something in a version: who, what, how often, when last."""

    organization: str
    kind: str  # key, application, user
    subject_id: str
    caller: str  # number and name where they are known
    pin: str
    operation: str
    count: int
    last_at: datetime


def callers_of(version: str, *, organization: Organization | None = None, days: int = 30) -> list[CallerUse]:
    """Who called a version within the last days, the latest first; of all organizations if none is given."""
    rows = UsageBucket.objects.filter(
        level=Level.DETAIL,
        grain=Grain.DAY,
        version=version,
        starts_at__gte=timezone.now() - timedelta(days=days + 1),
    )
    if organization is not None:
        rows = rows.filter(organization=organization)
    sums = list(
        rows.values("organization__name", "subject_kind", "subject_id", "method", "route")
        .annotate(calls=Sum("count"), latest=Max("last_at"))
        .order_by("-latest")[:1000]
    )
    names = _names({(row["subject_kind"], row["subject_id"]) for row in sums})
    return [
        CallerUse(
            organization=row["organization__name"] or "",
            kind=row["subject_kind"],
            subject_id=row["subject_id"],
            caller=names.get((row["subject_kind"], row["subject_id"]), (row["subject_id"], ""))[0],
            pin=names.get((row["subject_kind"], row["subject_id"]), ("", ""))[1],
            operation=f"{row['method']} {row['route']}",
            count=row["calls"],
            last_at=row["latest"],
        )
        for row in sums
    ]


def _names(subjects: set[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, str]]:
    """What subjects are called, and their pins. Of a rotated key, the newest of its group."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    groups = [UUID(ref) for kind, ref in subjects if kind == SubjectKind.KEY]
    for key in APIKey.objects.filter(group__in=groups).order_by("id"):
        found["key", key.group.hex] = (f"{key.number} {key.name}", key.api_version)
    clients = [ref for kind, ref in subjects if kind == SubjectKind.APPLICATION]
    for application in Application.objects.filter(client_id__in=clients):
        found["application", application.client_id] = (str(application), application.api_version)
    people = [ref for kind, ref in subjects if kind == SubjectKind.USER and ref.isdecimal()]
    for user in User.objects.filter(pk__in=people):
        found["user", str(user.pk)] = (str(user), "")
    return found


def calls_of(*, organization: Organization | None = None, days: int = 30) -> QuerySet[UsageBucket]:
    """The sums of the last days, by day, version and status; of all organizations if none is given."""
    rows = UsageBucket.objects.filter(
        level=Level.ORGANIZATION,
        grain=Grain.DAY,
        starts_at__gte=timezone.now() - timedelta(days=days + 1),
    )
    return rows if organization is None else rows.filter(organization=organization)
