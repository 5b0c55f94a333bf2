"""OAuth2 client credentials (RFC 6749, 4.4): access tokens for endpoints that ask for them.

A token is fetched through the guarded client, kept encrypted in the cache that all workers share, and by each
sender's loop; it is fetched anew before it ends, or when a receiver refuses it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import orjson
from django.core.cache import cache

from apps.kernel.crypto.keyring import get_keyring
from apps.kernel.errors import HubError, TransientError
from apps.kernel.outbound import OutboundResponse
from apps.kernel.outbound.aio import AsyncOutbound

logger = logging.getLogger(__name__)

SHORTEST, LONGEST, USUAL = 10.0, 24 * 3600.0, 300.0  # seconds that a token is used
EARLY = 30.0  # seconds before its end at which a token is not used any more
MAX_ANSWER = 64 * 1024
MAX_TOKEN = 8 * 1024


class TokenRefused(TransientError):
    """The token endpoint gave no token; the text says what it answered."""

    code = "oauth_token"
    status = 502
    title = "No access token"


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """How an endpoint's receiver wants the hub to get tokens."""

    endpoint_id: UUID
    token_url: str = field(repr=False)
    client_id: str = field(repr=False)
    client_secret: str = field(repr=False)
    scope: str = ""
    audience: str = ""
    in_body: bool = False
    allow_http: bool | None = None

    @property
    def key(self) -> str:
        """Where the token is kept: another one for every change of the settings."""
        told = "\n".join((self.token_url, self.client_id, self.client_secret, self.scope, self.audience))
        return f"webhook-token:{self.endpoint_id.hex}:{hashlib.sha256(told.encode()).hexdigest()[:32]}"


def credentials_of(endpoint_id: UUID, config: Mapping[str, Any]) -> ClientCredentials:
    """The settings of an `oauth2` authentication."""
    return ClientCredentials(
        endpoint_id=endpoint_id,
        token_url=config["token_url"],
        client_id=config["client_id"],
        client_secret=config["client_secret"],
        scope=config.get("scope", ""),
        audience=config.get("audience", ""),
        in_body=config.get("client_auth") == "body",
    )


class Tokens:
    """The tokens of one sender's event loop."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, float]] = {}  # with the end, in the loop's own time
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(
        self, client: AsyncOutbound, wanted: ClientCredentials, *, timeout: float, refused: str = ""
    ) -> str:
        """A token, but not the one that was `refused`. Raises TokenRefused and the client's errors."""
        key = wanted.key
        async with self._locks.setdefault(key, asyncio.Lock()):
            token, end = self._known.get(key, ("", 0.0))
            if token and token != refused and end > time.monotonic():
                return token
            token, seconds = await asyncio.to_thread(_load, key)
            if not token or token == refused:
                token, seconds = await _fetch(client, wanted, timeout)
                await asyncio.to_thread(_store, key, token, seconds)
            self._known[key] = token, time.monotonic() + seconds
            return token


async def _fetch(client: AsyncOutbound, wanted: ClientCredentials, timeout: float) -> tuple[str, float]:
    form = {"grant_type": "client_credentials"}
    headers = {"Accept": "application/json"}
    if wanted.scope:
        form["scope"] = wanted.scope
    if wanted.audience:
        form["audience"] = wanted.audience
    if wanted.in_body:
        form |= {"client_id": wanted.client_id, "client_secret": wanted.client_secret}
    else:
        pair = f"{quote_plus(wanted.client_id)}:{quote_plus(wanted.client_secret)}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode("ascii")
    response = await client.request(
        "POST",
        wanted.token_url,
        headers=headers,
        data=form,
        timeout=timeout,
        connect_timeout=min(5.0, timeout),
        max_bytes=MAX_ANSWER,
        allow_http=wanted.allow_http,
    )
    return _read(response)


def _read(response: OutboundResponse) -> tuple[str, float]:
    """The token and for how many seconds to use it. Raises TokenRefused."""
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        answer = {}
    if response.status != 200:
        code = answer.get("error")
        told = f" ({code})" if isinstance(code, str) and len(code) <= 60 and code.isidentifier() else ""
        raise TokenRefused(f"The token URL answered {response.status}{told}: check the client id and secret.")
    token, kind = answer.get("access_token"), answer.get("token_type", "Bearer")
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN or not token.isascii():
        raise TokenRefused("The token URL answered without an access token.")
    if not token.isprintable() or " " in token:
        raise TokenRefused("The token URL answered with a token that no header can carry.")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise TokenRefused("The token URL answered with a token of another kind than Bearer.")
    try:
        seconds = float(answer.get("expires_in", USUAL)) - EARLY
    except (TypeError, ValueError, OverflowError):
        seconds = USUAL
    if not math.isfinite(seconds):
        seconds = USUAL
    return token, min(max(seconds, SHORTEST), LONGEST)


def _store(key: str, token: str, seconds: float) -> None:
    sealed = get_keyring().encrypt(orjson.dumps([token, time.time() + seconds]), key.encode())
    try:
        cache.set(key, sealed, timeout=int(seconds))
    except Exception:  # a cache that is away costs another token
        logger.warning("A token could not be kept in the cache.", exc_info=True)


def _load(key: str) -> tuple[str, float]:
    try:
        sealed = cache.get(key)
        if not isinstance(sealed, bytes):
            return "", 0.0
        token, end = orjson.loads(get_keyring().decrypt(sealed, key.encode()))
    except (HubError, ValueError):
        return "", 0.0
    except Exception:
        logger.warning("The cache could not be asked for a token.", exc_info=True)
        return "", 0.0
    left = float(end) - time.time()
    return (str(token), left) if left > 0 else ("", 0.0)
