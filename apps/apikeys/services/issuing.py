"""Writing codes and tokens. Each is good once: who comes second finds no row to change.

`request` is oauthlib's; the validator has put on it who may have what.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.apikeys.models import AccessToken, Application, DeviceGrant, Grant, RefreshToken, TokenFamily
from apps.apikeys.oauth import texts
from apps.apikeys.services import bearers, families

CODE_SECONDS = 60


class UsedBefore(Exception):
    """A code or refresh token that somebody else has used: its family must end."""

    def __init__(self, family_id: UUID | None) -> None:
        super().__init__()
        self.family_id = family_id


class Ended(Exception):
    """The family has ended meanwhile."""


def authorization_code(request: Any, code: str) -> Grant:
    """Write down a code that a person's consent made."""
    return Grant.objects.create(
        application=request.client,
        user=request.user,
        organization=request.organization,
        code=texts.checksum(code),
        expires=timezone.now() + timedelta(seconds=CODE_SECONDS),
        redirect_uri=request.redirect_uri,
        scope=" ".join(request.scopes),
        code_challenge=request.code_challenge,
        code_challenge_method=request.code_challenge_method,
        nonce=request.nonce or "",
        claims="{}",
        auth_time=request.user.last_login,
    )


def replayed(grant: Grant, request: Any) -> None:
    """End what was made from a code that comes a second time."""
    families.end_reused(grant.family_id)


def tokens(token: dict[str, Any], request: Any) -> AccessToken:
    """Write down the tokens that oauthlib made. Raises UsedBefore, Ended; then nothing is written."""
    with transaction.atomic():
        if request.grant_type == "client_credentials":
            return _access(token, request, request.client.organization, None, None)
        if request.grant_type == "refresh_token":
            family_id = _use_refresh_token(request)
        elif request.grant_type == "authorization_code":
            family_id = _use_code(request)
        else:
            family_id = _use_device_code(request)
        access = _access(token, request, request.organization, request.user, family_id)
        _refresh(token, request, access, family_id)
        return access


def _access(
    token: dict[str, Any], request: Any, organization: Any, user: Any, family_id: UUID | None
) -> AccessToken:
    row = AccessToken(
        user=user,
        application=request.client,
        organization=organization,
        family_id=family_id,
        scope=token.get("scope", ""),
        expires=timezone.now() + timedelta(seconds=token["expires_in"]),
        token="",
    )
    row._raw_token = token["access_token"]
    row.save(force_insert=True)
    return row


def _refresh(token: dict[str, Any], request: Any, access: AccessToken, family_id: UUID) -> None:
    before = getattr(request, "refresh_token_instance", None)
    row = RefreshToken(
        user=request.user,
        application=request.client,
        organization=request.organization,
        access_token=access,
        token_family=family_id,
        family_id=family_id,
        # A narrower access token does not make the next one narrower.
        scope=before.scope if before is not None else token.get("scope", ""),
        token="",
    )
    row._raw_token = token["refresh_token"]
    row.save(force_insert=True)


def _use_refresh_token(request: Any) -> UUID:
    row: Any = request.refresh_token_instance
    if not families.step(row.family_id):
        raise Ended
    now = timezone.now()
    if not RefreshToken.objects.filter(pk=row.pk, revoked=None).update(revoked=now, updated=now):
        raise UsedBefore(row.family_id)
    return row.family_id


def _use_code(request: Any) -> UUID:
    code = texts.checksum(request.code)
    if not Grant.objects.filter(code=code, used_at=None).update(used_at=timezone.now()):
        raise UsedBefore(Grant.objects.values_list("family_id", flat=True).get(code=code))
    family = _begin(request, TokenFamily.Origin.CODE)
    Grant.objects.filter(code=code).update(family=family)
    return family.pk


def _use_device_code(request: Any) -> UUID:
    rows = DeviceGrant.objects.filter(pk=request.hub_device.pk, status=DeviceGrant.AUTHORIZED)
    if not rows.update(status=DeviceGrant.CONSUMED):
        raise Ended
    return _begin(request, TokenFamily.Origin.DEVICE).pk


def _begin(request: Any, origin: str) -> TokenFamily:
    return families.begin(
        organization=request.organization,
        user=request.user,
        application=request.client,
        origin=origin,
        scopes=list(request.scopes),
        ip=None,
    )


def revoke(text: str, *, application: Application) -> None:
    """End a token of this application: an access token alone, a refresh token with its whole family."""
    name = texts.checksum(text)
    access = AccessToken.objects.filter(token_checksum=name, application=application).first()
    if access is not None:
        with transaction.atomic():
            AccessToken.objects.filter(pk=access.pk).delete()
            bearers.forget(row_id=access.pk)
        return
    refresh = RefreshToken.objects.filter(token_checksum=name, application=application).first()
    if refresh is not None and refresh.family_id is not None:
        with transaction.atomic():
            families.end(
                TokenFamily.objects.filter(pk=refresh.family_id), reason="Revoked by the application"
            )


def end_tokens_of(application: Application) -> None:
    """Stop every token of an application at once."""
    AccessToken.objects.filter(application=application).delete()
    families.end_of_application(application, reason="The application was stopped")
    bearers.forget(application_id=application.pk)


def forget(application: Application) -> None:
    """Look the application up anew at the next call."""
    bearers.forget(application_id=application.pk)


def forget_old(*, batch: int = 5000) -> int:
    """Delete what has long ended: access tokens, used codes, devices, families; returns how many rows.

    Used codes and refresh tokens are kept as long as their families, to recognize them when they come again.
    """
    now = timezone.now()
    total = families.forget_old()
    for rows in (
        AccessToken.objects.filter(expires__lt=now - timedelta(days=1)),
        Grant.objects.filter(expires__lt=now - timedelta(days=1), family=None),
        DeviceGrant.objects.filter(expires__lt=now - timedelta(days=1)),
    ):
        while ids := list(rows.values_list("pk", flat=True)[:batch]):
            total += rows.model._base_manager.filter(pk__in=ids).delete()[0]
    return total


def access_token_seconds(request: Any = None) -> int:
    return int(settings.OAUTH2_PROVIDER["ACCESS_TOKEN_EXPIRE_SECONDS"])
