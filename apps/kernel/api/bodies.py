"""Looking at a body before the view does, without holding it in memory."""

from __future__ import annotations

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Any

from rest_framework.request import Request

from apps.kernel.api.parsers import too_large

_IN_MEMORY = 2**20
_CHUNK = 64 * 1024


def limit_of(view: Any) -> int | None:
    """How many bytes the view's body may have; None for views that stream theirs."""
    return None if getattr(view, "streams_body", False) else view.max_body_bytes


def chunks(request: Request, *, limit: int | None) -> Iterator[bytes]:
    """The body in pieces; when all were taken it can be read again, as if nobody had.

    Raises TooLarge above `limit` bytes, having read hardly more than that.
    """
    inner: Any = request._request
    # Kept in a temporary file above a megabyte: the view may stream far more than fits into memory.
    copy = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - lives as long as the request
    size = 0
    while chunk := inner.read(_CHUNK):
        size += len(chunk)
        if limit is not None and size > limit:
            raise too_large(limit)
        copy.write(chunk)
        yield chunk
    copy.seek(0)
    inner._stream = copy
    inner._read_started = False
