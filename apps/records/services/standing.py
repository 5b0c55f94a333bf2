"""What stands in the way of taking back what an origin wrote: later changes by others."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from apps.records.models import Change, Origin
from apps.records.services.history import UNDO


def in_the_way(origin: Origin) -> QuerySet[Change]:
    """The origin's changes that an undo leaves, because others changed the record later; newest first.

    Before an undo it foretells them; afterwards it lists those that stayed. Read only, by indexes.
    """
    later = _of_others(origin).filter(record=OuterRef("record_id"), pk__gt=OuterRef("pk"))
    return Change.objects.filter(Exists(later), origin=origin, undone_by=None).order_by("-id")


def later_changes(origin: Origin, records: Iterable[UUID]) -> dict[UUID, tuple[datetime, str]]:
    """Of each record the newest change by others: when, and by whom."""
    found: dict[Any, tuple[datetime, str]] = {}
    rows = _of_others(origin).filter(record__in=list(records)).select_related("origin").order_by("pk")
    for change in rows.only("record_id", "created_at", "origin__label", "origin__kind", "origin__ref"):
        found[change.record_id] = (change.created_at, str(change.origin))
    return found


def _of_others(origin: Origin) -> QuerySet[Change]:
    """Changes that stand, not by the origin, and no taking back. A creation is never a later change."""
    standing = Change.objects.filter(version__gt=1, undone_by=None)
    return standing.exclude(origin=origin).exclude(origin__kind=UNDO)
