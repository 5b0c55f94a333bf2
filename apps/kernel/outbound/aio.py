"""The asyncio HTTP client, for many calls at once; the same guarantees and answers as the blocking one.

async with AsyncOutbound(limit=100) as client:
    response = await client.request("POST", url, content=body, timeout=15, truncate_at=65536)
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from apps.kernel.outbound import prepare, tls
from apps.kernel.outbound.errors import (
    OutboundBlocked,
    OutboundConnectionFailed,
    OutboundError,
    OutboundProtocolError,
    OutboundTimeout,
)
from apps.kernel.outbound.names import addresses_async
from apps.kernel.outbound.policy import (
    GetAddrInfo,
    OutboundPolicy,
    Target,
    admit,
    check_url,
    default_policy,
    numeric_address,
    permits_text,
)
from apps.kernel.outbound.response import BodyReader, OutboundResponse, headers_of

IDLE_SECONDS = 15.0
# How long an answer of the name servers, which this client's policy has admitted, serves new connections.
NAME_SECONDS = 5

logging.getLogger("aiohttp.client").setLevel(logging.WARNING)


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
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = _GuardedConnector(
            policy=self.policy,
            resolver=_Resolver(self.policy, self._getaddrinfo),
            limit=self._limit,
            keepalive_timeout=IDLE_SECONDS,
            ttl_dns_cache=NAME_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("Content-Type",),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

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
        if self._session is None:
            raise RuntimeError("AsyncOutbound is used inside `async with`.")
        loop = asyncio.get_running_loop()
        started = loop.time()
        target = check_url(prepare.with_params(url, params), self.policy, allow_http=allow_http)
        pairs, body = _body(prepare.check_headers(headers, auth), content, json, data)
        context = tls.context(verify=verify) if target.tls else True
        limits = _limits(connect_timeout)
        try:
            async with asyncio.timeout(timeout):
                response = await self._session.request(
                    prepare.check_method(method),
                    _address(target.text),
                    headers=pairs,
                    data=body,
                    allow_redirects=False,
                    ssl=context,
                    timeout=limits,
                )
                try:
                    reader = await _read(response, target, max_bytes, truncate_at)
                    content_read = reader.result()
                except BaseException:
                    response.close()
                    raise
        except OutboundError:
            raise
        except TimeoutError as exc:
            if isinstance(exc, aiohttp.ServerTimeoutError):
                raise OutboundTimeout(
                    f"{target.origin} accepted no connection within {connect_timeout:g} s.",
                    code="connect_timeout",
                ) from None
            raise OutboundTimeout(
                f"{target.origin} did not answer completely within {timeout:g} s."
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise _failed(exc, target) from None
        return OutboundResponse(
            status=response.status,
            headers=headers_of(response.raw_headers),
            content=content_read,
            elapsed_ms=round((loop.time() - started) * 1000),
            url=target.text,
            truncated=reader.truncated,
        )


@lru_cache(maxsize=4096)
def _address(url: str) -> yarl.URL:
    return yarl.URL(url, encoded=True)


@lru_cache(maxsize=64)
def _limits(connect_timeout: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout, ceil_threshold=86_400)


class _Resolver(AbstractResolver):
    """Resolves once and refuses the name if any of its addresses is not allowed."""

    def __init__(self, policy: OutboundPolicy, getaddrinfo: GetAddrInfo) -> None:
        self._policy = policy
        self._getaddrinfo = getaddrinfo

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = admit(host, await addresses_async(host, port, self._getaddrinfo), self._policy)
        return [_result(host, address, port) for address in addresses]

    async def close(self) -> None:
        return None


class _GuardedConnector(aiohttp.TCPConnector):
    """aiohttp asks no resolver about hosts that are addresses already, so those are checked here, too.

    The socket factory is the last door before connect(2): whatever led there, the address is checked.
    """

    def __init__(self, *, policy: OutboundPolicy, **options: Any) -> None:
        super().__init__(socket_factory=self._socket, **options)
        self._policy = policy

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        literal = numeric_address(host)
        if literal is None:
            return await super()._resolve_host(host, port, traces=traces)
        return [_result(host, address, port) for address in admit(host, literal, self._policy)]

    def _socket(self, info: Any) -> socket.socket:
        family, kind, proto, _, address = info
        if family not in (socket.AF_INET, socket.AF_INET6) or not permits_text(str(address[0]), self._policy):
            raise OutboundBlocked("The address is not one that the hub may call.")
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        return sock


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )


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


async def _read(
    response: aiohttp.ClientResponse, target: Target, max_bytes: int, truncate_at: int | None
) -> BodyReader:
    if response.status == 101:
        raise OutboundProtocolError(f"{target.origin} wants to switch to another protocol.")
    headers = response.headers
    reader = BodyReader(
        encoding=headers.get("Content-Encoding", ""),
        max_bytes=max_bytes if truncate_at is None else truncate_at,
        truncate=truncate_at is not None,
        origin=target.origin,
    )
    if response.method != "HEAD":
        reader.declared(headers.get("Content-Length"))
    stream = response.content
    while piece := await stream.readany():
        if not reader.feed(piece):
            response.close()
            return reader
    response.release()
    return reader


def _failed(exc: Exception, target: Target) -> OutboundError:
    if isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        cause: Any = getattr(exc, "os_error", None) or getattr(exc, "certificate_error", exc)
        if isinstance(cause, ssl.SSLError | ssl.CertificateError):
            return OutboundConnectionFailed(f"{target.origin}: {tls.explain(cause)}.", code="tls_failed")
        number = getattr(cause, "errno", None)
        reason = os.strerror(number) if number else type(cause).__name__
        return OutboundConnectionFailed(f"{target.origin} cannot be reached: {reason}.")
    if isinstance(exc, aiohttp.ServerDisconnectedError | ConnectionError) or (
        isinstance(exc, aiohttp.ClientPayloadError) and "TransferEncoding" not in str(exc)
    ):
        return OutboundConnectionFailed(
            f"{target.origin} closed the connection before its answer was complete.", code="disconnected"
        )
    return OutboundProtocolError(f"{target.origin} did not answer in valid HTTP.")
