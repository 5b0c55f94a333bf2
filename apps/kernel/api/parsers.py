"""JSON in: bounded in size and depth; bad bytes are the caller's mistake, never an error of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser

from apps.kernel import safejson
from apps.kernel.api import changes
from apps.kernel.errors import BadRequest, InvalidInput, TooLarge

MAX_JSON_BYTES = 10 * 2**20
MAX_LINE_BYTES = 2**20
_CHUNK = 64 * 1024


class HubJSONParser(BaseParser):
    """RFC 8259 JSON. The view's `max_body_bytes` sets the size, 10 MiB unless told."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        view = (parser_context or {}).get("view")
        limit = getattr(view, "max_body_bytes", MAX_JSON_BYTES)
        body = parse_json(read_limited(stream, limit), limit)
        request = (parser_context or {}).get("request")
        return body if request is None else changes.body_up(request, body)


class NDJSONParser(BaseParser):
    """Newline-delimited JSON, handed on as a stream: `request.data` is an iterator of values."""

    media_type = "application/x-ndjson"

    def parse(  # type: ignore[override]
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Iterator[Any]:
        rows = ndjson(stream)
        request = (parser_context or {}).get("request")
        # Row by row, as the array that the same rows would be.
        return rows if request is None else (changes.body_up(request, [row])[0] for row in rows)


def read_limited(stream: IO[Any], limit: int) -> bytes:
    """The whole stream. Raises TooLarge above `limit` bytes, having read no more than that."""
    data: bytes = stream.read(limit + 1)
    if len(data) > limit:
        raise too_large(limit)
    return data


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is larger than the {limit / 2**20:g} MiB that are allowed here.")


def parse_json(data: bytes, limit: int = MAX_JSON_BYTES) -> Any:
    """JSON from the wire. Raises BadRequest (400) for what is not JSON, TooLarge."""
    try:
        return safejson.loads(data, max_bytes=limit, unique_names=True)
    except InvalidInput as exc:
        raise BadRequest(exc.detail, code=exc.code) from None


def ndjson(stream: IO[Any]) -> Iterator[Any]:
    """The values of a newline-delimited JSON stream, one line in memory at a time.

    Raises BadRequest naming the line. Empty lines are skipped.
    """
    number = 0
    for line in _lines(stream):
        number += 1
        if not line.strip():
            continue
        try:
            yield safejson.loads(line, max_bytes=MAX_LINE_BYTES, unique_names=True)
        except InvalidInput as exc:
            raise BadRequest(f"Line {number}: {exc.detail}", code=exc.code) from None


def _lines(stream: IO[Any]) -> Iterator[bytes]:
    rest = b""
    number = 0
    while chunk := stream.read(_CHUNK):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        for line in lines:
            number += 1
            yield line
        if len(rest) > MAX_LINE_BYTES:
            raise TooLarge(f"Line {number + 1} is longer than {MAX_LINE_BYTES / 2**20:g} MiB.")
    if rest:
        yield rest
