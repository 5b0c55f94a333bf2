"""The error tree: what every refusal and failure in the hub is made of.

Each error is either transient (the same call may succeed later, so background work retries it) or
terminal (it will not). Each has a stable `code` for programs and a `detail`, one sentence that says what
happened, to which object, and what to do next. The API renders them as RFC 9457 problems.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with one value. `pointer` is an RFC 6901 JSON pointer into the caller's input."""

    pointer: str
    code: str
    detail: str


class HubError(Exception):
    """Base of all errors that the hub raises on purpose. `status` is the HTTP status it maps to."""

    code = "error"
    status = 500
    title = "The request could not be completed"
    transient = False

    def __init__(self, detail: str = "", *, code: str | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        if code is not None:
            self.code = code


class TransientError(HubError):
    """It may work later: a time-out, a busy peer, a lost race for a lease."""

    code = "temporarily_unavailable"
    status = 503
    title = "Temporarily unavailable"
    transient = True


class TerminalError(HubError):
    """It will not work by trying again."""


class InvalidInput(TerminalError):
    """The caller's input is wrong; `errors` name each value."""

    code = "invalid"
    status = 422
    title = "The input is not valid"

    def __init__(
        self, detail: str = "", *, errors: Sequence[FieldError] = (), code: str | None = None
    ) -> None:
        super().__init__(detail, code=code)
        self.errors = list(errors)


class BadRequest(InvalidInput):
    """The request itself cannot be understood (syntax, unknown parameters)."""

    code = "bad_request"
    status = 400
    title = "The request could not be understood"


class EncodedBody(BadRequest):
    """A packed body could unfold to any size; programs that send one are told so."""

    code = "content_encoding_not_supported"
    status = 415
    title = "The body is encoded"


class Unauthenticated(TerminalError):
    code = "unauthenticated"
    status = 401
    title = "Authentication is required"


class Forbidden(TerminalError):
    code = "forbidden"
    status = 403
    title = "Not allowed"


class NotFound(TerminalError):
    """Does not exist, or belongs to another organization: the two are told alike."""

    code = "not_found"
    status = 404
    title = "Not found"


class Conflict(TerminalError):
    code = "conflict"
    status = 409
    title = "The object is not in a state that allows this"


class RaceLost(Conflict):
    """A compare-and-set changed no row: someone else was faster."""

    code = "race_lost"
    title = "The object was changed by someone else meanwhile"


class TooLarge(TerminalError):
    code = "too_large"
    status = 413
    title = "The input is too large"


class RateLimited(TransientError):
    code = "rate_limited"
    status = 429
    title = "Too many requests"

    def __init__(self, detail: str = "", *, retry_after: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.retry_after = max(1, retry_after)
