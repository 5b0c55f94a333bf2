"""One byte string per content: what is stored, and what tells whether a row changed."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

_SORTED = orjson.OPT_SORT_KEYS


def canonical_json(values: Any) -> bytes:
    """Canonical values as JSON: UTF-8, no white space, keys sorted on every level."""
    return orjson.dumps(values, option=_SORTED)


def content_hash(content: bytes) -> bytes:
    """BLAKE2b (RFC 7693) of 16 bytes."""
    return blake2b(content, digest_size=16).digest()
