"""A person as applications know them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from apps.kernel import ids
from apps.tenants.models import User


def subject(user: User) -> str:
    """What stands for a person in tokens: the same for ever, and no row's number."""
    digest = hashlib.sha256(f"integration-hub:user:{user.pk}".encode()).digest()
    return ids.public("usr", int.from_bytes(digest[:16], "big"))


def claims(user: User, scopes: Iterable[str]) -> dict[str, Any]:
    """The claims of OpenID Connect that the personal scopes open."""
    held = set(scopes)
    found: dict[str, Any] = {}
    if "profile" in held:
        found["name"] = user.get_full_name() or user.email.partition("@")[0]
        if user.first_name:
            found["given_name"] = user.first_name
        if user.last_name:
            found["family_name"] = user.last_name
    if "email" in held:
        found["email"] = user.email
        # An administrator wrote it down; nobody has sent a mail there to see.
        found["email_verified"] = False
    return found
