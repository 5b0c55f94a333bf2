"""A small shop: its customers, and streams that read them."""

from __future__ import annotations

from typing import Any

TOKEN = "tok-3f9a77c1d2e84b56"

MAPPING = {
    "fields": [
        {"target": "external_id", "source": "id"},
        {"target": "name", "source": "name"},
        {"target": "email", "source": "email"},
    ]
}

CURSOR = {
    "kind": "cursor",
    "param": "after",
    "next_path": "paging.next.after",
    "size_param": "limit",
    "size": 10,
}


def customer(n: int, **more: Any) -> dict[str, Any]:
    return {
        "id": n,
        "name": f"Customer {n}",
        "email": f"customer{n}@example.com",
        "updated_at": f"2026-01-{n // 60 + 1:02d}T10:{n % 60:02d}:00Z",
        **more,
    }


CUSTOMERS = [customer(n) for n in range(1, 26)]


def stream(**more: Any) -> dict[str, Any]:
    """Customers, page by page with a cursor, changes by `updated_since`."""
    return {
        "name": "customers",
        "request": {"path": "/cursor/customers"},
        "records_path": "results",
        "remote_id": "id",
        "paginate": CURSOR,
        "incremental": {"cursor_path": "updated_at", "name": "updated_since", "op": "gte"},
        "dataset": "clients",
        "mapping": MAPPING,
        **more,
    }
