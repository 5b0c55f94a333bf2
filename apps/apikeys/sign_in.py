"""Guessing passwords: limits for each account that a stranger cannot turn against its owner.

Attempts are counted by account and address, and by account for all addresses together. A browser from which
somebody has signed in before carries a signed cookie; it is counted by itself, so that whoever exhausts the
account's attempts from elsewhere does not keep its owner out. Signing in forgets what was counted.

What is asked for is only named by a digest, and unknown accounts are counted like known ones.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from apps.apikeys import limiter
from apps.apikeys.limiter import plans
from apps.apikeys.limiter.core import LOCAL
from apps.apikeys.limiter.plans import Plan

COOKIE: Final = "hub_device"
COOKIE_DAYS: Final = 180
_SALT: Final = "hub.sign-in.device"

# Wrong passwords per address and account, per known browser, and per account from everywhere else, and in
# how many seconds they are forgotten.
PLACE = (8, 600)
DEVICE = (10, 600)
ACCOUNT = (40, 300)


class Attempt:
    """One attempt to sign in, counted when it is made. `wait`: after how many seconds it may be, or 0."""

    def __init__(self, request: HttpRequest, name: str | None = None) -> None:
        from apps.apikeys.public_limits import place_of

        self._request = request
        self._account = _account(request.POST.get("username", "") if name is None else name)
        self._device = _device(request, self._account)
        self._plan = self._plan_for(place_of(request))
        verdict = limiter.get().check(self._plan, when_down=LOCAL)
        self.wait = 0 if verdict.passed else verdict.retry_after

    def _plan_for(self, place: str) -> Plan:
        if self._device:
            return plans.plan([plans.window("device", f"signin:device:{self._device}", *DEVICE)])
        return plans.plan(
            [
                plans.window("place", f"signin:place:{self._account}:{place}", *PLACE),
                plans.window("account", f"signin:account:{self._account}", *ACCOUNT),
            ]
        )

    def forget(self) -> None:
        """It was right: forget what was counted."""
        limiter.get().reset(self._plan.counters)

    def succeeded(self, response: HttpResponse) -> None:
        """Forget what was counted, and know this browser again."""
        self.forget()
        device = self._device or secrets.token_urlsafe(12)
        response.set_cookie(
            COOKIE,
            signing.dumps([self._account, device], salt=_SALT),
            max_age=COOKIE_DAYS * 86_400,
            path="/admin/login",
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def succeeded(request: HttpRequest, response: HttpResponse) -> bool:
    """Whether the attempt ended with somebody signed in."""
    user: Any = getattr(request, "user", None)
    return response.status_code == 302 and user is not None and user.is_authenticated


def _account(name: str) -> str:
    return hashlib.sha256(name.strip().casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _device(request: HttpRequest, account: str) -> str:
    """The id of a browser from which this account signed in before, or nothing."""
    text = request.COOKIES.get(COOKIE, "")
    if not text or len(text) > 500:
        return ""
    try:
        known, device = signing.loads(text, salt=_SALT, max_age=COOKIE_DAYS * 86_400)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(device) if known == account else ""
