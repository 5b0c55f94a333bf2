"""Sending many requests at once: an event loop in a thread of its own, fed and emptied by the dispatcher.

The loop does nothing but HTTP; the database stays with the dispatcher's thread.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from django.utils import timezone

from apps.kernel.errors import HubError, TransientError
from apps.kernel.outbound import OutboundError, OutboundResponse, OutboundTimeout, default_policy
from apps.kernel.outbound.aio import AsyncOutbound
from apps.webhooks.services.claims import Claimed
from apps.webhooks.services.requests import CONNECT_SECONDS, READ_BYTES, Request, narrowed
from apps.webhooks.services.tokens import ClientCredentials, Tokens


def _most() -> int:
    """Requests that one worker may have under way: each needs an open file, beside those of the rest."""
    if os.name != "posix":
        return 400
    import resource

    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 800 if allowed == resource.RLIM_INFINITY else max(50, min(800, allowed - 200))


MAX_CONNECTIONS = _most()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one attempt. `status` is None without an answer; then `error_code` says why."""

    job: Claimed
    finished_at: datetime
    duration_ms: int
    status: int | None = None
    error_code: str = ""
    error: str = ""
    permanent: bool = False  # trying again cannot help
    shown: dict[str, str] = field(default_factory=dict)
    response: OutboundResponse | None = None
    hidden: tuple[str, ...] = field(default=(), repr=False)  # what an answer that echoes it must not show

    @property
    def succeeded(self) -> bool:
        return self.status is not None and 200 <= self.status < 300 and not self.error_code


class Sender:
    """`submit` requests, `collect` outcomes.

    A context manager; leaving it abandons what is still in flight.
    """

    def __init__(self) -> None:
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._clients: dict[tuple[str, ...], AsyncOutbound] = {}
        self._stack: AsyncExitStack | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._tokens = Tokens()
        self._thread = threading.Thread(target=self._run, name="webhook-sender", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def submit(self, work: list[tuple[Claimed, Request, tuple[str, ...]]]) -> None:
        """Send requests, each to the networks given with it (all that the hub may call, if none)."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._start, work)

    def finish(self, outcome: Outcome) -> None:
        """Put in an outcome that needed no request."""
        self._done.put(outcome)

    def collect(self, *, wait: float, most: int) -> list[Outcome]:
        """Up to `most` outcomes, waiting up to `wait` seconds for the first."""
        found: list[Outcome] = []
        try:
            found.append(self._done.get(timeout=wait) if wait > 0 else self._done.get_nowait())
            while len(found) < most:
                found.append(self._done.get_nowait())
        except queue.Empty:
            pass
        return found

    def _run(self) -> None:
        factory: Any = None
        if sys.platform != "win32":
            import uvloop

            factory = uvloop.new_event_loop
        try:
            with asyncio.Runner(loop_factory=factory) as runner:
                runner.run(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            self._loop, self._stop, self._stack = asyncio.get_running_loop(), asyncio.Event(), stack
            self._ready.set()
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: list[tuple[Claimed, Request, tuple[str, ...]]]) -> None:
        assert self._loop is not None
        for job, request, networks in work:
            task = self._loop.create_task(self._send(job, request, networks))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _client(self, networks: tuple[str, ...]) -> AsyncOutbound:
        client = self._clients.get(networks)
        if client is None:
            client = AsyncOutbound(narrowed(default_policy(), networks), limit=MAX_CONNECTIONS)
            self._clients[networks] = client
            assert self._stack is not None
            await self._stack.enter_async_context(client)
        return client

    async def _send(self, job: Claimed, request: Request, networks: tuple[str, ...]) -> None:
        started = time.monotonic()
        token = ""
        try:
            client = await self._client(networks)
            if request.oauth is None:
                response = await _post(client, request, request.headers, request.timeout)
            else:
                response, token = await self._send_with_token(client, request, request.oauth, started)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            outcome = _failed(job, request, error, started)
        else:
            outcome = _answered(job, request, response, hidden=(token,) if token else ())
        self._done.put(outcome)

    async def _send_with_token(
        self, client: AsyncOutbound, request: Request, wanted: ClientCredentials, started: float
    ) -> tuple[OutboundResponse, str]:
        """Send with an access token; with a new one, once, if the receiver refuses it."""
        # The token's address has nothing to do with the networks that the endpoint allows itself.
        authority = await self._client(())
        refused = ""
        while True:
            left = request.timeout - (time.monotonic() - started)
            if left <= 0:
                raise OutboundTimeout(f"The receiver did not answer completely within {request.timeout:g} s.")
            token = await self._tokens.get(authority, wanted, timeout=left, refused=refused)
            left = max(request.timeout - (time.monotonic() - started), 0.01)
            headers = (*request.headers, ("Authorization", f"Bearer {token}"))
            response = await _post(client, request, headers, left)
            if response.status != 401 or refused:
                return response, token
            refused = token


async def _post(
    client: AsyncOutbound, request: Request, headers: tuple[tuple[str, str], ...], timeout: float
) -> OutboundResponse:
    return await client.request(
        request.method,
        request.url,
        headers=headers,
        content=request.body,
        timeout=timeout,
        connect_timeout=min(CONNECT_SECONDS, timeout),
        truncate_at=READ_BYTES,
        verify=request.verify,
        allow_http=request.allow_http,
    )


def _answered(
    job: Claimed, request: Request, response: OutboundResponse, *, hidden: tuple[str, ...] = ()
) -> Outcome:
    good = 200 <= response.status < 300
    return Outcome(
        job=job,
        finished_at=timezone.now(),
        duration_ms=response.elapsed_ms,
        status=response.status,
        error_code="" if good else "status",
        error="" if good else f"The receiver answered {response.status}.",
        shown=request.shown,
        response=response,
        hidden=hidden,
    )


def _failed(job: Claimed, request: Request, error: Exception, started: float) -> Outcome:
    known = isinstance(error, HubError)
    return Outcome(
        job=job,
        finished_at=timezone.now(),
        duration_ms=round((time.monotonic() - started) * 1000),
        error_code=error.code if isinstance(error, HubError) else "unexpected",
        error=str(error)[:300] if known else f"Unexpected: {type(error).__name__}.",
        # An address may be another one tomorrow; a request that cannot be built will not build itself.
        permanent=known and not isinstance(error, (OutboundError, TransientError)),
        shown=request.shown,
    )
