"""What goes over the wire, as plain values. The caller supplies `Send`; in a test it is a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True, repr=False)
class Request:
    """One request to make. `secret_headers`, `secret_params`, `secret_values`: what a log must not show."""

    method: str
    url: str
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    timeout: float | None = None
    secret_headers: frozenset[str] = frozenset()
    secret_params: frozenset[str] = frozenset()
    secret_values: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return f"<Request {self.method} {without_query(self.url)}>"

    def with_header(self, name: str, value: str, *, secret: bool = False) -> Request:
        headers = {k: v for k, v in self.headers.items() if k.lower() != name.lower()}
        headers[name] = value
        hidden = self.secret_headers | {name.lower()} if secret else self.secret_headers
        return replace(self, headers=headers, secret_headers=hidden)

    def with_param(self, name: str, value: str, *, secret: bool = False) -> Request:
        """Set a query parameter, in place of one with the same name."""
        params = (*(pair for pair in self.params if pair[0] != name), (name, value))
        hidden = self.secret_params | {name} if secret else self.secret_params
        return replace(self, params=params, secret_params=hidden)

    def with_json(self, path: str, value: Any) -> Request:
        """Set one value in the JSON body, by dotted path."""
        body = dict(self.json or {})
        place = body
        *parents, last = path.split(".")
        for name in parents:
            place[name] = dict(place.get(name) or {})
            place = place[name]
        place[last] = value
        return replace(self, json=body)

    @property
    def full_url(self) -> str:
        if not self.params:
            return self.url
        parts = urlsplit(self.url)
        query = "&".join(q for q in (parts.query, urlencode(self.params)) if q)
        return urlunsplit(parts._replace(query=query))


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. Header names are lower case; several `Link` headers are joined by a comma."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    elapsed_ms: int = 0

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


Send = Callable[[Request], Response]
"""Makes one request. Raises `errors.EngineError` (kind transient or fatal) if there is no answer."""


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what decides whether credentials may go along (RFC 6454)."""
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), parts.port or {"https": 443, "http": 80}.get(scheme, 0)


def without_query(url: str) -> str:
    parts = urlsplit(url)
    netloc = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=netloc, query="", fragment=""))


def split_query(url: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The URL without its query, and the query's pairs."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="", fragment="")), tuple(
        parse_qsl(parts.query, keep_blank_values=True)
    )
