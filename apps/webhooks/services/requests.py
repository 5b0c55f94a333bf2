"""Building the request of an attempt: an endpoint's settings, opened once, and the signed headers of each
message.
"""

from __future__ import annotations

import base64
import ipaddress
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from apps.kernel.outbound import OutboundPolicy
from apps.kernel.outbound.policy import Address, Network
from apps.kernel.redaction import MASK, is_secret_name
from apps.webhooks import signing
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.retries import Schedule, hub_schedule, schedule_of
from apps.webhooks.services.claims import Claimed
from apps.webhooks.services.tokens import ClientCredentials, credentials_of
from apps.webhooks.statuses import AuthType

TIMEOUT_SECONDS = 15.0
CONNECT_SECONDS = 5.0
READ_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What sending to an endpoint needs, with its secrets opened. Never stored, never printed."""

    id: UUID
    version: int
    method: str
    url: str = field(repr=False)
    secrets: tuple[tuple[str, datetime | None], ...] = field(
        repr=False
    )  # with the end of each, current first
    plain_headers: tuple[tuple[str, str], ...] = field(repr=False)
    secret_headers: tuple[tuple[str, str], ...] = field(repr=False)
    legacy_header: str
    timeout: float
    verify: bool
    networks: tuple[str, ...]
    schedule: Schedule
    retry_on: tuple[int, ...]
    oauth: ClientCredentials | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to be sent. `shown` are its headers with the secrets masked."""

    method: str
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    shown: dict[str, str]
    body: bytes = field(repr=False)
    timeout: float
    verify: bool
    allow_http: bool | None
    oauth: ClientCredentials | None = None


@dataclass(frozen=True, slots=True)
class NetworkPolicy(OutboundPolicy):
    """The hub's policy, narrowed to the networks that an endpoint allows itself."""

    only: tuple[Network, ...] = ()

    def permits(self, ip: Address) -> bool:
        # Written out: zero-argument super() does not work in a dataclass with slots.
        inside = any(ip.version == network.version and ip in network for network in self.only)
        return inside and OutboundPolicy.permits(self, ip)


def narrowed(policy: OutboundPolicy, networks: Iterable[str]) -> OutboundPolicy:
    """`policy`, but for these networks only; all of it without any."""
    only = tuple(ipaddress.ip_network(text, strict=False) for text in networks)
    return NetworkPolicy(policy.allow, policy.allow_http, only) if only else policy


def settings_of(endpoint: WebhookEndpoint) -> Settings:
    """Open an endpoint's settings."""
    plain, secret = _given_headers(endpoint)
    older = [
        (entry["secret"], datetime.fromisoformat(entry["expires_at"])) for entry in endpoint.previous_secrets
    ]
    return Settings(
        id=endpoint.pk,
        version=endpoint.version,
        method=endpoint.method,
        url=endpoint.url or "",
        secrets=((endpoint.secret, None), *older) if endpoint.sign_payload else (),
        plain_headers=tuple(plain.items()),
        secret_headers=tuple(secret.items()),
        legacy_header=endpoint.signature_header if endpoint.sign_payload else "",
        timeout=timeout_of(endpoint),
        verify=endpoint.validate_ssl,
        networks=tuple(endpoint.ip_allow_list),
        schedule=schedule_of(
            intervals=endpoint.retry_intervals,
            attempts=endpoint.retry_attempts,
            fallback=configured_schedule(),
        ),
        retry_on=tuple(endpoint.retry_on_status),
        oauth=credentials_of(endpoint.pk, endpoint.auth_config)
        if endpoint.auth_type == AuthType.OAUTH2
        else None,
    )


def timeout_of(endpoint: WebhookEndpoint) -> float:
    """Seconds that one attempt may take: the endpoint's, else WEBHOOK_TIMEOUT, else 15."""
    if endpoint.timeout:
        return float(endpoint.timeout)
    milliseconds = settings.HUB.webhook_timeout
    return milliseconds / 1000 if milliseconds else TIMEOUT_SECONDS


def configured_schedule() -> Schedule:
    """The retry schedule that WEBHOOK_MAX_RETRIES, WEBHOOK_RETRY_DELAY and WEBHOOK_BACKOFF_FACTOR ask for."""
    return hub_schedule(
        max_retries=settings.HUB.webhook_max_retries,
        delay_ms=settings.HUB.webhook_retry_delay,
        factor=settings.HUB.webhook_backoff_factor,
    )


def _given_headers(endpoint: WebhookEndpoint) -> tuple[dict[str, str], dict[str, str]]:
    """The endpoint's own headers: those that may be shown, and those that may not."""
    plain: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name, value in endpoint.headers.items():
        (secret if is_secret_name(name) else plain)[name] = value
    secret.update(auth_headers(endpoint.auth_type, endpoint.auth_config))
    return plain, secret


def auth_headers(auth_type: str, config: Mapping[str, Any]) -> dict[str, str]:
    """The headers that authenticate the hub at the receiver."""
    if auth_type == AuthType.BEARER:
        return {"Authorization": f"Bearer {config['token']}"}
    if auth_type == AuthType.BASIC:
        pair = f"{config['username']}:{config['password']}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}
    if auth_type == AuthType.API_KEY:
        return {config.get("header") or "X-API-Key": config["key"]}
    if auth_type == AuthType.CUSTOM:
        return dict(config["headers"])
    return {}


def build(config: Settings, job: Claimed, *, now: float | None = None) -> Request:
    """The request of an attempt: signed now, over the stored bytes, with every live secret."""
    assert job.body is not None
    stamp = int(time.time() if now is None else now)
    headers: dict[str, str] = {"Content-Type": job.content_type, signing.ID_HEADER: job.message_id}
    headers[signing.TIMESTAMP_HEADER] = str(stamp)
    live = [secret for secret, end in config.secrets if end is None or end.timestamp() > stamp]
    if live:
        headers[signing.SIGNATURE_HEADER] = signing.sign(
            message_id=job.message_id, timestamp=stamp, body=job.body, secrets=live
        )
        if config.legacy_header:
            headers[config.legacy_header] = signing.legacy_signature(
                timestamp=stamp, body=job.body, secrets=live
            )
    headers.update(config.plain_headers)
    shown = headers | {name: MASK for name, _ in config.secret_headers}
    allow_http = True if job.allow_http else None
    if config.oauth is not None:
        shown["Authorization"] = f"Bearer {MASK}"
    return Request(
        method=config.method,
        url=config.url,
        headers=(*headers.items(), *config.secret_headers),
        shown=shown,
        body=job.body,
        timeout=config.timeout,
        verify=config.verify,
        allow_http=allow_http,
        oauth=None if config.oauth is None else replace(config.oauth, allow_http=allow_http),
    )


class SettingsCache:
    """Opened settings by endpoint and version, for as long as one dispatcher runs."""

    def __init__(self) -> None:
        self._known: dict[UUID, Settings] = {}

    def get(self, jobs: Iterable[Claimed]) -> dict[UUID, Settings]:
        """The settings of the endpoints of some jobs, at the versions that the jobs were claimed with or
        newer.
        """
        needed = {job.endpoint_id: job.version for job in jobs}
        stale = [
            key
            for key, version in needed.items()
            if key not in self._known or self._known[key].version < version
        ]
        if stale:
            for endpoint in WebhookEndpoint.objects.filter(pk__in=stale):
                self._known[endpoint.pk] = settings_of(endpoint)
        return {key: self._known[key] for key in needed if key in self._known}
