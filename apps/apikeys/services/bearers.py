"""Tokens as they come in with calls: looked up once, then remembered for five seconds in this process.

A remembered token costs no SQL. Whatever ends it (revoking, refreshing away, a consent taken back, a person,
application or organization made inactive, another role) takes it out at once here, and begins a new
generation, which other processes see at their next call. The end of its life is compared at every call.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.apikeys import limiter
from apps.apikeys.models import AccessToken, Application, TokenFamily
from apps.apikeys.oauth import texts
from apps.apikeys.scopes import intersection, resource_scopes
from apps.apikeys.services import signing
from apps.tenants import selectors
from apps.tenants.models import Organization, User

SECONDS = 5.0
_MOST = 10_000
JWT_TYPE = "at+jwt"


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token that is good: whose, for what, until when (seconds since 1970)."""

    organization: Organization
    user: User | None
    application: Application | None
    scopes: frozenset[str]  # what it may do now
    granted: tuple[str, ...]  # what it was given, the personal scopes included
    expires: float
    token_id: str
    family_id: UUID | None
    row_id: int | None = None


_lock = threading.Lock()
_salt = os.urandom(16)
_entries: dict[bytes, tuple[float, Bearer]] = {}
_generation = 0


def find(text: str) -> Bearer | None:
    """The good token of this text, or None."""
    name = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20, key=_salt).digest()
    found = _entries.get(name)
    if found is not None and time.monotonic() - found[0] <= SECONDS and time.time() < found[1].expires:
        return found[1]
    taken = _generation
    bearer = look_up(text)
    if bearer is not None:
        with _lock:
            if taken == _generation:
                if len(_entries) >= _MOST:
                    _entries.clear()
                _entries[name] = (time.monotonic(), bearer)
    return bearer


def look_up(text: str) -> Bearer | None:
    """The same, asking the database."""
    if "\x00" in text or len(text) > 8192:
        return None
    if text.startswith(texts.ACCESS):
        return _access_token(text)
    return _json_web_token(text) if text.count(".") == 2 else None


def _access_token(text: str) -> Bearer | None:
    row: Any = (
        AccessToken.objects.select_related("application__organization", "organization", "user", "family")
        .filter(token_checksum=texts.checksum(text))
        .first()
    )
    if row is None or row.is_expired() or row.application is None or row.organization is None:
        return None
    application, organization, user = row.application, row.organization, row.user
    if not application.is_usable() or not organization.is_active:
        return None
    if organization.pk != application.organization_id and not application.shared:
        return None
    if row.family is not None and row.family.ended_at is not None:
        return None
    granted = tuple(row.scope.split())
    scopes = intersection(resource_scopes(granted), frozenset(application.scopes))
    if user is not None:
        role = selectors.scopes_in(user, organization)
        if not role:
            return None
        scopes = intersection(scopes, role)
    return Bearer(
        organization=organization,
        user=user,
        application=application,
        scopes=scopes,
        granted=granted,
        expires=row.expires.timestamp(),
        token_id=f"{texts.ACCESS}{row.pk}",
        family_id=row.family_id,
        row_id=row.pk,
    )


def audience() -> str:
    """Whom the hub's JSON Web Tokens are for: its own API."""
    return f"{settings.HUB_BASE_URL}/api"


def _json_web_token(text: str) -> Bearer | None:
    claims = signing.read(text, typ=JWT_TYPE)
    if claims is None or claims.get("iss") != settings.HUB_BASE_URL or claims.get("aud") != audience():
        return None
    expires, begins = claims.get("exp"), claims.get("nbf")
    now = time.time()
    if type(expires) is not int or type(begins) is not int or not begins - 5 <= now < expires:
        return None
    family_id = TokenFamily.parse_public_id(str(claims.get("sid")))
    if family_id is None:
        return None
    family = TokenFamily.objects.select_related("organization", "user").filter(pk=family_id).first()
    if family is None or not family.is_live(timezone.now()) or family.application_id is not None:
        return None
    if not family.organization.is_active:
        return None
    role = selectors.scopes_in(family.user, family.organization)
    if not role:
        return None
    granted = tuple(family.scopes)
    return Bearer(
        organization=family.organization,
        user=family.user,
        application=None,
        scopes=intersection(frozenset(granted), role) if granted else role,
        granted=granted,
        expires=float(expires),
        token_id=str(claims.get("jti", "")),
        family_id=family.pk,
    )


def forget(
    *,
    family_id: UUID | None = None,
    row_id: int | None = None,
    application_id: int | None = None,
    user_id: int | None = None,
    organization_id: UUID | None = None,
) -> None:
    """No longer trust what is remembered of these: now, and again when the running transaction commits."""

    def meant(bearer: Bearer) -> bool:
        return (
            (family_id is not None and bearer.family_id == family_id)
            or (row_id is not None and bearer.row_id == row_id)
            or (
                application_id is not None
                and bearer.application is not None
                and bearer.application.pk == application_id
            )
            or (user_id is not None and bearer.user is not None and bearer.user.pk == user_id)
            or (organization_id is not None and bearer.organization.pk == organization_id)
        )

    def drop() -> None:
        global _generation
        with _lock:
            _generation += 1
            for name in [name for name, (_, bearer) in _entries.items() if meant(bearer)]:
                del _entries[name]

    drop()
    transaction.on_commit(limiter.bump)


def access_changed(user_id: Any, organization_id: UUID | None) -> None:
    """Somebody's rights, or an organization, were changed: look at them anew."""
    forget(user_id=user_id, organization_id=organization_id)


def forget_all() -> None:
    global _generation
    with _lock:
        _generation += 1
        _entries.clear()
