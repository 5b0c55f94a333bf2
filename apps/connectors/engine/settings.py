"""An integration's settings: the JSON Schema that a manifest asks for, and their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.connectors.engine import schema
from apps.connectors.engine.manifest import FormField, Manifest, stream_problems
from apps.connectors.engine.validation import Problem, problems


def _property(field: FormField) -> dict[str, Any]:
    found: dict[str, Any] = {"title": field.label}
    if field.help:
        found["description"] = field.help
    if field.default is not None:
        found["default"] = field.default
    match field.kind:
        case "integer":
            found["type"] = "integer"
            if field.minimum is not None:
                found["minimum"] = field.minimum
            if field.maximum is not None:
                found["maximum"] = field.maximum
        case "boolean":
            found["type"] = "boolean"
        case "choice":
            found["enum"] = list(field.choices)
        case _:
            found |= {"type": "string", "maxLength": 2000}
            if field.required:
                found["minLength"] = 1
            if field.kind == "url":
                found["format"] = "http_url"
            if field.pattern:
                found["pattern"] = field.pattern
    return found


def schema_of(manifest: Manifest) -> dict[str, Any]:
    """The JSON Schema of `config` for integrations of this connector."""
    properties: dict[str, Any] = {
        "timeout": {
            "title": "Time-out in seconds",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 300,
            "default": manifest.timeout,
        },
        "retry_attempts": {
            "title": "Tries of a call that fails for a passing reason",
            "type": "integer",
            "minimum": 1,
            "maximum": 20,
            "default": 6,
        },
        "api_version": {"title": "API version", "type": "string", "maxLength": 40},
        "custom_settings": {"title": "Anything else", "type": "object"},
    }
    required: list[str] = []
    for field in manifest.fields:
        group, _, inner = field.name.rpartition(".")
        place, needed = properties, required
        if group:
            outer = properties.setdefault(
                group, {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
            )
            place, needed = outer["properties"], outer["required"]
        place[inner] = _property(field)
        if field.required and not field.auth:
            needed.append(inner)
    if manifest.custom_streams:
        properties["streams"] = {
            "title": "Streams",
            "type": "array",
            "maxItems": 200,
            "items": schema.stream(),
            "default": [],
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def problems_of(manifest: Manifest, config: Any) -> list[Problem]:
    """What is wrong with an integration's settings."""
    found = problems(config, schema_of(manifest))
    if not found and manifest.custom_streams:
        found = stream_problems(config.get("streams", []))
    return found


def with_defaults(manifest: Manifest, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the manifest's defaults where nothing is set."""
    full: dict[str, Any] = {"timeout": manifest.timeout, **config}
    for field in manifest.fields:
        if field.default is None:
            continue
        group, _, inner = field.name.rpartition(".")
        place = full
        if group:
            place = full[group] = dict(full.get(group) or {})
        if place.get(inner) in (None, ""):
            place[inner] = field.default
    return full
