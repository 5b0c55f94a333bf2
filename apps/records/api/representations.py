"""What records and their surroundings look like on the wire. Plain functions: lists of them must be cheap."""

from __future__ import annotations

from typing import Any

from apps.records.fields import to_dict
from apps.records.models import Change, Dataset, Mapping, Origin, Record
from apps.records.services.outcomes import UpsertResult

# What a record carries besides its fields; no field may have such a name.
OWN_NAMES = ("id", "key", "dataset", "version", "created_at", "updated_at", "deleted_at")


def record(row: Record, slug: str) -> dict[str, Any]:
    """A record: its own names, then its fields."""
    found: dict[str, Any] = {
        "id": row.public_id,
        "key": row.key,
        "dataset": slug,
        "version": row.version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
    if row.deleted_at is not None:
        found["deleted_at"] = row.deleted_at
    found.update(row.data)
    return found


def dataset(row: Dataset, count: int | None = None) -> dict[str, Any]:
    return {
        "id": row.slug,
        "name": row.name,
        "singular": row.singular,
        "description": row.description,
        "kind": row.kind,
        "key_field": row.key_field,
        "title_field": row.title_field,
        "icon": row.icon,
        "fields": [to_dict(field) for field in row.fields],
        "version": row.version,
        "records": count,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def change(row: Change) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "operation": row.operation,
        "version": row.version,
        "before": row.before,
        "after": row.after,
        "created_at": row.created_at,
        "undone": row.undone_by is not None,
        "origin": origin(row.origin),
    }


def origin(row: Origin) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "kind": row.kind,
        "ref": row.ref,
        "label": row.label,
        "created_at": row.created_at,
        "undone_at": row.undone_at,
    }


def mapping(row: Mapping) -> dict[str, Any]:
    return {
        "id": row.public_id,
        "name": row.name,
        "dataset": row.dataset.slug,
        "description": row.description,
        "spec": row.spec,
        "columns": row.columns,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def bulk_result(result: UpsertResult, *, mode: str, dry_run: bool) -> dict[str, Any]:
    return {
        "origin": None if dry_run else result.origin.public_id,
        "mode": mode,
        "dry_run": dry_run,
        "counts": {
            "rows": result.rows,
            "created": result.created,
            "updated": result.updated,
            "unchanged": result.unchanged,
            "restored": result.restored,
            "deleted": result.deleted,
            "failed": result.failed,
        },
        "deletion_skipped": result.deletion_skipped,
        "errors": [
            {
                "row": problem.row,
                "field": problem.field,
                "column": problem.column,
                "value": problem.value,
                "code": problem.code,
                "detail": problem.message,
            }
            for problem in result.problems
        ],
    }
