"""Masks secrets in what is logged, stored or shown (first cut)."""

from __future__ import annotations


def redact_url(url: str) -> str:
    return url.split("?")[0]
