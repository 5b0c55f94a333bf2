"""Telling the apps above that somebody may now do less, or nothing.

Callers that were recognized a moment ago are remembered for seconds; whoever takes a right away says so here,
in the transaction that does, and it counts from the next call on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

# Filled in `AppConfig.ready()`: called with `user_id` or `organization_id`, the other being None.
listeners: list[Callable[[Any, UUID | None], None]] = []


def user_changed(user_id: Any) -> None:
    """A person, their password, or one of their memberships was changed."""
    for listener in listeners:
        listener(user_id, None)


def organization_changed(organization_id: UUID) -> None:
    """An organization was changed: perhaps it is no longer active."""
    for listener in listeners:
        listener(None, organization_id)
