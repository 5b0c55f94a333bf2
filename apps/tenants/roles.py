"""Roles and the scopes that they stand for.

A scope is `resource:action`; `read`, `write`, `delete` and `manage` are the actions. `*` stands for every
resource or every action. The admin and the API ask the same question: `allows(scopes, "records:write")`.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Administrator"
    DEVELOPER = "developer", "Developer"
    STAFF = "staff", "Staff"
    AUDITOR = "auditor", "Auditor"


SCOPES: dict[str, frozenset[str]] = {
    Role.OWNER: frozenset({"*:*"}),
    Role.ADMIN: frozenset(
        {
            "records:*", "datasets:*", "mappings:*", "events:*", "integrations:*", "syncs:*", "jobs:*",
            "webhooks:*", "api-keys:*", "applications:*", "audit:read", "audit:manage", "health:*",
            "members:*", "organization:read", "organization:write", "projects:*", "backups:read",
            "schedules:*", "locations:*",
        }
    ),
    Role.DEVELOPER: frozenset(
        {
            "records:*", "datasets:*", "mappings:*", "events:*", "integrations:read", "syncs:read", "jobs:*",
            "webhooks:*", "api-keys:*", "applications:*", "health:read", "organization:read", "projects:read",
            "schedules:*", "locations:*",
        }
    ),
    Role.STAFF: frozenset(
        {
            "records:read", "records:write", "datasets:read", "mappings:read", "mappings:write", "jobs:read",
            "jobs:write", "integrations:read", "syncs:read", "organization:read", "projects:read",
        }
    ),
    Role.AUDITOR: frozenset({"*:read"}),
}  # fmt: skip


def scopes_of(role: str) -> frozenset[str]:
    return SCOPES.get(role, frozenset())


def allows(granted: Iterable[str], needed: str) -> bool:
    """Whether the granted scopes cover `needed` (`resource:action`)."""
    resource, _, action = needed.partition(":")
    have = granted if isinstance(granted, (set, frozenset)) else set(granted)
    return (
        needed in have
        or f"{resource}:*" in have
        or f"*:{action}" in have
        or "*:*" in have
        or "admin:*" in have
    )
