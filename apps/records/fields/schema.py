"""JSON Schema of a dataset: the shape of its records as they are stored and sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from apps.records.fields.base import FIELD_TYPES
from apps.records.fields.definition import Field


def json_schema(dataset_name: str, fields: Sequence[Field]) -> dict[str, Any]:
    """A JSON Schema 2020-12 document that the canonical values of every accepted record satisfy."""
    properties: dict[str, Any] = {}
    for field in fields:
        schema = dict(FIELD_TYPES[field.type].json_schema(field))
        schema["title"] = field.title
        if field.help:
            schema["description"] = field.help
        if field.default is not None:
            schema["default"] = field.default
        properties[field.name] = schema
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": dataset_name,
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }
