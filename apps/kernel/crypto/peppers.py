"""Which peppers stored hashes still need, so that old ones can be dropped.

A hash cannot be made anew without what was hashed: it moves to the active pepper when its holder next shows
up. Until then the old pepper stays. Rows name theirs in a column `pepper_id` (a method `needing_peppers` of
the model says which rows count, if not all); what is kept otherwise registers a counter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from django.apps import apps
from django.db import models
from django.db.models import Count

from apps.kernel.crypto.hashing import get_peppers

COLUMN = "pepper_id"
_counters: list[Callable[[], Mapping[str, int]]] = []


@dataclass
class Pruned:
    """The peppers that were dropped, and how many hashes need each of those that were kept."""

    dropped: list[str]
    in_use: dict[str, int]


def also_count(counter: Callable[[], Mapping[str, int]]) -> None:
    """Register what counts hashes by pepper that no column `pepper_id` tells of, in `AppConfig.ready()`."""
    if counter not in _counters:
        _counters.append(counter)


def in_use() -> Counter[str]:
    """How many stored hashes need each pepper."""
    found: Counter[str] = Counter()
    for model in apps.get_models(include_auto_created=True):
        if any(field.name == COLUMN for field in model._meta.local_concrete_fields):
            needing = getattr(model, "needing_peppers", None)
            rows = models.QuerySet(model=model) if needing is None else needing()
            counts = rows.order_by().values_list(COLUMN).annotate(Count("pk"))
            found.update({name: count for name, count in counts if name})
    for counter in _counters:
        found.update(counter())
    return found


def prune() -> Pruned:
    """Drop the peppers that nothing needs. Raises KeyRingError if they come from the environment."""
    ring = get_peppers()
    before = in_use()
    unused = [name for name in ring.pepper_ids if name != ring.active_id and not before[name]]
    if unused:
        ring.drop_keys(unused)
    return Pruned(unused, dict(before))
