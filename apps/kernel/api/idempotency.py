"""Idempotency-Key on POST (draft-ietf-httpapi-idempotency-key-header): the same call has one effect.

Within 24 hours, the same caller, method, path and key with the same body get the stored answer, marked
`Idempotent-Replayed: true`; another body gets 422; while the first still runs, 409. Answers of status 429 and
5xx are not stored: trying again tries again. A call that crashed frees its key when its lease ends.

The kernel has no tables: the store is registered by the app that has one (`use`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

import orjson
from django.http import HttpResponse
from django.utils.http import parse_header_parameters
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api import bodies
from apps.kernel.api.changes import answer_down
from apps.kernel.api.renderers import HubJSONRenderer, dumps
from apps.kernel.api.versions import canonical_path
from apps.kernel.errors import BadRequest, Conflict, InvalidInput

HOURS = 24
REPLAYED = "Idempotent-Replayed"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_KEPT_HEADERS = ("Location", "ETag", "Content-Type", "Link")


@dataclass(frozen=True, slots=True)
class Call:
    """What identifies a call: who, which key, where; and the fingerprint of what was sent."""

    organization_id: UUID
    caller: str
    key: str
    method: str
    path: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A stored answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class InFlight(Conflict):
    code = "idempotency_in_flight"
    title = "The same call is still running"


class OtherBody(InvalidInput):
    code = "idempotency_key_reused"
    title = "The Idempotency-Key was used for another body"


class Store(Protocol):
    """Where answers are kept."""

    def begin(self, call: Call, *, lease: int) -> Answer | UUID:
        """The stored answer, or a token with which the call may run. Raises InFlight or OtherBody."""

    def finish(self, token: UUID, answer: Answer) -> None:
        """Keep the answer, if the token still holds the call."""

    def release(self, token: UUID) -> None:
        """Forget the call, so that it may be tried again."""


_store: Store | None = None


def use(store: Store) -> None:
    """Register the store, in `AppConfig.ready()`."""
    global _store
    _store = store


def run(view: Any, request: Request, handler: Callable[[], Any]) -> HttpResponse:
    """Answer a POST that has an Idempotency-Key: replay, or run the handler and keep what it answers."""
    token: UUID | None = None
    try:
        caller = request.auth
        if caller is None or _store is None:
            return view.finish(handler())
        found = _store.begin(_call_of(view, request), lease=view.idempotency_lease)
        if isinstance(found, Answer):
            return view.marked(_replay(request, found))
        token = found
        response = handler()
    except Exception as exc:
        response = view.handle_exception(exc)
    try:
        response = view.finish(response)
        if isinstance(response, Response):
            response.render()
    except BaseException:
        if token is not None and _store is not None:
            _store.release(token)
        raise
    if token is not None and _store is not None:
        _keep(_store, token, response)
    return response


def _keep(store: Store, token: UUID, response: HttpResponse) -> None:
    if response.status_code == 429 or response.status_code >= 500 or response.streaming:
        store.release(token)
        return
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    store.finish(token, Answer(response.status_code, _newest(response), headers))


def _newest(response: HttpResponse) -> bytes:
    """The body as the newest revision has it: what any revision's replay is made from."""
    if isinstance(response, Response) and isinstance(response.accepted_renderer, HubJSONRenderer):
        return b"" if response.data is None else dumps(response.data)
    return bytes(response.content)


def _replay(request: Request, answer: Answer) -> HttpResponse:
    body = answer.body
    if body and "json" in answer.headers.get("Content-Type", ""):
        data = orjson.loads(body)
        made = answer_down(request, data, answer.status)
        body = body if made is data else dumps(made)
    return HttpResponse(body, status=answer.status, headers={**answer.headers, REPLAYED: "true"})


def _call_of(view: Any, request: Request) -> Call:
    key = request.META["HTTP_IDEMPOTENCY_KEY"].strip()
    if not _KEY.fullmatch(key):
        raise BadRequest(
            "Idempotency-Key must be 1 to 255 visible ASCII characters; a random UUID is a good choice.",
            code="invalid_idempotency_key",
        )
    caller: Any = request.auth
    return Call(
        organization_id=caller.organization.pk,
        caller=f"{caller.actor.kind}:{caller.actor.ref}",
        key=key,
        method=request.method or "",
        path=canonical_path(request.path),
        fingerprint=_fingerprint(view, request),
    )


def _fingerprint(view: Any, request: Request) -> str:
    """SHA-256 of query string, content type and body. The body can be read again afterwards."""
    inner: Any = request._request
    content_type, options = parse_header_parameters(inner.META.get("CONTENT_TYPE", ""))
    digest = hashlib.sha256()
    for part in (inner.META.get("QUERY_STRING", ""), content_type):
        digest.update(part.encode("utf-8", "surrogateescape") + b"\0")
    # Clients choose the boundary of a multipart body anew at each try.
    boundary = options.get("boundary", "").encode("utf-8", "surrogateescape")
    tail = b""
    for chunk in bodies.chunks(request, limit=bodies.limit_of(view)):
        if boundary:
            chunk = (tail + chunk).replace(boundary, b"")
            keep = len(boundary) - 1
            tail, chunk = chunk[-keep:], chunk[:-keep]
        digest.update(chunk)
    digest.update(tail)
    return digest.hexdigest()
