"""What both clients check and build before anything is sent."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import httpx

from apps.kernel.errors import FieldError, InvalidInput

Pairs = Mapping[str, Any] | Sequence[tuple[str, Any]]
Headers = Mapping[str, str] | Sequence[tuple[str, str]]

USER_AGENT = "IntegrationHub/1.0"
ACCEPT_ENCODING = "gzip, deflate"

_METHOD = re.compile(r"[A-Z]{1,20}\Z")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}\Z")
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
# Headers that frame the message or name the peer: another value than ours would let requests be smuggled.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def check_method(method: str) -> str:
    """The method in upper case. Raises InvalidInput."""
    upper = method.upper()
    if not _METHOD.match(upper) or upper in ("CONNECT", "TRACE"):
        raise InvalidInput(f"{method[:20]!r} is not an HTTP method that can be sent.", code="method_invalid")
    return upper


@lru_cache(maxsize=4096)
def _checked_name(name: str) -> str:
    """The name in lower case. Raises InvalidInput."""
    if not _HEADER_NAME.match(name):
        raise _invalid(name, "is not a valid header name")
    lower = name.lower()
    if lower in _OURS:
        raise _invalid(name, "is set by the hub and cannot be given")
    return lower


def check_headers(headers: Headers | None, auth: tuple[str, str] | None) -> list[tuple[str, str]]:
    """The headers to send, with our defaults and `auth` as Basic. Raises InvalidInput, quoting no value."""
    items = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    names = set()
    for name, value in items:
        lower = _checked_name(name)
        if not isinstance(value, str) or _BAD_VALUE.search(value):
            raise _invalid(name, "has a value with a line break or another control character")
        names.add(lower)
    if auth is not None and "authorization" not in names:
        items.append(("Authorization", "Basic " + b64encode(":".join(auth).encode()).decode("ascii")))
    if "user-agent" not in names:
        items.append(("User-Agent", USER_AGENT))
    if "accept" not in names:
        items.append(("Accept", "*/*"))
    if "accept-encoding" not in names:
        items.append(("Accept-Encoding", ACCEPT_ENCODING))
    return items


def with_params(url: str, params: Pairs | None) -> str:
    """The URL with `params` added to the query that it has."""
    if not params:
        return url
    query = str(httpx.QueryParams(params))  # type: ignore[arg-type]
    address, mark, fragment = url.partition("#")
    joint = "" if address.endswith(("?", "&")) else "&" if "?" in address else "?"
    return f"{address}{joint}{query}{mark}{fragment}"


def json_bytes(value: Any) -> bytes:
    """A JSON body. Raises ValueError for NaN, TypeError for what JSON cannot tell."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def _invalid(name: str, why: str) -> InvalidInput:
    shown = name[:60] if isinstance(name, str) else "?"
    return InvalidInput(
        f"The header {shown!r} {why}.",
        errors=[FieldError("/headers", "header_invalid", f"The header {shown!r} {why}.")],
        code="header_invalid",
    )
