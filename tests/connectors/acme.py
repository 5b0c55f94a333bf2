"""Helpers for tests of the engine: a provider is a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from apps.connectors.engine import connection, manifest
from apps.connectors.engine.connection import Connection
from apps.connectors.engine.http import Request, Response
from apps.connectors.engine.manifest import Manifest

BASE = "https://api.example.test/v1"


def document(**more: Any) -> dict[str, Any]:
    """A small manifest."""
    return {
        "slug": "acme",
        "version": "1.0.0",
        "title": "Acme",
        "summary": "Things of Acme.",
        "type": "crm",
        "category": "other",
        "environments": {"production": {"base_url": BASE}},
        "auth": [{"mode": "bearer"}, {"mode": "none"}, {"mode": "basic"}, {"mode": "api_key"}],
        "test": {"request": {"path": "/me"}},
        "streams": [{"name": "things", "request": {"path": "/things"}, "remote_id": "id"}],
        **more,
    }


def acme(**more: Any) -> Manifest:
    return manifest.parse(document(**more))


def connected(
    stream: dict[str, Any] | None = None,
    *,
    auth: str = "none",
    credentials: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    **more: Any,
) -> Connection:
    if stream is not None:
        more["streams"] = [{"name": "things", "request": {"path": "/things"}, "remote_id": "id", **stream}]
    return connection.resolve(
        acme(**more), auth=auth, environment="production", config=config or {}, credentials=credentials or {}
    )


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return Response(status, found, content, 5)


class Provider:
    """Answers with what `serve` returns, and remembers what it was asked."""

    def __init__(self, serve: Callable[[Request], Response]) -> None:
        self.serve = serve
        self.asked: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        return self.serve(request)

    def params(self) -> list[dict[str, str]]:
        return [dict(request.params) for request in self.asked]
