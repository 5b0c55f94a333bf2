"""Pages of very long lists.

Counting a million rows and skipping nearly as many are what makes the admin's own paginator slow. This one
takes its count from a callable that knows it, or stops counting at a cap; and it reads the last half of
the pages from the end, so that the last page is as quick as the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.utils.functional import cached_property

COUNT_CAP = 10_000


def capped_count(rows: QuerySet[Any], cap: int = COUNT_CAP) -> int:
    """How many rows there are, at most `cap` + 1: the database stops reading there."""
    return rows.order_by().values_list("pk")[: cap + 1].count()


class BigTablePaginator(Paginator):
    """A paginator for lists of any length, totally ordered (the admin's change list always is).

    `known_count` is called for the exact number if it is known more cheaply than by counting.
    """

    def __init__(
        self,
        object_list: Any,
        per_page: int,
        orphans: int = 0,
        allow_empty_first_page: bool = True,
        *,
        known_count: Callable[[], int] | None = None,
        cap: int = COUNT_CAP,
    ) -> None:
        super().__init__(object_list, per_page, orphans, allow_empty_first_page)
        self.known_count = known_count
        self.cap = cap

    @cached_property
    def _counted(self) -> int:
        if self.known_count is not None:
            return max(0, self.known_count())
        if isinstance(self.object_list, QuerySet):
            return capped_count(self.object_list, self.cap)
        return len(self.object_list)

    @cached_property
    def count(self) -> int:
        """The number of rows that pages are offered for."""
        return self._counted if self.is_exact else self.cap

    @property
    def is_exact(self) -> bool:
        return self.known_count is not None or self._counted <= self.cap

    @property
    def count_text(self) -> str:
        """What the page says: `1,234`, or `10,000+` where counting stopped."""
        return f"{self.count:,}" if self.is_exact else f"{self.cap:,}+"

    def page(self, number: int | str) -> Page[Any]:
        number = self.validate_number(number)
        bottom = (number - 1) * self.per_page
        top = bottom + self.per_page
        if top + self.orphans >= self.count:
            top = self.count
        from_end = self.is_exact and bottom * 2 >= self.count and bottom > 0
        if not (from_end and isinstance(self.object_list, QuerySet) and self.object_list.ordered):
            return Page(self.object_list[bottom:top], number, self)
        rows: Sequence[Any] = list(self.object_list.reverse()[self.count - top : self.count - bottom])
        return Page(list(reversed(rows)), number, self)
