"""How admin pages write and read the audit log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.audit.services import entries
from apps.kernel.admin.auditing import HistoryEntry
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM

LISTED = 100


class AdminJournal:
    """One entry per deed, in the transaction of the deed, in the name of the signed-in user."""

    def record(
        self, request: HttpRequest, *, action: str, target: models.Model, changes: Mapping[str, Any]
    ) -> None:
        # What is done to an organization stands in its own log, whichever the operator works in.
        own = target if isinstance(target, Organization) else getattr(request, "organization", None)
        entries.record(
            organization=own,
            actor=getattr(request, "actor", None) or SYSTEM,
            action=action,
            target=target,
            changes=changes,
        )

    def history_of(self, request: HttpRequest, target: models.Model) -> Sequence[HistoryEntry]:
        """The object's entries in the current organization, newest first."""
        ref = getattr(target, "number", None) or getattr(target, "public_id", None) or str(target.pk)
        rows = AuditEntry.objects.filter(
            organization=getattr(request, "organization", None),
            object_type=target._meta.model_name,
            object_ref=str(ref),
        ).order_by("-id")
        return [
            HistoryEntry(
                at=row.at,
                who=row.actor_label or row.actor_kind,
                action=spoken(row.action),
                changes=row.changes,
                url=reverse("admin:audit_auditentry_change", args=[row.public_id]),
            )
            for row in rows[:LISTED]
        ]


def spoken(action: str) -> str:
    """`integration.password_reset` → “Integration password reset”."""
    text = action.replace(".", " ").replace("_", " ").capitalize()
    return text.replace("Api key", "API key")
