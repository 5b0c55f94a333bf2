"""ETag, If-Match and If-None-Match (RFC 9110 §13) for objects that people edit."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.errors import Conflict


class PreconditionFailed(Conflict):
    """The object is no longer what the caller's If-Match says."""

    code = "precondition_failed"
    status = 412
    title = "The object was changed meanwhile"


def etag_of(obj: Any) -> str:
    """The strong ETag of an object: its `version`, if it has one, and the moment of its last change."""
    version = getattr(obj, "version", "")
    moment = obj.updated_at.timestamp()
    return f'"{version}-{int(moment * 1_000_000):x}"'


def of_value(value: Any) -> str:
    """The strong ETag of what is no single row: of the very value that is answered."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS)
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def check(request: Request, obj: Any) -> bool:
    """Whether If-Match was given (and agrees). Raises PreconditionFailed if it does not."""
    return check_tag(request, etag_of(obj))


def check_tag(request: Request, current: str) -> bool:
    """As `check`, for a thing whose ETag is `current`."""
    given = request.META.get("HTTP_IF_MATCH")
    if not given:
        return False
    if given.strip() != "*" and current not in parse_etags(given):
        raise PreconditionFailed(
            f"It is now at {current}. Read it again, apply your change, and send its ETag in If-Match."
        )
    return given.strip() != "*"


def is_known(request: Request, current: str) -> bool:
    """Whether If-None-Match says that the caller has this very state (the answer is then 304)."""
    given = request.META.get("HTTP_IF_NONE_MATCH")
    if not given:
        return False
    known = [tag.removeprefix("W/") for tag in parse_etags(given)]
    return "*" in known or current in known


def respond(request: Request, obj: Any, data: Any, *, status: int = 200) -> Response:
    """The answer for one object, with its ETag; 304 without a body if the caller has it already."""
    return respond_tag(request, etag_of(obj), data, status=status)


def respond_tag(request: Request, current: str, data: Any, *, status: int = 200) -> Response:
    """As `respond`, for a thing whose ETag is `current`."""
    headers = {"ETag": current}
    if request.method in ("GET", "HEAD") and is_known(request, current):
        return Response(status=304, headers=headers)
    return Response(data, status=status, headers=headers)
