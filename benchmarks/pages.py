"""The addresses of the admin's list of clients: its first, last and a filtered page."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from apps.records.selectors import count, dataset_of

PAGE = 50


def record_list(organization: Any) -> dict[str, str]:
    """Page name → address, for the dataset “clients” of the organization."""
    base = reverse("admin:data_list", args=["clients"])
    last = max(1, -(-count(dataset_of(organization, "clients")) // PAGE))
    queries: dict[str, dict[str, str]] = {
        "first": {},
        "last": {"p": str(last)},
        "filtered": {"status": "lead"},
    }
    return {name: f"{base}?{urlencode(query)}" for name, query in queries.items()}
