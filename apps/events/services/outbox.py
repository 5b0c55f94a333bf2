"""Publishing: events are rows written in the transaction of what they tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.events.catalog import is_wanted
from apps.events.models import Event
from apps.kernel.background import enqueue
from apps.tenants.models import Organization


@dataclass(frozen=True, slots=True)
class Draft:
    """An event about to be published."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    ordering_key: str = ""
    version: int = 1


def publish_many(
    *, organization: Organization, drafts: Iterable[Draft], even_if_unheard: bool = False
) -> int:
    """Write the events that somebody listens for, in the caller's transaction; returns how many.

    With `even_if_unheard` all are written (notices that an administrator reads in the list of events).
    A doorbell rings after commit; without it the sweep finds them within seconds.
    """
    now = timezone.now()
    wanted: dict[str, bool] = {}
    rows = []
    for draft in drafts:
        heard = wanted.get(draft.type)
        if heard is None:
            heard = wanted[draft.type] = even_if_unheard or is_wanted(organization.pk, draft.type)
        if heard:
            rows.append(
                Event(
                    organization=organization,
                    type=draft.type,
                    version=draft.version,
                    subject=draft.subject,
                    data=draft.data,
                    ordering_key=draft.ordering_key,
                    occurred_at=now,
                )
            )
    if not rows:
        return 0
    with transaction.atomic():
        Event.objects.bulk_create(rows, batch_size=2000)
        enqueue("events.sweep", queue="webhooks")
    return len(rows)


def publish(
    *,
    organization: Organization,
    type: str,
    data: Mapping[str, Any],
    subject: str = "",
    ordering_key: str = "",
    even_if_unheard: bool = True,
) -> int:
    """Write one event in the caller's transaction; returns 1, or 0 if nobody listens."""
    draft = Draft(type=type, data=data, subject=subject, ordering_key=ordering_key)
    return publish_many(organization=organization, drafts=[draft], even_if_unheard=even_if_unheard)
