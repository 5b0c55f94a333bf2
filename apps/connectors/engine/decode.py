"""From an answer's bytes to values: strategies that a manifest picks by `http.decode`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from apps.connectors.engine.errors import EngineError, Kind
from apps.connectors.engine.http import Response
from apps.kernel import safejson
from apps.kernel.errors import HubError

Decoder = Callable[[Response], Any]

MAX_BYTES = 64 * 2**20
_BOM = b"\xef\xbb\xbf"


def _opening(content: bytes) -> str:
    return " ".join(content[:80].decode("utf-8", "replace").split())


def _mended(value: Any) -> Any:
    """The value without characters that a database cannot store: they become U+FFFD."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if isinstance(value, dict):
        return {_mended(key): _mended(item) for key, item in value.items()}
    return value


def from_json(response: Response) -> Any:
    """JSON (RFC 8259). An empty body is null; what is not JSON is told with its beginning.

    One odd character must not hold up a page of rows, so it is replaced.
    """
    content = response.content.removeprefix(_BOM)
    if not content.strip():
        return None
    try:
        return safejson.loads(content, max_bytes=MAX_BYTES)
    except HubError as error:
        code, sentence = error.code, error.detail
    if code in ("nul_character", "invalid_json", "invalid_utf8"):
        try:
            return _mended(json.loads(content.decode("utf-8", "replace")))
        except (ValueError, RecursionError):
            pass
    media = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if code in ("too_large", "too_deep"):
        raise EngineError(Kind.FATAL, f"The answer cannot be read. {sentence}", status=response.status)
    if "json" in media:
        raise EngineError(
            Kind.TRANSIENT, "The answer is broken JSON; it may have been cut off.", status=response.status
        )
    raise EngineError(
        Kind.FATAL,
        f"The answer is not JSON but {media or 'of an unnamed type'}, beginning with “{_opening(content)}”. "
        "Check the base URL and the path.",
        status=response.status,
    )


DECODERS: dict[str, Decoder] = {"json": from_json}
