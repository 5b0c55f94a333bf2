"""What deleting objects would take along, and what forbids it: counted, not loaded.

Django's own confirmation page loads every dependant; an integration with a million log lines would take
the server down with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models.deletion import CASCADE, PROTECT, RESTRICT, get_candidate_relations_to_delete

from apps.kernel.admin.paginator import capped_count

SHOWN = 8
DEPTH = 4
CAP = 10_000


@dataclass
class Dependants:
    """`taken` and `blocking` are sentences such as “1,204 sync jobs”; `examples` name some that block."""

    taken: list[str] = field(default_factory=list)
    blocking: list[str] = field(default_factory=list)
    examples: list[str] = field(default_factory=list)


def dependants_of(rows: models.QuerySet[Any], kept: Iterable[type[models.Model]] = ()) -> Dependants:
    """Walk the relations that point at `rows`; `kept` are models that the service deals with itself."""
    found = Dependants()
    _walk(rows, found, set(kept) | {rows.model}, DEPTH)
    return found


def _walk(rows: models.QuerySet[Any], found: Dependants, seen: set[type[models.Model]], depth: int) -> None:
    relations: Any = get_candidate_relations_to_delete(rows.model._meta)
    for relation in relations:
        rule = relation.on_delete
        model: type[models.Model] = relation.related_model
        if rule not in (CASCADE, PROTECT, RESTRICT) or (rule is CASCADE and model in seen):
            continue
        related = model._base_manager.filter(**{f"{relation.field.name}__in": rows.values("pk")})
        if rule is CASCADE:
            seen.add(model)
        if not (count := capped_count(related, CAP)):
            continue
        sentence = counted(model, count)
        if rule is CASCADE:
            found.taken.append(sentence)
            if depth > 1:
                _walk(related, found, seen, depth - 1)
        else:
            found.blocking.append(sentence)
            found.examples += [str(row) for row in related[: SHOWN - len(found.examples)]]


def counted(model: type[models.Model], count: int) -> str:
    """“1 job”, “1,204 jobs”, “10,000+ log entries”."""
    name = model._meta.verbose_name if count == 1 else model._meta.verbose_name_plural
    shown = f"{CAP:,}+" if count > CAP else f"{count:,}"
    return f"{shown} {name}"
