"""The limits at the door of the API: counted after everything else about a call has been found right."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.apikeys import limiter, public_limits, quotas
from apps.apikeys.limiter.plans import ONE, SECOND, WINDOWS, Counter, Verdict
from apps.apikeys.principals import Subject, subject_of
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.versions import canonical_path
from apps.kernel.errors import RateLimited

logger = logging.getLogger("hub.limits")


class LimitExceeded(RateLimited):
    """A call more than one of the caller's limits allows. It was not counted."""

    def __init__(self, verdict: Verdict) -> None:
        seconds = verdict.retry_after
        names = [counter.name for counter in verdict.violated]
        told = " and ".join(_told(counter) for counter in verdict.violated)
        super().__init__(f"{told}. Try again in {_duration(seconds)}.", retry_after=seconds)
        self.problem_members: dict[str, list[str]] = {"violated-policies": names}


class LimitsUnavailable(RateLimited):
    """The shared counters cannot be reached, and this installation lets no call pass uncounted."""

    code = "limits_unavailable"

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(
            "Calls cannot be counted at the moment, and this hub lets none pass uncounted. "
            f"Try again in {_duration(verdict.retry_after)}.",
            retry_after=verdict.retry_after,
        )
        self.problem_members: dict[str, list[str]] = {"violated-policies": []}


class HubThrottle(BaseThrottle):
    """Counts a call in every limit that holds for its caller, or refuses it with 429 and counts nothing.

    What the limiter learned on the way (another process revoked a key, or changed what it may do) is acted on
    at once: the caller is asked for its credentials again.
    """

    def allow_request(self, request: Request, view: Any) -> bool:
        inner: Any = request._request
        if view.needed_scope() == PUBLIC:
            public_limits.check_view(inner, view)
            return True
        caller: Any = request.auth
        subject = subject_of(caller)
        if subject is None:
            return True
        organization = caller.organization
        method = "GET" if inner.method == "HEAD" else inner.method
        path = canonical_path(inner.path).removeprefix("/api")
        plan = quotas.rules_of(organization.pk).plan_for(organization.pk, subject, method, path)
        checker = limiter.get()
        verdict = checker.check(plan)
        inner.hub_limits = verdict
        seen = inner.__dict__.get("hub_generation")
        if seen is not None and seen != checker.generation():
            self._ask_again(request, view)
        if plan.counters:
            self._tell(view.headers, verdict)
            shares.notice(subject, verdict)
        if not verdict.passed:
            raise (
                LimitExceeded(verdict)
                if verdict.shared or checker.counts_locally
                else LimitsUnavailable(verdict)
            )
        return True

    @staticmethod
    def _ask_again(request: Request, view: Any) -> None:
        """Who came in with what this process remembered comes in with what is stored now, or not at all."""
        request._authenticate()  # type: ignore[attr-defined]
        view.check_permissions(request)

    @staticmethod
    def _tell(headers: dict[str, str], verdict: Verdict) -> None:
        headers["RateLimit-Policy"] = verdict.plan.policy
        headers["RateLimit"] = verdict.limit_header()
        if settings.LIMITS_LEGACY_HEADERS:
            counter, standing = verdict.scarcest()  # type: ignore[misc]
            headers["X-RateLimit-Limit"] = str(counter.limit)
            headers["X-RateLimit-Remaining"] = str(standing.remaining)
            headers["X-RateLimit-Reset"] = str(int(time.time()) + -(-standing.wait // SECOND))


class Shares:
    """Tells whoever asked how much of a limit is used: once for each step, at most once in a window."""

    STEP = 5  # per cent
    FROM = 50
    MOST = 20_000

    def __init__(self) -> None:
        self._listeners: list[Callable[[Subject, str, float], None]] = []
        self._told: dict[tuple[Subject, str], tuple[int, float]] = {}
        self._lock = threading.Lock()

    def listen(self, listener: Callable[[Subject, str, float], None]) -> None:
        """`listener(subject, window, share)`: quick, on the request's thread. 1.0 is all of it."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def notice(self, subject: Subject, verdict: Verdict) -> None:
        if not self._listeners:
            return
        for counter, standing in zip(verdict.plan.counters, verdict.standings, strict=True):
            used = 100 * (counter.limit - standing.remaining) // counter.limit
            if used >= self.FROM and counter.name in WINDOWS:
                self._tell(subject, counter, used - used % self.STEP)

    def _tell(self, subject: Subject, counter: Counter, step: int) -> None:
        now, name = time.monotonic(), (subject, counter.name)
        with self._lock:
            before, until = self._told.get(name, (0, 0.0))
            if now < until and step <= before:
                return
            if len(self._told) >= self.MOST:
                self._told.clear()
            self._told[name] = (step, now + counter.seconds)
        for listener in self._listeners:
            try:
                listener(subject, counter.name, step / 100)
            except Exception:
                logger.exception("A listener to the shares of limits failed.")

    def forget_all(self) -> None:
        self._told.clear()


shares = Shares()


def on_share(listener: Callable[[Subject, str, float], None]) -> None:
    """Be told when a caller has used 50, 55, … 100 per cent of its limit by the minute, hour or day.

    `listener(subject, window, share)` is called on the request's thread and must be quick (enqueue a task).
    It may be told the same share again a window later, and once by each process.
    """
    shares.listen(listener)


def _told(counter: Counter) -> str:
    name, _, endpoint = counter.name.partition(" ")
    where = f" to {endpoint}" if endpoint else ""
    if name == "burst":
        return f"More than {counter.limit:,} calls{where} came at once"
    return f"The limit of {counter.limit:,} calls{where} {ONE[name]} is used up"


def _duration(seconds: int) -> str:
    if seconds < 120:
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    if seconds < 7200:
        return f"{-(-seconds // 60)} minutes"
    return f"{-(-seconds // 3600)} hours"


__all__ = ["HubThrottle", "LimitExceeded", "LimitsUnavailable", "on_share"]
