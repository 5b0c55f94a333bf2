"""How a request proves who asks: strategies that a manifest picks by `mode`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.connectors.engine.errors import EngineError, Kind
from apps.connectors.engine.http import Request

Settings = Mapping[str, Any]
Credentials = Mapping[str, Any]


@dataclass(frozen=True)
class Credential:
    """One value that a strategy needs from the integration's encrypted credentials."""

    name: str
    label: str
    secret: bool = True
    required: bool = True
    help: str = ""


@dataclass(frozen=True)
class Strategy:
    """One way to authenticate.

    `method` is the integration's connection method (oauth2, api_key, basic, token, saml, custom);
    `settings` are JSON Schemas of what a manifest may set; `apply` returns the request with its proof, and
    raises EngineError (auth) when a credential is missing.
    """

    mode: str
    method: str
    label: str
    apply: Callable[[Request, Settings, Credentials], Request]
    credentials: tuple[Credential, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def needed(credentials: Credentials, name: str, label: str) -> str:
    """A credential as header-safe text."""
    value = credentials.get(name)
    if value in (None, ""):
        raise EngineError(Kind.AUTH, f"The {label} is not set. Enter it in the integration's credentials.")
    text = str(value)
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise EngineError(Kind.AUTH, f"The {label} contains a line break or another control character.")
    return text


def _none(request: Request, settings: Settings, credentials: Credentials) -> Request:
    return request


def _api_key(request: Request, settings: Settings, credentials: Credentials) -> Request:
    key = f"{settings.get('prefix', '')}{needed(credentials, 'api_key', 'API key')}"
    name = str(settings.get("name") or "X-API-Key")
    if settings.get("in") == "query":
        return request.with_param(name, key, secret=True)
    return request.with_header(name, key, secret=True)


def _basic(request: Request, settings: Settings, credentials: Credentials) -> Request:
    """RFC 7617, in UTF-8."""
    username = needed(credentials, "username", "user name")
    if ":" in username:
        raise EngineError(Kind.AUTH, "A user name for basic authentication cannot contain a colon.")
    pair = f"{username}:{credentials.get('password') or ''}"
    return request.with_header(
        "Authorization", "Basic " + base64.b64encode(pair.encode()).decode(), secret=True
    )


def _bearer(request: Request, settings: Settings, credentials: Credentials) -> Request:
    """RFC 6750, §2.1."""
    token = needed(credentials, "token", "token")
    return request.with_header("Authorization", f"{settings.get('prefix', 'Bearer ')}{token}", secret=True)


_TEXT = {"type": "string", "maxLength": 200}

STRATEGIES: dict[str, Strategy] = {}


def register(strategy: Strategy) -> Strategy:
    STRATEGIES[strategy.mode] = strategy
    return strategy


register(Strategy("none", "custom", "No authentication", _none))
register(
    Strategy(
        "api_key",
        "api_key",
        "API key",
        _api_key,
        credentials=(Credential("api_key", "API key"),),
        settings={"in": _TEXT, "name": _TEXT, "prefix": _TEXT},
    )
)
register(
    Strategy(
        "basic",
        "basic",
        "User name and password",
        _basic,
        credentials=(
            Credential("username", "User name", secret=False),
            Credential("password", "Password", required=False),
        ),
    )
)
register(
    Strategy(
        "bearer",
        "token",
        "Bearer token",
        _bearer,
        credentials=(Credential("token", "Token"),),
        settings={"prefix": _TEXT},
    )
)
