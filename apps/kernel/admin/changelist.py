"""The change list: addresses with public ids, a count that is known or capped, an empty state of its own."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.http import HttpRequest
from unfold.views import ChangeList


class HubChangeList(ChangeList):
    """What the templates ask a list for."""

    def url_for_result(self, result: models.Model) -> str:
        return str(self.model_admin.object_url(result))

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.is_narrowed:
            # Nothing is filtered away: the header need not offer to show everything.
            self.full_result_count = self.result_count

    @property
    def is_narrowed(self) -> bool:
        """Whether a search or a filter hides rows; an empty list then means “nothing found”."""
        return bool(self.query or self.has_active_filters)

    @property
    def exports(self) -> list[tuple[str, str]]:
        """(label, address) of the files that this list can be had as."""
        found: list[tuple[str, str]] = self.model_admin.list_exports(self.model_admin.request)
        return found

    @property
    def empty_state(self) -> dict[str, Any]:
        return self.model_admin.empty_state(self.model_admin.request)
