"""What can go wrong with a provider, by kind, and which kinds are worth another try."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from apps.connectors.engine.paths import search

if TYPE_CHECKING:
    from apps.connectors.engine.http import Response
    from apps.connectors.engine.manifest import ErrorRule


class Kind(StrEnum):
    """Why a call failed; decides what happens next."""

    AUTH = "auth"  # the credentials are wrong, expired or revoked
    PERMISSION = "permission"  # they are right, but do not allow this
    RATE = "rate"  # too many calls; wait
    VALIDATION = "validation"  # the provider does not accept what was sent
    NOT_FOUND = "not_found"
    TRANSIENT = "transient"  # may work later
    FATAL = "fatal"  # will not work by trying again

    @property
    def retryable(self) -> bool:
        return self in (Kind.RATE, Kind.TRANSIENT)


class EngineError(Exception):
    """A call or a page that failed. `retry_after` is in seconds, if the provider named a time."""

    def __init__(
        self, kind: Kind, message: str, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message

    @property
    def retryable(self) -> bool:
        return self.kind.retryable


class ConfigurationError(EngineError):
    """The manifest or the integration's settings do not fit what the provider answers, or each other."""

    def __init__(self, message: str) -> None:
        super().__init__(Kind.FATAL, message)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, in seconds; a provider's own `Retry-After` is obeyed as it is."""

    attempts: int = 6
    base: float = 5.0
    factor: float = 3.0
    cap: float = 3600.0

    def delay(self, attempt: int, retry_after: float | None, *, spread: float | None = None) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1)."""
        if retry_after is not None:
            return max(1.0, retry_after)
        ceiling = min(self.cap, self.base * self.factor ** (attempt - 1))
        share = random.random() if spread is None else spread  # noqa: S311 - jitter, not a secret
        return ceiling / 2 + ceiling / 2 * share


_KINDS = {
    401: Kind.AUTH,
    403: Kind.PERMISSION,
    404: Kind.NOT_FOUND,
    408: Kind.TRANSIENT,
    410: Kind.NOT_FOUND,
    425: Kind.TRANSIENT,
    429: Kind.RATE,
}

_SENTENCES = {
    Kind.AUTH: "The provider refused the credentials (HTTP {status}). Check them and test the connection "
    "again.",
    Kind.PERMISSION: "The credentials are valid, but do not allow this (HTTP {status}). Give them the right "
    "to read it at the provider.",
    Kind.RATE: "The provider asks for fewer calls (HTTP {status}).",
    Kind.VALIDATION: "The provider did not accept the request (HTTP {status}).",
    Kind.NOT_FOUND: "The provider does not know this address (HTTP {status}). Check the base URL and "
    "the path.",
    Kind.TRANSIENT: "The provider has a problem of its own (HTTP {status}).",
    Kind.FATAL: "The provider answered in an unexpected way (HTTP {status}).",
}


def kind_of(status: int) -> Kind:
    """The kind that a status stands for when the manifest says nothing else (RFC 9110 §15)."""
    if status in _KINDS:
        return _KINDS[status]
    if status >= 500:
        return Kind.FATAL if status in (501, 505) else Kind.TRANSIENT
    return Kind.VALIDATION if 400 <= status < 500 else Kind.FATAL


def retry_after_of(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds that `Retry-After` asks to wait: a number or an HTTP date (RFC 9110 §10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())


def _said(body: Any) -> str:
    """What the provider says about the error, where it usually says it; never longer than a sentence."""
    for path in (
        "error.message",
        "error_description",
        "message",
        "detail",
        "error",
        "title",
        "errors[0].message",
    ):
        value = search(path, body)
        if isinstance(value, str) and value.strip():
            text = re.sub(r"\s+", " ", value).strip()
            return text if len(text) <= 200 else text[:199] + "…"
    return ""


def _fits(rule: ErrorRule, response: Response, body: Any) -> bool:
    if rule.status and response.status not in rule.status:
        return False
    if rule.path and search(rule.path, body) not in rule.equals:
        return False
    return not (
        rule.body_regex
        and not re.search(rule.body_regex, response.content[:65536].decode("utf-8", "replace"))
    )


def failure_of(response: Response, body: Any, rules: tuple[ErrorRule, ...] = ()) -> EngineError | None:
    """The error that an answer stands for, or None if it is a good one. The manifest's rules come first."""
    for rule in rules:
        if _fits(rule, response, body):
            kind, sentence = rule.kind, rule.message
            break
    else:
        if response.ok:
            return None
        kind, sentence = kind_of(response.status), ""
    if not sentence:
        sentence = _SENTENCES[kind].format(status=response.status)
        said = _said(body)
        if said:
            sentence += f" It says: “{said}”"
    wait = retry_after_of(response.headers) if kind.retryable else None
    return EngineError(kind, sentence, status=response.status, retry_after=wait)
