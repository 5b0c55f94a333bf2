"""Families of tokens: beginning, refreshing and ending them.

Whoever refreshes first changes the family's row (`step`), and ending it is a change of that same row; so the
two wait for each other, and after an end nothing of the family works, whatever was going on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from apps.apikeys.models import Application, TokenFamily
from apps.apikeys.services import bearers
from apps.audit.services import entries
from apps.kernel.crypto import hashing
from apps.tenants.models import Organization, User
from apps.tenants.principals import SYSTEM, Actor

LIFETIME = timedelta(days=30)
REUSED = "An old token was used again"


def begin(
    *,
    organization: Organization,
    user: User,
    origin: str,
    scopes: list[str],
    application: Application | None = None,
    ip: str | None = None,
    user_agent: str = "",
) -> TokenFamily:
    """A new family, which lives 30 days from its last refresh."""
    now = timezone.now()
    return TokenFamily.objects.create(
        organization=organization,
        user=user,
        application=application,
        origin=origin,
        scopes=scopes,
        pepper_id=hashing.get_peppers().active_id,
        last_used_at=now,
        expires_at=now + LIFETIME,
        ip=ip,
        user_agent=user_agent.replace("\x00", "")[:200],
    )


def step(family_id: UUID, *, generation: int | None = None) -> bool:
    """Claim the right to refresh, within the transaction that does: False if the family has ended, or is not
    (any more) at this generation."""
    now = timezone.now()
    rows = TokenFamily.objects.filter(pk=family_id, ended_at=None, expires_at__gt=now)
    if generation is not None:
        rows = rows.filter(generation=generation)
    moved = rows.update(generation=F("generation") + 1, last_used_at=now, expires_at=now + LIFETIME)
    return bool(moved)


def end(families: QuerySet[TokenFamily], *, reason: str) -> int:
    """End families, and with them all their tokens; returns how many lived."""
    ids = list(families.filter(ended_at=None).values_list("pk", flat=True))
    if not ids:
        return 0
    ended = TokenFamily.objects.filter(pk__in=ids, ended_at=None).update(
        ended_at=timezone.now(), end_reason=reason[:60]
    )
    for family_id in ids:
        bearers.forget(family_id=family_id)
    return ended


def end_reused(family_id: UUID | None, *, ip: str | None = None, request_id: str = "") -> None:
    """What follows when a token or code comes a second time: everything of its family ends.

    Whoever holds the later token may be the thief; nobody can tell.
    """
    if family_id is None:
        return
    with transaction.atomic():
        family = (
            TokenFamily.objects.select_related("organization", "application", "user")
            .filter(pk=family_id)
            .first()
        )
        if family is None or not end(TokenFamily.objects.filter(pk=family_id), reason=REUSED):
            return
        actor = Actor(SYSTEM.kind, SYSTEM.ref, SYSTEM.label, ip, request_id)
        entries.record(
            organization=family.organization,
            actor=actor,
            action="token.reused",
            target=family,
            object_label=str(family),
            changes={
                "application": ["", str(family.application or "JSON Web Tokens")],
                "user": ["", family.user.email],
                "ended": ["", REUSED],
            },
        )


def end_of_application(application: Application, *, reason: str) -> int:
    return end(TokenFamily.objects.filter(application=application), reason=reason)


def end_of_user(user: User, *, reason: str, **more: Any) -> int:
    return end(TokenFamily.objects.filter(user=user, **more), reason=reason)


def forget_old(*, before: datetime | None = None, batch: int = 2000) -> int:
    """Delete families that can have no live token any more; returns how many."""
    before = before or timezone.now() - timedelta(days=1)
    total = 0
    while True:
        old = list(
            TokenFamily.objects.filter(
                Q(expires_at__lt=before) | Q(ended_at__lt=before - LIFETIME)
            ).values_list("pk", flat=True)[:batch]
        )
        if not old:
            return total
        total += len(old)
        TokenFamily.objects.filter(pk__in=old).delete()
