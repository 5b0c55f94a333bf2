"""The audit log as CSV or NDJSON, streamed: a million entries cost no memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any

from django.db import models
from django.http import StreamingHttpResponse

from apps.audit.models import AuditEntry

HEADERS = (
    "id", "sequence", "at", "action", "actor_kind", "actor", "actor_name", "ip", "request_id", "object_type",
    "object", "object_name", "changes", "hash",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BATCH = 1000


def as_json(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.public_id,
        "sequence": entry.sequence,
        "at": entry.at.isoformat().replace("+00:00", "Z"),
        "action": entry.action,
        "actor_kind": entry.actor_kind,
        "actor": entry.actor_ref,
        "actor_name": entry.actor_label,
        "ip": entry.ip,
        "request_id": entry.request_id,
        "object_type": entry.object_type,
        "object": entry.object_ref,
        "object_name": entry.object_label,
        "changes": entry.changes,
        "hash": entry.hash,
    }


def newest_first(rows: models.QuerySet[AuditEntry]) -> Iterator[AuditEntry]:
    """All rows in batches by key, so that neither the database nor this process holds them all."""
    last = None
    while True:
        part = rows.order_by("-id") if last is None else rows.filter(pk__lt=last).order_by("-id")
        batch = list(part[:_BATCH])
        yield from batch
        if len(batch) < _BATCH:
            return
        last = batch[-1].pk


def _ndjson(entries: Iterator[AuditEntry]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps(as_json(entry), ensure_ascii=False, separators=(",", ":")) + "\n"


class _Line:
    def write(self, text: str) -> str:
        return text


def _csv(entries: Iterator[AuditEntry]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(HEADERS)
    for entry in entries:
        row = as_json(entry)
        row["changes"] = json.dumps(row["changes"], ensure_ascii=False) if row["changes"] else ""
        yield writer.writerow([_harmless(row[name]) for name in HEADERS])


def _harmless(cell: Any) -> Any:
    """No cell is taken for a formula by a spreadsheet program."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


FORMATS: dict[str, tuple[str, Callable[[Iterator[AuditEntry]], Iterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8", _csv),
    "ndjson": ("application/x-ndjson", _ndjson),
}


def response(rows: models.QuerySet[AuditEntry], format: str) -> StreamingHttpResponse:
    """The rows as a file, newest first."""
    content_type, lines = FORMATS[format]
    return StreamingHttpResponse(
        lines(newest_first(rows)),
        content_type=content_type,
        headers={
            "Content-Disposition": f'attachment; filename="audit-log.{format}"',
            "Cache-Control": "no-store",
        },
    )
