"""Errors as RFC 9457 problem details, whatever raised them.

Each problem has type, title, status, detail, instance, request_id and code; validation adds `errors`, one per
wrong value, each with an RFC 6901 pointer into the body (or `?name` for a query parameter).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db.models.deletion import ProtectedError, RestrictedError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.utils.encoding import escape_uri_path
from rest_framework import exceptions
from rest_framework.response import Response

from apps.kernel.api import context
from apps.kernel.errors import (
    BadRequest,
    Conflict,
    FieldError,
    Forbidden,
    HubError,
    InvalidInput,
    NotFound,
    RateLimited,
    TooLarge,
    TransientError,
    Unauthenticated,
)

logger = logging.getLogger("hub.api")

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "/api/errors#"
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"
CHALLENGE = 'Bearer realm="Integration Hub"'

_BY_STATUS: dict[int, type[HubError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    413: TooLarge,
    429: RateLimited,
    503: TransientError,
}


class InternalError(HubError):
    """What nobody meant to raise. Its cause is in the log, not in the answer."""

    code = "internal_error"
    title = "Internal error"

    def __init__(self) -> None:
        super().__init__(
            "Something went wrong on our side, and was logged. Give the request id when you ask about it."
        )


def body_of(error: HubError, *, path: str) -> dict[str, Any]:
    """The problem document of an error that was raised on purpose."""
    document: dict[str, Any] = {
        "type": QUOTA_EXCEEDED if error.status == 429 else f"{TYPE_BASE}{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": escape_uri_path(path),
        "request_id": context.request_id.get(),
        "code": error.code,
    }
    wrong = getattr(error, "errors", None)
    if wrong:
        document["errors"] = [{"pointer": e.pointer, "code": e.code, "detail": e.detail} for e in wrong]
    extra = getattr(error, "problem_members", None)
    if extra:
        document.update(extra)
    return document


def _headers_of(error: HubError) -> dict[str, str]:
    if isinstance(error, RateLimited):
        return {"Retry-After": str(error.retry_after), "Cache-Control": "no-store"}
    if error.status == 401:
        # RFC 6750 §3: what was wrong with a token is told beside the scheme; nothing where none was given.
        more = getattr(error, "challenge", "")
        return {
            "WWW-Authenticate": f"{CHALLENGE}, {more}" if more else CHALLENGE,
            "Cache-Control": "no-store",
        }
    if error.status == 503:
        return {"Retry-After": "5"}
    return dict(getattr(error, "headers", {}))


def exception_handler(exc: Exception, view_context: Mapping[str, Any]) -> Response:
    """DRF's exception handler: every exception becomes a problem; unexpected ones are logged, not told."""
    request = view_context.get("request")
    path = request.path if request is not None else ""
    error = as_hub_error(exc)
    if error is None:
        logger.exception("Unexpected error in %s %s", getattr(request, "method", ""), path, exc_info=exc)
        error = InternalError()
    elif error.status >= 500 and not error.transient:
        logger.error("%s %s failed: %s", getattr(request, "method", ""), path, error, exc_info=exc)
    response = Response(body_of(error, path=path), status=error.status, headers=_headers_of(error))
    response.content_type = MEDIA_TYPE
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django would log it once more
    allow = getattr(exc, "allow", None)
    if allow:
        response["Allow"] = allow
    return response


def as_hub_error(exc: Exception) -> HubError | None:
    """The error that a problem tells, or None for one that nobody meant to raise."""
    if isinstance(exc, HubError):
        return exc
    if isinstance(exc, exceptions.ValidationError):
        return _invalid(list(field_errors(exc.detail)))
    if isinstance(exc, DjangoValidationError):
        return _invalid(list(_django_errors(exc)))
    if isinstance(exc, Http404):
        return NotFound("There is no such object.")
    if isinstance(exc, PermissionDenied):
        return Forbidden(str(exc))
    if isinstance(exc, exceptions.Throttled):
        return RateLimited(str(exc.detail), retry_after=int(getattr(exc, "wait", None) or 1))
    if isinstance(exc, exceptions.APIException):
        return _from_api_exception(exc)
    if isinstance(exc, RequestDataTooBig):
        return TooLarge("The body of the request is too large.")
    if isinstance(exc, ProtectedError | RestrictedError):
        return _still_needed(exc)
    if isinstance(exc, UnreadablePostError | RawPostDataException):
        return BadRequest("The body of the request could not be read to its end.", code="unreadable_body")
    if isinstance(exc, SuspiciousOperation):
        return BadRequest()
    return None


def _invalid(errors: list[FieldError]) -> InvalidInput:
    """The first mistakes in a sentence, all of them in `errors`."""
    told = [f"{error.pointer}: {error.detail}" if error.pointer else error.detail for error in errors[:3]]
    more = f" And {len(errors) - 3} more." if len(errors) > 3 else ""
    return InvalidInput(" ".join(told) + more, errors=errors)


def _still_needed(exc: ProtectedError | RestrictedError) -> Conflict:
    """Deleting what others depend on is refused with the names of some of them."""
    objects = exc.protected_objects if isinstance(exc, ProtectedError) else exc.restricted_objects
    names = [str(item) for item in list(objects)[:5]]
    return Conflict(f"It is still needed by {', '.join(names)}.", code="still_needed")


def _from_api_exception(exc: exceptions.APIException) -> HubError:
    kind = _BY_STATUS.get(exc.status_code, HubError)
    detail = str(exc.detail) if not isinstance(exc.detail, list | dict) else ""
    codes = exc.get_codes()
    error = kind(detail)
    error.status = exc.status_code
    if kind is HubError:
        error.title = HTTPStatus(exc.status_code).phrase
        error.code = codes if isinstance(codes, str) else "error"
    return error


def field_errors(detail: Any, pointer: str = "") -> Iterator[FieldError]:
    """DRF's nested error detail as a flat list with JSON pointers."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            here = pointer if name == "non_field_errors" else f"{pointer}/{escape(str(name))}"
            yield from field_errors(inner, here)
    elif isinstance(detail, Sequence) and not isinstance(detail, str):
        for index, inner in enumerate(detail):
            # A list of messages is about one value; a list of mappings is about its items.
            if isinstance(inner, Mapping | list):
                yield from field_errors(inner, f"{pointer}/{index}")
            else:
                yield from field_errors(inner, pointer)
    elif detail:
        yield FieldError(pointer, str(getattr(detail, "code", None) or "invalid"), str(detail))


def _django_errors(exc: DjangoValidationError) -> Iterator[FieldError]:
    if hasattr(exc, "error_dict"):
        for name, errors in exc.error_dict.items():
            pointer = "" if name == "__all__" else f"/{escape(name)}"
            for error in errors:
                for message in error.messages:
                    yield FieldError(pointer, str(error.code or "invalid"), message)
    else:
        for error in exc.error_list:
            for message in error.messages:
                yield FieldError("", str(error.code or "invalid"), message)


def escape(token: str) -> str:
    """One reference token of a JSON pointer (RFC 6901 §3)."""
    return token.replace("~", "~0").replace("/", "~1")


# For what never reaches a view: a host that is not ours, a broken path, an error in a middleware.


def respond(request: HttpRequest, error: HubError) -> HttpResponse:
    """A problem as a plain Django response."""
    return JsonResponse(
        body_of(error, path=request.path),
        status=error.status,
        headers=_headers_of(error),
        content_type=MEDIA_TYPE,
    )
