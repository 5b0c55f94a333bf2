"""The last touches on the OpenAPI document."""

from __future__ import annotations

from typing import Any


def only_versioned(endpoints: list[Any]) -> list[Any]:
    """Documents the addresses with a version; those without are the same."""
    return [endpoint for endpoint in endpoints if endpoint[0].startswith("/api/{version}/")]


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    return result
