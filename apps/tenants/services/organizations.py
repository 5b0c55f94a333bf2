"""Founding organizations and admitting people to them."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.utils.text import slugify

from apps.tenants.models import Membership, Organization, User
from apps.tenants.roles import Role

# Filled in `AppConfig.ready()` of the apps that prepare something for each new organization.
founders: list[Callable[[Organization], None]] = []


def _free_slug(name: str) -> str:
    base = slugify(name)[:50] or "organization"
    slug, n = base, 1
    while Organization.objects.filter(slug=slug).exists():
        n += 1
        slug = f"{base}-{n}"
    return slug


@transaction.atomic
def create(*, name: str, owner: User | None = None, timezone: str = "UTC") -> Organization:
    """Found an organization, with `owner` as its first owner, and let every app prepare its part."""
    organization = Organization.objects.create(name=name, slug=_free_slug(name), timezone=timezone)
    if owner is not None:
        admit(organization=organization, user=owner, role=Role.OWNER)
    for prepare in founders:
        prepare(organization)
    return organization


def prepare_all() -> int:
    """Let every app prepare what it has added for new organizations in the ones that exist; returns how many.

    Founders do only what is not there yet. Run after migrations, so that an upgrade reaches everybody.
    """
    everyone = list(Organization.objects.all())
    for organization in everyone:
        with transaction.atomic():
            for prepare in founders:
                prepare(organization)
    return len(everyone)


@transaction.atomic
def admit(*, organization: Organization, user: User, role: str) -> Membership:
    """Give a user a role in the organization (or change it), and let them into the admin."""
    membership, _ = Membership.objects.update_or_create(
        organization=organization, user=user, defaults={"role": role, "is_active": True}
    )
    if not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    return membership
