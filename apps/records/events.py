"""The events that records cause: `<dataset>.created`, `.updated`, `.deleted`, `.restored`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.events.catalog import EventType
from apps.records.catalog import DatasetSpec
from apps.records.models import Change

VERBS = {
    Change.Operation.CREATED: "was created",
    Change.Operation.UPDATED: "was changed",
    Change.Operation.DELETED: "was deleted",
    Change.Operation.RESTORED: "was brought back after its deletion",
}


def schema_of(dataset: str) -> dict[str, Any]:
    """JSON Schema of a record event's `data`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["id", "dataset", "version", "record"],
        "properties": {
            "id": {"type": "string", "description": "Public id of the record."},
            "key": {"type": ["string", "null"], "description": "Value of the dataset's key field."},
            "dataset": {"const": dataset},
            "version": {"type": "integer", "minimum": 1},
            "record": {"type": "object", "description": "The record after the change."},
            "changed": {"type": "array", "items": {"type": "string"}},
            "before": {"type": "object", "description": "The former values of the changed fields."},
            "origin": {
                "type": "object",
                "properties": {"kind": {"type": "string"}, "ref": {"type": "string"}},
            },
        },
    }


def data_of(
    *,
    dataset: str,
    public_id: str,
    key: str | None,
    version: int,
    record: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    origin: Mapping[str, str],
) -> dict[str, Any]:
    changed: Sequence[str] = sorted({*(before or {}), *(after or {})})
    return {
        "id": public_id,
        "key": key,
        "dataset": dataset,
        "version": version,
        "record": dict(record),
        "changed": changed,
        "before": dict(before or {}),
        "origin": dict(origin),
    }


def types_of(spec: DatasetSpec) -> list[EventType]:
    """The event types of one dataset."""
    sample = {f.name: _sample(f.type) for f in spec.fields[:5]}
    types = []
    for operation, verb in VERBS.items():
        before = {} if operation == Change.Operation.CREATED else {spec.title_field: "Former value"}
        data = data_of(
            dataset=spec.name,
            public_id="rec_01hv9k6zq3e8v7m2n4p5r6s7t8",
            key="A-1001",
            version=1 if operation == Change.Operation.CREATED else 2,
            record=sample,
            before=before,
            after=sample
            if operation == Change.Operation.CREATED
            else {spec.title_field: sample.get(spec.title_field)},
            origin={"kind": "job", "ref": "JOB-2026-00001"},
        )
        types.append(
            EventType(
                name=f"{spec.name}.{operation}",
                description=f"A record of “{spec.label}” {verb}.",
                schema=schema_of(spec.name),
                sample=data,
                group=spec.label,
            )
        )
    return types


def _sample(type_name: str) -> Any:
    return {
        "integer": 3,
        "decimal": "12.50",
        "money": {"amount": "12.50", "currency": "EUR"},
        "date": "2026-03-01",
        "datetime": "2026-03-01T09:30:00Z",
        "boolean": True,
        "email": "ada@example.com",
        "url": "https://example.com/",
        "phone": "+4930123456",
        "json": {},
    }.get(type_name, "Example")
