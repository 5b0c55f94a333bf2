"""What people allow applications to do, and taking it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from apps.apikeys.models import Application, Consent, Grant, TokenFamily
from apps.apikeys.scopes import PERSONAL, intersection, resource_scopes
from apps.apikeys.services import families
from apps.audit.services import entries
from apps.tenants import selectors
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor

WITHDRAWN = "The person took their consent back"


@dataclass(frozen=True)
class Offer:
    """What a person could allow in one organization: of what was asked, what their role has."""

    organization: Organization
    given: list[str]
    lacking: list[str]


def organizations_for(application: Application, user: User) -> list[Organization]:
    """Where a person could let an application in: its own organization, or any of theirs if it is shared."""
    mine = selectors.organizations_of(user)
    if not application.shared:
        mine = mine.filter(pk=application.organization_id)
    return list(mine[:100])


def offer(application: Application, user: User, organization: Organization, asked: Iterable[str]) -> Offer:
    """Split what was asked by what the person's role has; the application's ceiling was checked before."""
    asked = list(dict.fromkeys(asked))
    role = selectors.scopes_in(user, organization)
    wanted = resource_scopes(asked)
    both = intersection(wanted, role)
    given = [scope for scope in asked if scope in PERSONAL] + sorted(both)
    lacking = [scope for scope in asked if scope not in PERSONAL and not _wholly(scope, both)]
    return Offer(organization, given, lacking)


def _wholly(scope: str, given: frozenset[str]) -> bool:
    return bool(intersection(frozenset({scope}), given))


def remembered(
    application: Application, user: User, organization: Organization, scopes: Iterable[str]
) -> bool:
    """Whether the person has allowed all of this before."""
    consent = Consent.objects.filter(application=application, user=user, organization=organization).first()
    return consent is not None and set(scopes) <= set(consent.scopes)


@transaction.atomic
def give(
    *, application: Application, user: User, organization: Organization, scopes: Iterable[str], actor: Actor
) -> Consent:
    """Remember what a person allowed, beside what they allowed before."""
    new = set(scopes)
    consent, made = Consent.objects.select_for_update().get_or_create(
        application=application, user=user, organization=organization, defaults={"scopes": sorted(new)}
    )
    before = [] if made else list(consent.scopes)
    if not made and not new <= set(before):
        consent.scopes = sorted(new | set(before))
        consent.save(update_fields=["scopes", "updated_at"])
    entries.record(
        organization=organization,
        actor=actor,
        action="application.authorized",
        target=application,
        object_ref=application.client_id,
        changes={"scopes": [before, sorted(new)]},
    )
    return consent


@transaction.atomic
def withdraw(*, consent: Consent, actor: Actor, reason: str = WITHDRAWN) -> int:
    """Forget a consent and end every token that came from it; returns how many sign-ins ended."""
    application, user, organization = consent.application, consent.user, consent.organization
    mine = {"application": application, "user": user, "organization": organization}
    ended = families.end(TokenFamily.objects.filter(**mine), reason=reason)
    Grant.objects.filter(used_at=None, **mine).delete()
    Consent.objects.filter(pk=consent.pk).delete()
    entries.record(
        organization=organization,
        actor=actor,
        action="application.deauthorized",
        target=application,
        object_ref=application.client_id,
        changes={"scopes": [list(consent.scopes), []], "user": [user.email, ""]},
    )
    return ended


def of_user(user: User) -> QuerySet[Consent]:
    """A person's consents, with the applications and organizations."""
    return (
        Consent.objects.filter(user=user)
        .select_related("application__organization", "organization")
        .order_by("-updated_at")
    )


def last_uses(user: User) -> dict[tuple[int, UUID], datetime]:
    """When tokens of each application and organization were last refreshed or made, for a person."""
    rows = (
        TokenFamily.objects.filter(user=user, application__isnull=False, expires_at__gt=timezone.now())
        .values("application_id", "organization_id")
        .annotate(last=Max("last_used_at"))
    )
    return {(row["application_id"], row["organization_id"]): row["last"] for row in rows}
