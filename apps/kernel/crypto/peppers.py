"""Which peppers stored hashes still need, so that old ones can be dropped.

A hash cannot be made anew without what was hashed: it moves to the active pepper when its holder next shows
up. Until then the old pepper stays. Rows name theirs in a column `pepper_id` (a method `needing_peppers` of
the model says which rows count, if not all); what is kept otherwise registers a counter. Seals of the audit
log and client secrets are never made anew: their pepper goes only if somebody names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from django.apps import apps
from django.db import models
from django.db.models import Count

from apps.kernel.crypto.errors import KeyRingError
from apps.kernel.crypto.hashing import get_peppers

COLUMN = "pepper_id"
# What is counted, and how: hashes by pepper.
_counters: dict[str, Callable[[], Mapping[str, int]]] = {}


@dataclass
class Pruned:
    """The peppers that were dropped, and how many hashes need each of those that were kept."""

    dropped: list[str]
    in_use: dict[str, int]


def also_count(what: str, counter: Callable[[], Mapping[str, int]]) -> None:
    """Register what counts hashes by pepper that no column `pepper_id` tells of, in `AppConfig.ready()`.

    `what` is how people call them, in the plural, such as “entries of the audit log”.
    """
    _counters[what] = counter


def in_use() -> Counter[str]:
    """How many stored hashes need each pepper."""
    return sum(by_kind().values(), Counter())


def by_kind() -> dict[str, Counter[str]]:
    """The same for each kind of hash, by what people call them."""
    kinds: dict[str, Counter[str]] = {}
    for model in apps.get_models(include_auto_created=True):
        if any(field.name == COLUMN for field in model._meta.local_concrete_fields):
            needing = getattr(model, "needing_peppers", None)
            rows = models.QuerySet(model=model) if needing is None else needing()
            counts = rows.order_by().values_list(COLUMN).annotate(Count("pk"))
            kinds[str(model._meta.verbose_name_plural)] = Counter({name: n for name, n in counts if name})
    for what, counter in _counters.items():
        kinds[what] = Counter({name: n for name, n in counter().items() if name and n})
    return kinds


def lost_with(pepper_id: str) -> str:
    """What becomes unverifiable with a pepper, as a list for people: “12 API keys, 3,400 audit entries”."""
    counts = {what: found[pepper_id] for what, found in sorted(by_kind().items()) if found[pepper_id]}
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def prune(giving_up: Collection[str] = ()) -> Pruned:
    """Drop the peppers that nothing needs, and those of `giving_up`, whatever becomes unverifiable with them.

    Raises KeyRingError if they come from the environment, and for an unknown or the active one to give up.
    """
    ring = get_peppers()
    for name in giving_up:
        if name not in ring.pepper_ids:
            raise KeyRingError(f"There is no pepper {name}. Peppers: {', '.join(ring.pepper_ids)}.")
        if name == ring.active_id:
            raise KeyRingError(f"{name} is the active pepper: add another with --new-pepper first.")
    before = in_use()
    unused = [
        name for name in ring.pepper_ids if name != ring.active_id and (name in giving_up or not before[name])
    ]
    if unused:
        ring.drop_keys(unused)
    return Pruned(unused, dict(before))
