"""A manifest joined with one integration's settings and credentials: what requests are made from."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote, quote_plus, urlsplit

from apps.connectors.engine import manifest as manifests
from apps.connectors.engine import settings, template
from apps.connectors.engine.errors import ConfigurationError, EngineError
from apps.connectors.engine.http import Request
from apps.connectors.engine.manifest import AuthMode, Manifest, RequestSpec, Stream

MASK = "***"
# Shorter secrets would match by chance.
_TELLING = 4


@dataclass(frozen=True)
class Connection:
    """Everything that a request to the provider needs. Its `repr` tells no secret."""

    manifest: Manifest
    auth: AuthMode
    environment: str
    base_url: str
    config: Mapping[str, Any]
    credentials: Mapping[str, Any] = field(repr=False)

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The values that nobody may read again: secret credentials, and the proofs made of them."""
        shown = {credential.name for credential in self.auth.credentials if not credential.secret}
        values = {str(value) for name, value in self.credentials.items() if value and name not in shown}
        try:
            bare = self.authenticated(Request("GET", self.base_url))
        except EngineError:
            bare = Request("GET", self.base_url)
        for name, value in (*bare.headers.items(), *bare.params):
            if name.lower() in bare.secret_headers or name in bare.secret_params:
                values |= {value, value.rpartition(" ")[2]}
        spelled = {form for value in values for form in _spellings(value)}
        return frozenset(value for value in spelled if len(value) >= _TELLING)

    def hide(self, text: str) -> str:
        """The text with the secrets in it masked."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text

    @cached_property
    def streams(self) -> dict[str, Stream]:
        """The manifest's streams and the integration's own, by name. Raises ManifestError."""
        own = self.config.get("streams") if self.manifest.custom_streams else None
        found = (*self.manifest.streams, *(manifests.streams(list(own)) if own else ()))
        return {stream.name: stream for stream in found}

    @property
    def timeout(self) -> float:
        return float(self.config.get("timeout") or self.manifest.timeout)

    def context(self, stream: Stream | None = None) -> dict[str, Any]:
        return {
            "config": self.config,
            "environment": self.environment,
            "stream": {"name": stream.name} if stream else {},
        }

    def request(self, spec: RequestSpec, stream: Stream | None = None) -> Request:
        """The request of a spec, without its proof. Raises TemplateError."""
        context = self.context(stream)
        path = template.path(spec.path, context).strip()
        if any(part == ".." for part in re.split(r"[/\\]", path.partition("?")[0])):
            raise ConfigurationError(f"The path {path} leads out of the base URL.")
        url = f"{self.base_url.rstrip('/')}/{path.lstrip('/')}" if path.strip("/") else self.base_url
        headers = {"Accept": "application/json"}
        for name, value in {**self.manifest.headers, **spec.headers}.items():
            headers[name] = template.text(value, context)
        query = {**self.manifest.query, **spec.query}
        return Request(
            method=spec.method,
            url=url,
            params=tuple((name, template.text(value, context)) for name, value in query.items()),
            headers=headers,
            json=template.render(spec.json, context) if spec.json is not None else None,
            timeout=self.timeout,
            secret_values=self.secrets,
        )

    def authenticated(self, request: Request) -> Request:
        """The request with the integration's credentials. Raises EngineError (auth) if one is missing."""
        values = {name: template.render(value, self.context()) for name, value in self.auth.settings.items()}
        return self.auth.strategy.apply(request, values, self.credentials)


def _spellings(value: str) -> tuple[str, ...]:
    """A secret as it may come back: in a URL, in JSON, in HTML."""
    return (
        value,
        quote(value, safe=""),
        quote_plus(value),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
    )


def _base_url(source: str, context: Mapping[str, Any]) -> str:
    # Filled-in parts are percent-encoded: a subdomain cannot become another host.
    url = template.path(source, context).strip()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"The base URL “{url}” is not an address such as https://api.example.com.")
    if "@" in parts.netloc or "%" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            f"The base URL {parts.scheme}://{parts.hostname} must have no login, query or #."
        )
    return url


def resolve(
    manifest: Manifest,
    *,
    auth: str,
    environment: str,
    config: Mapping[str, Any],
    credentials: Mapping[str, Any],
) -> Connection:
    """Join them. Raises ConfigurationError for what does not fit together."""
    mode = manifest.auth_mode(auth)
    if mode is None:
        offered = ", ".join(item.mode for item in manifest.auth)
        raise ConfigurationError(
            f"{manifest.title} does not offer the authentication “{auth}”, but {offered}."
        )
    if environment not in manifest.base_urls:
        offered = ", ".join(manifest.base_urls)
        raise ConfigurationError(f"{manifest.title} has no {environment} environment, but {offered}.")
    full = settings.with_defaults(manifest, config)
    context = {"config": full, "environment": environment, "stream": {}}
    return Connection(
        manifest=manifest,
        auth=mode,
        environment=environment,
        base_url=_base_url(manifest.base_urls[environment], context),
        config=full,
        credentials=dict(credentials),
    )
