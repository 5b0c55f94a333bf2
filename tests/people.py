"""People who sign in to the admin, for tests."""

from __future__ import annotations

from typing import Any

from django.test import Client

from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor, Principal
from apps.tenants.roles import scopes_of
from apps.tenants.services import organizations

PASSWORD = "correct-horse-battery"


def member(organization: Organization, role: str = "owner", email: str = "", **values: Any) -> User:
    """A member of the organization."""
    user = User.objects.create_user(email or f"{role}@{organization.slug}.example", PASSWORD, **values)
    organizations.admit(organization=organization, user=user, role=role)
    return user


def signed_in(user: User) -> Client:
    """A browser in which the user has signed in."""
    client = Client()
    client.force_login(user)
    return client


def principal_of(user: User, organization: Organization, role: str) -> Principal:
    return Principal(organization, Actor("user", user.email, str(user)), scopes_of(role))


def hub_messages(response: Any) -> list[str]:
    """What the page tells the user on top."""
    return [str(message) for message in response.context["messages"]]
