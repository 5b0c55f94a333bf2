"""JSON Web Tokens for people: a short access token and a refresh token that is good once.

A refresh token names its family and generation and proves itself by a keyed hash, so nothing of it is stored,
and an old one is recognized for what it is: the family's row tells which generation is due.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import struct
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from apps.apikeys.errors import GrantRefused
from apps.apikeys.models import TokenFamily
from apps.apikeys.oauth import texts
from apps.apikeys.scopes import intersection, is_scope
from apps.apikeys.services import bearers, families, people, signing
from apps.audit.services import entries
from apps.kernel import ids
from apps.kernel.crypto import hashing
from apps.kernel.errors import FieldError, Forbidden, InvalidInput
from apps.tenants import selectors
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor

SECONDS = 900
_PURPOSE = "jwt-refresh"
_BODY = struct.Struct(">16sI")


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """A new pair. The only copies there will be."""

    family: TokenFamily
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int = SECONDS
    scopes: tuple[str, ...] = ()


def authenticated(request: HttpRequest, *, email: str, password: str) -> User:
    """The person of this address and password. Raises GrantRefused, in the same words whatever is wrong, also
    for a person who has to change a password that somebody else gave out."""
    user = None
    if "\x00" not in email and "\x00" not in password:
        user = authenticate(request, username=email.strip(), password=password)
    if not isinstance(user, User) or not user.is_active or user.must_change_password:
        raise GrantRefused("E-mail and password do not let anybody in who may use the API.")
    return user


def organization_for(user: User, ref: str | None) -> Organization:
    """The organization that a person names (slug or id); may be left out by who is in one only.

    Raises InvalidInput with the choices; a foreign one is told like a missing one.
    """
    mine = list(selectors.organizations_of(user)[:100])
    if not mine:
        raise Forbidden("You are not a member of any active organization.", code="no_organization")
    if ref:
        for item in mine:
            if ref in (item.slug, item.public_id):
                return item
        detail = "You are in no organization of that name."
        raise InvalidInput(detail, errors=[FieldError("/organization", "invalid_choice", detail)])
    if len(mine) > 1:
        names = ", ".join(item.slug for item in mine)
        detail = f"You are in several organizations: name one of {names}."
        raise InvalidInput(detail, errors=[FieldError("/organization", "required", detail)])
    return mine[0]


@transaction.atomic
def begin(
    *,
    user: User,
    organization: Organization,
    origin: str,
    actor: Actor,
    scopes: list[str] | None = None,
    user_agent: str = "",
) -> IssuedTokens:
    """Sign a person in to an organization. `scopes` narrow what the role holds; None: all of it.

    Raises InvalidInput for a scope that is none, Forbidden for one that the role does not hold.
    """
    role = selectors.scopes_in(user, organization)
    if not role:
        raise Forbidden("You are not a member of that organization.", code="no_organization")
    wanted = sorted(set(scopes or ()))
    for n, scope in enumerate(wanted):
        if not is_scope(scope):
            detail = "A scope is resource:action, such as records:read."
            raise InvalidInput(detail, errors=[FieldError(f"/scopes/{n}", "invalid", detail)])
    if wanted:
        held = intersection(frozenset(wanted), role)
        lacking = [scope for scope in wanted if not intersection(frozenset({scope}), held)]
        if lacking:
            raise Forbidden(f"Your role does not hold {', '.join(lacking)}.", code="scope_not_held")
    family = families.begin(
        organization=organization,
        user=user,
        origin=origin,
        scopes=wanted,
        ip=actor.ip,
        user_agent=user_agent,
    )
    entries.record(
        organization=organization,
        actor=actor,
        action="token.issued",
        target=family,
        changes={"origin": ["", str(origin)], "scopes": ["", wanted or "all of the role"]},
    )
    return _issued(family, 0)


def refresh(text: str, *, ip: str | None = None) -> IssuedTokens:
    """The next pair for a refresh token, which is then used up. Raises GrantRefused.

    Of several that come at once, one gets a pair, and the others end the family.
    """
    family_id, generation = _read(text)
    with transaction.atomic():
        stepped = families.step(family_id, generation=generation)
        if stepped:
            family = TokenFamily.objects.select_related("user", "organization").get(pk=family_id)
            live = family.organization.is_active and bool(
                selectors.scopes_in(family.user, family.organization)
            )
            if live:
                return _issued(family, generation + 1)
            families.end(TokenFamily.objects.filter(pk=family_id), reason="The person is no longer let in")
    if not stepped and TokenFamily.objects.filter(pk=family_id, expires_at__gt=timezone.now()).exists():
        # An old one of ours. A family that has ended or run out anyhow is not touched again.
        families.end_reused(family_id, ip=ip)
    raise GrantRefused("The refresh token was used before, has expired, or was revoked. Sign in again.")


def revoke(text: str, *, ip: str | None = None) -> bool:
    """End the family of a refresh or access token, whoever shows it; False if it is none of ours."""
    family_id: UUID | None
    if text.startswith(texts.JWT_REFRESH):
        try:
            family_id, _ = _read(text)
        except GrantRefused:
            return False
    else:
        claims = signing.read(text, typ=bearers.JWT_TYPE)
        family_id = TokenFamily.parse_public_id(str(claims.get("sid"))) if claims else None
    if family_id is None:
        return False
    rows = TokenFamily.objects.filter(pk=family_id, application=None)
    family = rows.select_related("user").first()
    if family is None:
        return False
    return _end(rows, Actor("user", family.user.email, str(family.user), ip))


def end(*, user: User, family_id: UUID, actor: Actor) -> bool:
    """End one of a person's own chains."""
    return _end(TokenFamily.objects.filter(pk=family_id, user=user, application=None), actor)


