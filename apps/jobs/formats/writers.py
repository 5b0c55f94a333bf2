"""Small tables that jobs write for people: templates, rejected rows, errors. Exports have writers of their
own (`outputs.py`), made for millions of rows and for more formats."""

from __future__ import annotations

from apps.kernel.spreadsheets import WRITERS, CsvWriter, XlsxWriter, harmless

__all__ = ["EXPORT_TYPES", "MIME_TYPES", "WRITERS", "CsvWriter", "XlsxWriter", "harmless"]

MIME_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
EXPORT_TYPES = {
    **MIME_TYPES,
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "xml": "application/xml",
    "pdf": "application/pdf",
    "gzip": "application/gzip",
    "zip": "application/zip",
}
"""Of what exports are written as, packed or not."""
