"""The asyncio HTTP client, for many calls at once; the same guarantees and answers as the blocking one.

async with AsyncOutbound(limit=100) as client:
    response = await client.request("POST", url, content=body, timeout=15, truncate_at=65536)

It speaks HTTP/1.1 by itself (`http1.py`, `pool.py`): deliveries of webhooks are what the hub makes most of,
and a general client's objects around each were half of what it cost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from apps.kernel.outbound import prepare
from apps.kernel.outbound.errors import OutboundConnectionFailed, OutboundError, OutboundTimeout
from apps.kernel.outbound.http1 import Connection, framed, head_of
from apps.kernel.outbound.policy import GetAddrInfo, OutboundPolicy, Target, check_url, default_policy
from apps.kernel.outbound.pool import Pool
from apps.kernel.outbound.response import OutboundResponse, headers_of

# RFC 9110, 9.2.2: what may be sent again when an idle connection turns out to have been closed.
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class AsyncOutbound:
    """A pool of at most `limit` connections under one policy, for one event loop; an async context manager.

    `getaddrinfo` has the signature of `socket.getaddrinfo`; it is called in a thread.
    """

    def __init__(
        self,
        policy: OutboundPolicy | None = None,
        *,
        limit: int = 100,
        getaddrinfo: GetAddrInfo = socket.getaddrinfo,
    ) -> None:
        self.policy = default_policy() if policy is None else policy
        self._limit = limit
        self._getaddrinfo = getaddrinfo
        self._pool: Pool | None = None

    async def __aenter__(self) -> Self:
        self._pool = Pool(self.policy, self._limit, self._getaddrinfo)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: prepare.Headers | None = None,
        params: prepare.Pairs | None = None,
        content: bytes | str | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        max_bytes: int = 10 * 2**20,
        truncate_at: int | None = None,
        verify: bool = True,
        allow_http: bool | None = None,
    ) -> OutboundResponse:
        """Send one request and read its answer; parameters and errors as of `Outbound.request`.

        `truncate_at`: read at most so many decoded bytes of the answer and mark it `truncated`, whatever its
        size; without it an answer of more than `max_bytes` raises OutboundTooLarge.
        """
        pool = self._pool
        if pool is None:
            raise RuntimeError("AsyncOutbound is used inside `async with`.")
        started = pool.loop.time()
        target = check_url(prepare.with_params(url, params), self.policy, allow_http=allow_http)
        method = prepare.check_method(method)
        pairs, body = _body(prepare.check_headers(headers, auth), content, json, data)
        whole = framed(head_of(method.encode(), target.url.raw_path, target.url.netloc, pairs), method, body)
        call = _Call(
            target=target,
            method=method,
            request=whole,
            deadline=started + timeout,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_bytes=max_bytes if truncate_at is None else truncate_at,
            truncate=truncate_at is not None,
            verify=verify,
        )
        return await call.answer(pool, started)


class _Call:
    """One request on its way; `timeout` and `connect_timeout` in seconds, `deadline` in the loop's time."""

    __slots__ = (
        "connect_timeout",
        "deadline",
        "max_bytes",
        "method",
        "request",
        "target",
        "timeout",
        "truncate",
        "verify",
    )  # fmt: skip

    def __init__(
        self,
        *,
        target: Target,
        method: str,
        request: bytes,
        deadline: float,
        timeout: float,
        connect_timeout: float,
        max_bytes: int,
        truncate: bool,
        verify: bool,
    ) -> None:
        self.target, self.method, self.request, self.verify = target, method, request, verify
        self.deadline, self.timeout, self.connect_timeout = deadline, timeout, connect_timeout
        self.max_bytes, self.truncate = max_bytes, truncate

    async def answer(self, pool: Pool, started: float) -> OutboundResponse:
        while True:
            try:
                connection = await pool.take(
                    self.target,
                    verify=self.verify,
                    connect_timeout=self.connect_timeout,
                    deadline=self.deadline,
                )
            except TimeoutError:
                raise self._late() from None
            try:
                return await self._exchange(connection, pool.loop, started)
            except OutboundConnectionFailed:
                stale = connection.answers and not connection.heard
                if not stale or self.method not in _IDEMPOTENT:
                    raise
            finally:
                pool.give_back(connection, self.target, verify=self.verify)

    async def _exchange(
        self, connection: Connection, loop: asyncio.AbstractEventLoop, started: float
    ) -> OutboundResponse:
        waiter = connection.ask(
            self.request,
            bodyless=self.method == "HEAD",
            max_bytes=self.max_bytes,
            truncate=self.truncate,
        )
        timer = loop.call_at(self.deadline, self._expire, connection)
        try:
            await waiter
        finally:
            timer.cancel()
        reader = connection.reader
        assert reader is not None
        return OutboundResponse(
            status=connection.status,
            headers=headers_of(connection.headers),
            content=reader.result(),
            elapsed_ms=round((loop.time() - started) * 1000),
            url=self.target.text,
            truncated=reader.truncated,
        )

    def _expire(self, connection: Connection) -> None:
        connection.end(self._late())

    def _late(self) -> OutboundError:
        return OutboundTimeout(f"{self.target.origin} did not answer completely within {self.timeout:g} s.")


def _body(
    pairs: list[tuple[str, str]], content: bytes | str | None, json: Any, data: Mapping[str, Any] | None
) -> tuple[list[tuple[str, str]], bytes | None]:
    kind = None
    if isinstance(content, str):
        content = content.encode()
    if content is None and json is not None:
        content, kind = prepare.json_bytes(json), "application/json"
    elif content is None and data is not None:
        content, kind = urlencode(data, doseq=True).encode("ascii"), "application/x-www-form-urlencoded"
    if kind is not None and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", kind))
    return pairs, content
