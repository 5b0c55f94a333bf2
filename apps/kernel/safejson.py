"""JSON from strangers: bounded in size and depth, and nothing that the database cannot store."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import orjson

from apps.kernel.errors import InvalidInput, TooLarge

MAX_BYTES = 10 * 2**20
MAX_DEPTH = 64

# An even number of backslashes before it, or it is an escaped backslash followed by "u0000".
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_STRINGS = re.compile(rb'"[^"]*"')
_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")


def loads(
    data: bytes | str,
    *,
    max_bytes: int = MAX_BYTES,
    max_depth: int = MAX_DEPTH,
    unique_names: bool = False,
) -> Any:
    """Parse JSON (RFC 8259).

    Raises TooLarge above `max_bytes`; InvalidInput for bad syntax or UTF-8, NaN and infinities, lone
    surrogates, nesting deeper than `max_depth`, NUL characters (which PostgreSQL cannot store), and numbers
    beyond 1.8e308. Of names given twice in an object the last counts, unless `unique_names` refuses. Whole
    numbers beyond 64 bits keep their digits.
    """
    if isinstance(data, str):
        try:
            data = data.encode()
        except UnicodeEncodeError:
            raise InvalidInput(
                "The JSON text contains half of a surrogate pair.", code="invalid_json"
            ) from None
    if len(data) > max_bytes:
        raise TooLarge(f"The JSON text has {len(data):,} bytes; at most {max_bytes:,} are allowed.")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise _syntax_error(exc, data, max_depth) from None
    if data.count(b"[") + data.count(b"{") > max_depth and _depth_exceeds(data, max_depth):
        raise _too_deep(max_depth)
    if b"\\u0000" in data and _NUL_ESCAPE.search(data):
        raise InvalidInput(
            "The JSON text contains the character U+0000, which cannot be stored.", code="nul_character"
        )
    if unique_names:
        _refuse_duplicates(data, value)
    if _LONG_NUMBER.search(data):
        # orjson reads whole numbers beyond 64 bits as floats, which loses digits of identifiers.
        value = json.loads(data)
    return value


def dumps_canonical(obj: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: equal values give equal bytes.

    Decimals become text, NaN and infinities null. Raises TypeError for what JSON cannot tell.
    """
    try:
        return orjson.dumps(obj, default=_default, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as exc:
        if "64-bit" not in str(exc):
            raise TypeError(str(exc)) from None
    return json.dumps(
        obj, default=_default, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} is not JSON")


def _refuse_duplicates(data: bytes, value: Any) -> None:
    """Raises InvalidInput if an object names a member twice, which readers understand differently."""
    # What was parsed holds each name once: written again it has fewer quotation marks, if any was dropped. An
    # escaped one would disturb the count, so then the slow way tells.
    if b"\\u0022" not in data and data.count(b'"') == orjson.dumps(value).count(b'"'):
        return

    def one_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise InvalidInput(
                f"An object of the JSON text has two members “{twice[:60]}”. Send each once.",
                code="duplicate_name",
            )
        return made

    json.loads(data, object_pairs_hook=one_each)


def _depth_exceeds(data: bytes, max_depth: int) -> bool:
    """Whether valid JSON nests deeper. Without recursion: each round takes the innermost brackets away."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = data.translate(_TO_SQUARE, _OTHERS).replace(b'""', b"")
    if b'"' in brackets:
        # A text holds brackets: before it stands an odd number of quotes, so pairing all of them failed.
        brackets = _STRINGS.sub(b"", data.translate(_TO_SQUARE, _OTHERS))
    for _ in range(max_depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _syntax_error(exc: orjson.JSONDecodeError, data: bytes, max_depth: int) -> InvalidInput:
    text = str(exc)
    if "depth limit" in text:
        return _too_deep(max_depth)
    if "surrogate" in text and "UTF-8" not in text:
        return InvalidInput("The JSON text contains half of a surrogate pair.", code="invalid_json")
    if "infinity" in text:
        return InvalidInput("The JSON text contains a number beyond 1.8e308.", code="invalid_json")
    try:
        data.decode()
    except UnicodeDecodeError as bad:
        return InvalidInput(f"The JSON text is not valid UTF-8 at byte {bad.start}.", code="invalid_utf8")
    return InvalidInput(
        f"The text is not valid JSON at line {exc.lineno}, column {exc.colno}: {exc.msg}.",
        code="invalid_json",
    )


def _too_deep(max_depth: int) -> InvalidInput:
    return InvalidInput(f"The JSON text is nested deeper than {max_depth} levels.", code="too_deep")
