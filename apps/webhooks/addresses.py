"""What may be told of an endpoint's URL: keys in it are secrets, wherever they stand."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from apps.kernel.redaction import MASK, redact_url

# A part of a path that no person has thought up: long, of letters and digits mixed.
_RANDOM = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_~+=-]{20,}")
_READABLE = re.compile(r"[a-z]+([-_][a-z0-9]+)*|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def shown_url(url: str) -> str:
    """The URL with keys masked: in its query, and in its path where they look like keys."""
    parts = urlsplit(redact_url(url))
    path = "/".join(_shown(part) for part in parts.path.split("/"))
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _shown(part: str) -> str:
    return MASK if _RANDOM.fullmatch(part) and not _READABLE.fullmatch(part) else part