def of_user(user: User) -> QuerySet[TokenFamily]:
    """A person's chains that live, the latest first."""
    return (
        TokenFamily.objects.filter(user=user, application=None, ended_at=None, expires_at__gt=timezone.now())
        .select_related("organization")
        .order_by("-last_used_at")
    )


@transaction.atomic
def _end(rows: QuerySet[TokenFamily], actor: Actor) -> bool:
    family = rows.select_related("organization").filter(ended_at=None).first()
    if family is None or not families.end(rows, reason="Revoked"):
        return False
    entries.record(organization=family.organization, actor=actor, action="token.revoked", target=family)
    return True


def _issued(family: TokenFamily, generation: int) -> IssuedTokens:
    now = int(time.time())
    role = selectors.scopes_in(family.user, family.organization)
    scopes = intersection(frozenset(family.scopes), role) if family.scopes else role
    claims: dict[str, Any] = {
        "iss": settings.HUB_BASE_URL,
        "aud": bearers.audience(),
        "sub": people.subject(family.user),
        "client_id": "integration-hub",
        "org": family.organization.public_id,
        "sid": family.public_id,
        "jti": ids.encode(uuid4()),
        "iat": now,
        "nbf": now,
        "exp": now + SECONDS,
        "scope": " ".join(sorted(scopes)),
    }
    access = signing.sign(claims, typ=bearers.JWT_TYPE)
    return IssuedTokens(family, access, _refresh_text(family, generation), scopes=tuple(sorted(scopes)))


def _refresh_text(family: TokenFamily, generation: int) -> str:
    body = _BODY.pack(family.pk.bytes, generation)
    proof = _proof(body, family.pepper_id)
    assert proof is not None
    return texts.JWT_REFRESH + base64.urlsafe_b64encode(body + proof).decode().rstrip("=")


def _read(text: str) -> tuple[UUID, int]:
    """Family and generation of a refresh token that we made, else GrantRefused."""
    refused = GrantRefused("The refresh token is not valid. Sign in again.")
    if not text.startswith(texts.JWT_REFRESH) or len(text) > 120:
        raise refused
    encoded = text[len(texts.JWT_REFRESH) :]
    try:
        data = base64.urlsafe_b64decode((encoded + "=" * (-len(encoded) % 4)).encode("ascii"))
    except (binascii.Error, ValueError):
        raise refused from None
    if len(data) != _BODY.size + 32 or base64.urlsafe_b64encode(data).decode().rstrip("=") != encoded:
        raise refused
    body, proof = data[: _BODY.size], data[_BODY.size :]
    raw, generation = _BODY.unpack(body)
    family_id = UUID(bytes=raw)
    pepper_id = (
        TokenFamily.objects.filter(pk=family_id, application=None).values_list("pepper_id", flat=True).first()
    )
    expected = _proof(body, pepper_id or hashing.get_peppers().active_id)
    if pepper_id is None or expected is None or not hmac.compare_digest(expected, proof):
        raise refused
    return family_id, generation


def _proof(body: bytes, pepper_id: str) -> bytes | None:
    return hashing.get_peppers().digest_with(pepper_id, body.hex(), purpose=_PURPOSE)
