"""ETag, If-Match and If-None-Match (RFC 9110 §13) for objects that people edit."""

from __future__ import annotations

from typing import Any

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


def check(request: Request, obj: Any) -> bool:
    """Whether If-Match was given (and agrees). Raises PreconditionFailed if it does not."""
    given = request.META.get("HTTP_IF_MATCH")
    if not given:
        return False
    current = etag_of(obj)
    if given.strip() != "*" and current not in parse_etags(given):
        raise PreconditionFailed(
            f"It is now at {current}. Read it again, apply your change, and send its ETag in If-Match."
        )
    return given.strip() != "*"


def is_known(request: Request, obj: Any) -> bool:
    """Whether If-None-Match says that the caller has this very state (the answer is then 304)."""
    given = request.META.get("HTTP_IF_NONE_MATCH")
    if not given:
        return False
    known = [tag.removeprefix("W/") for tag in parse_etags(given)]
    return "*" in known or etag_of(obj) in known


def respond(request: Request, obj: Any, data: Any, *, status: int = 200) -> Response:
    """The answer for one object, with its ETag; 304 without a body if the caller has it already."""
    headers = {"ETag": etag_of(obj)}
    if request.method in ("GET", "HEAD") and is_known(request, obj):
        return Response(status=304, headers=headers)
    return Response(data, status=status, headers=headers)
