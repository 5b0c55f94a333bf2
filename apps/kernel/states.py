"""States move by one conditional UPDATE through a table of allowed transitions.

Zero rows changed means that somebody else moved the row first: the race is lost and nothing was done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.utils import timezone

from apps.kernel.errors import RaceLost


@dataclass(frozen=True)
class Transitions:
    """`table[source]` is the set of states that a row in `source` may move to."""

    table: Mapping[str, frozenset[str]]

    def sources(self, to: str) -> list[str]:
        return [source for source, targets in self.table.items() if to in targets]

    def allows(self, source: str, to: str) -> bool:
        return to in self.table.get(source, frozenset())


def transitions(table: Mapping[str, Iterable[str]]) -> Transitions:
    return Transitions({str(k): frozenset(str(v) for v in vs) for k, vs in table.items()})


def move(row: models.Model, to: str, through: Transitions, *, field: str = "status", **also: Any) -> None:
    """Move `row` to state `to` and set the fields in `also`, in one conditional UPDATE.

    Raises RaceLost if the row is, by now, in a state from which the table does not allow it.
    """
    values: dict[str, Any] = {field: to, **also}
    if any(f.name == "updated_at" for f in row._meta.concrete_fields):
        values.setdefault("updated_at", timezone.now())
    sources = through.sources(to)
    changed = type(row)._base_manager.filter(pk=row.pk, **{f"{field}__in": sources}).update(**values)
    if not changed:
        now = type(row)._base_manager.filter(pk=row.pk).values_list(field, flat=True).first()
        raise RaceLost(
            f"{row} is {str(now).replace('_', ' ')} and cannot become {str(to).replace('_', ' ')}."
            if now is not None
            else f"{row} no longer exists."
        )
    for name, value in values.items():
        setattr(row, name, value)
