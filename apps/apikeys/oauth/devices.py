"""The device flow (RFC 8628): a device without a browser shows a code, and a person types it elsewhere."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F
from django.utils import timezone
from oauthlib.oauth2.rfc6749 import errors
from oauthlib.oauth2.rfc8628.errors import (
    AccessDenied,
    AuthorizationPendingError,
    ExpiredTokenError,
    SlowDownError,
)

from apps.apikeys.models import Application, DeviceGrant
from apps.apikeys.oauth import texts
from apps.tenants import selectors

SECONDS = 900
INTERVAL = 5


def begin(application: Application, scopes: list[str]) -> dict[str, Any]:
    """New codes for a device, as the answer to it."""
    device_code, user_code = texts.new(texts.DEVICE), texts.new_user_code()
    DeviceGrant.objects.create(
        client_id=application.client_id,
        device_code=texts.checksum(device_code),
        user_code=texts.user_code_name(user_code),
        scope=" ".join(scopes),
        interval=INTERVAL,
        expires=timezone.now() + timedelta(seconds=SECONDS),
    )
    page = f"{settings.HUB_BASE_URL}/oauth/device"
    return {
        "device_code": device_code,
        "user_code": user_code,
        "verification_uri": page,
        "verification_uri_complete": f"{page}?user_code={user_code}",
        "expires_in": SECONDS,
        "interval": INTERVAL,
    }


def waiting(user_code: str) -> DeviceGrant | None:
    """The device that waits for this code, or None."""
    if not user_code or "\x00" in user_code:
        return None
    return (
        DeviceGrant.objects.filter(
            user_code__in=texts.user_code_names(user_code),
            status=DeviceGrant.AUTHORIZATION_PENDING,
            expires__gt=timezone.now(),
        )
        .order_by("-id")
        .first()
    )


def decide(grant: DeviceGrant, *, user: Any, organization: Any, scopes: list[str], allowed: bool) -> bool:
    """Note what a person decided, once. False if the device no longer waits."""
    rows = DeviceGrant.objects.filter(
        pk=grant.pk, status=DeviceGrant.AUTHORIZATION_PENDING, expires__gt=timezone.now()
    )
    if not allowed:
        return bool(rows.update(status=DeviceGrant.DENIED, user=user))
    return bool(
        rows.update(
            status=DeviceGrant.AUTHORIZED,
            user=user,
            organization=organization,
            scope=" ".join(scopes),
            auth_time=user.last_login,
        )
    )


def poll(code: str, request: Any) -> None:
    """A device asks whether it may. Puts the decision on the request, or raises the error that tells it."""
    grant = (
        DeviceGrant.objects.select_related("user", "organization")
        .filter(device_code=texts.checksum(code), client_id=request.client.client_id)
        .first()
    )
    if grant is None or grant.status == DeviceGrant.CONSUMED:
        raise errors.InvalidGrantError(request=request)
    now = timezone.now()
    if grant.status != DeviceGrant.DENIED and now >= grant.expires:
        raise ExpiredTokenError(request=request)
    if grant.status == DeviceGrant.DENIED:
        raise AccessDenied(request=request)
    if grant.status == DeviceGrant.AUTHORIZATION_PENDING:
        early = grant.polled_at is not None and (now - grant.polled_at).total_seconds() < grant.interval - 0.5
        DeviceGrant.objects.filter(pk=grant.pk).update(
            polled_at=now, **({"interval": F("interval") + 5} if early and grant.interval < 60 else {})
        )
        raise SlowDownError(request=request) if early else AuthorizationPendingError(request=request)
    user, organization = grant.user, grant.organization
    if user is None or organization is None or not organization.is_active:
        raise errors.InvalidGrantError(request=request)
    if not selectors.scopes_in(user, organization):
        raise errors.InvalidGrantError(request=request)
    request.user, request.organization = user, organization
    request.scopes = grant.scope.split()
    request.hub_device, request.hub_auth_time = grant, grant.auth_time
