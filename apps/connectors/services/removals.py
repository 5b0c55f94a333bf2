"""Deleting records whose remote twin is gone: as tombstones, through the records' own service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from apps.records.models import Dataset, Link
from apps.records.services import records
from apps.tenants.principals import Actor

CHUNK = 1000
# Clocks of workers may differ a little; a row that was seen this shortly before is not missing.
SKEW = timedelta(seconds=60)
# Below this number a share says nothing.
FEW = 10


@dataclass(frozen=True, slots=True)
class Sweep:
    """`refused` says why nothing was deleted."""

    deleted: int = 0
    finished: bool = True
    refused: str = ""


def _links(dataset: Dataset, source: str, stream: str) -> QuerySet[Link]:
    """Links of the stream whose twins are there, as far as is known."""
    return Link.objects.filter(
        organization_id=dataset.organization_id,
        source=source,
        stream=stream,
        record__dataset_id=dataset.pk,
        gone_at=None,
    )


def _delete(dataset: Dataset, links: Sequence[tuple[UUID, UUID]], actor: Actor) -> int:
    """Mark links (link, record) as gone, and delete the records that no other live link holds."""
    Link.objects.filter(pk__in=[link for link, _ in links]).update(gone_at=timezone.now())
    ids = {record for _, record in links}
    held = set(Link.objects.filter(record_id__in=ids, gone_at=None).values_list("record_id", flat=True))
    return records.delete(dataset=dataset, ids=sorted(ids - held), actor=actor)


def remote_ids(*, source: str, stream: str, dataset: Dataset, ids: Sequence[str], actor: Actor) -> int:
    """Delete the records of rows that the provider calls deleted; returns how many there were."""
    deleted = 0
    for start in range(0, len(ids), CHUNK):
        found = _links(dataset, source, stream).filter(remote_id__in=ids[start : start + CHUNK])
        deleted += _delete(dataset, list(found.values_list("pk", "record_id")), actor)
    return deleted


def seen(*, source: str, stream: str, dataset: Dataset, ids: Sequence[str]) -> None:
    """Note that these rows are there, although they could not be taken over: they are not missing."""
    for start in range(0, len(ids), CHUNK):
        _links(dataset, source, stream).filter(remote_id__in=ids[start : start + CHUNK]).update(
            last_seen_at=timezone.now()
        )


def missing(
    *,
    source: str,
    stream: str,
    dataset: Dataset,
    before: datetime,
    limit_percent: int,
    already: int,
    actor: Actor,
) -> Sweep:
    """Delete up to CHUNK records that were not seen since `before`, in the caller's transaction.

    Refused, with the reason, if more than `limit_percent` of all would go: that is more often a fault of the
    provider, or a filter too many, than the truth. `already` were deleted by earlier chunks of this sweep.
    """
    live = _links(dataset, source, stream)
    gone = live.filter(last_seen_at__lt=before - SKEW)
    absent, total = gone.count() + already, live.count() + already
    if absent > FEW and absent * 100 > total * limit_percent:
        return Sweep(
            refused=f"{absent:,} of {total:,} records are missing at the provider, over {limit_percent} %: "
            "nothing was deleted. If that is right, raise the limit of the stream and sync fully again."
        )
    chunk = list(gone.order_by("pk").values_list("pk", "record_id")[:CHUNK])
    deleted = _delete(dataset, chunk, actor) if chunk else 0
    return Sweep(deleted=deleted, finished=len(chunk) < CHUNK)
