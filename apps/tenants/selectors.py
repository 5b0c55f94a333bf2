"""Reads about organizations and the people in them."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.tenants.models import Membership, Organization, User
from apps.tenants.roles import Role, scopes_of


def organizations_of(user: User) -> QuerySet[Organization]:
    """The active organizations that a user may work in; the operator (superuser) may work in all."""
    active = Organization.objects.filter(is_active=True)
    if user.is_superuser:
        return active
    return active.filter(memberships__user=user, memberships__is_active=True).distinct()


def scopes_in(user: User, organization: Organization) -> frozenset[str]:
    """What the user may do in the organization; nothing without an active membership."""
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return scopes_of(Role.OWNER)
    role = (
        Membership.objects.filter(
            user=user, organization=organization, is_active=True, organization__is_active=True
        )
        .values_list("role", flat=True)
        .first()
    )
    return scopes_of(role) if role else frozenset()
