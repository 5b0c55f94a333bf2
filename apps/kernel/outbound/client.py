"""The blocking HTTP client: the only way in which synchronous code calls other systems.

Guarantees: the SSRF guard of `policy`, one deadline for everything from the name to the last byte, a byte cap
after decompression, no redirects, no proxies from the environment, no cookies kept, verified certificates.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

from apps.kernel.outbound import prepare, tls, wire
from apps.kernel.outbound.errors import (
    OutboundBlocked,
    OutboundConnectionFailed,
    OutboundError,
    OutboundProtocolError,
    OutboundTimeout,
    OutboundTooLarge,
)
from apps.kernel.outbound.policy import GetAddrInfo, OutboundPolicy, Target, check_url, default_policy
from apps.kernel.outbound.response import BodyReader, OutboundResponse, headers_of

MAX_CONNECTIONS = 100
MAX_IDLE = 20
IDLE_SECONDS = 15.0

# These libraries log requests and answers with their headers at DEBUG.
for _name in ("httpcore", "httpx"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Outbound:
    """A pool of connections under one policy. Safe to share between threads, not across a fork.

    `getaddrinfo` has the signature of `socket.getaddrinfo`.
    """

    def __init__(
        self, policy: OutboundPolicy | None = None, *, getaddrinfo: GetAddrInfo = socket.getaddrinfo
    ) -> None:
        self.policy = default_policy() if policy is None else policy
        self._backend = wire.GuardedBackend(self.policy, getaddrinfo)
        self._pools: dict[bool, httpcore.ConnectionPool] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: prepare.Headers | None = None,
        params: prepare.Pairs | None = None,
        content: bytes | str | None = None,
        json: Any = None,
        data: Mapping[str, Any] | None = None,
        files: Any = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 30.0,
        connect_timeout: float = 5.0,
        max_bytes: int = 10 * 2**20,
        truncate: bool = False,
        verify: bool = True,
        allow_http: bool | None = None,
    ) -> OutboundResponse:
        """Send one request and read its answer; 3xx, 4xx and 5xx are answers.

        `timeout` (seconds) covers everything, `connect_timeout` the connection and its TLS handshake.
        `max_bytes` caps the decoded body: larger is OutboundTooLarge, or cut if `truncate`. `params` are
        added to the URL's own. `data` is sent as a form, `files` as multipart (as in httpx). `allow_http`
        overrides the policy's. Raises OutboundBlocked, OutboundTimeout, OutboundConnectionFailed,
        OutboundProtocolError, OutboundTooLarge; InvalidInput for a method or header that cannot be sent.
        """
        started = time.monotonic()
        target = check_url(prepare.with_params(url, params), self.policy, allow_http=allow_http)
        request = _build(method, target, headers, content, json, data, files, auth)
        low = _low_level(request, target, timeout, connect_timeout)
        with wire.deadline(started + timeout):
            try:
                response = self._pool(verify).handle_request(low)
                try:
                    content_read, headers_read, truncated = _read(
                        response, request.method, target, max_bytes, truncate
                    )
                finally:
                    response.close()
            except OutboundError:
                raise
            except (httpcore.TimeoutException, TimeoutError) as exc:
                raise _timed_out(exc, target, timeout, connect_timeout, started) from None
            except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as exc:
                raise _failed(exc, target) from None
        return OutboundResponse(
            status=response.status,
            headers=headers_read,
            content=content_read,
            elapsed_ms=round((time.monotonic() - started) * 1000),
            url=target.text,
            truncated=truncated,
        )

    @contextmanager
    def stream(
        self,
        url: str,
        *,
        headers: prepare.Headers | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float = 300.0,
        connect_timeout: float = 5.0,
        max_bytes: int,
        allow_http: bool | None = None,
    ) -> Iterator[OutboundStream]:
        """GET something large, read piece by piece inside the `with` block, as it comes: it is not decoded.

        `timeout` and `max_bytes` hold for all of it. Errors, also while reading, as of `request`.
        """
        started = time.monotonic()
        target = check_url(url, self.policy, allow_http=allow_http)
        plain = [*prepare.check_headers(headers, auth)]
        plain = [(name, value) for name, value in plain if name.lower() != "accept-encoding"]
        plain.append(("Accept-Encoding", "identity"))
        request = _build("GET", target, plain, None, None, None, None, None)
        low = _low_level(request, target, timeout, connect_timeout)
        with wire.deadline(started + timeout):
            try:
                response = self._pool(True).handle_request(low)
                try:
                    yield OutboundStream(response, target.text, target.origin, max_bytes)
                finally:
                    response.close()
            except OutboundError:
                raise
            except (httpcore.TimeoutException, TimeoutError) as exc:
                raise _timed_out(exc, target, timeout, connect_timeout, started) from None
            except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError) as exc:
                raise _failed(exc, target) from None

    def _pool(self, verify: bool) -> httpcore.ConnectionPool:
        # One pool each, so that an unverified connection never carries a call that wants verification.
        with self._lock:
            pool = self._pools.get(verify)
            if pool is None:
                pool = self._pools[verify] = httpcore.ConnectionPool(
                    ssl_context=tls.context(verify=verify),
                    max_connections=MAX_CONNECTIONS,
                    max_keepalive_connections=MAX_IDLE,
                    keepalive_expiry=IDLE_SECONDS,
                    network_backend=self._backend,
                )
            return pool


class OutboundStream:
    """An answer that is read as it comes: `status`, `headers`, `url`, and `chunks()`, once."""

    def __init__(self, response: httpcore.Response, url: str, origin: str, max_bytes: int) -> None:
        self.status = response.status
        self.headers = headers_of(response.headers)
        self.url = url
        self._response = response
        self._origin = origin
        self._max = max_bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def chunks(self) -> Iterator[bytes]:
        """The pieces of the body. Raises OutboundTooLarge as soon as there is, or is announced, too much."""
        declared = self.headers.get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > self._max:
            raise self._too_large()
        size = 0
        for piece in self._response.iter_stream():
            size += len(piece)
            if size > self._max:
                raise self._too_large()
            yield piece

    def _too_large(self) -> OutboundTooLarge:
        return OutboundTooLarge(f"{self._origin} answered with more than {self._max:,} bytes.")


def _low_level(
    request: httpx.Request, target: Target, timeout: float, connect_timeout: float
) -> httpcore.Request:
    timeouts = {"connect": connect_timeout, "read": None, "write": None, "pool": timeout}
    extensions: dict[str, Any] = {"timeout": timeouts}
    if target.host.endswith("."):  # certificates name hosts without the trailing dot
        extensions["sni_hostname"] = target.host.rstrip(".")
    body = b"".join(request.stream)  # type: ignore[arg-type]
    return httpcore.Request(
        request.method,
        httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        ),
        headers=request.headers.raw,
        content=body,
        extensions=extensions,
    )


def _build(
    method: str,
    target: Target,
    headers: prepare.Headers | None,
    content: bytes | str | None,
    json: Any,
    data: Mapping[str, Any] | None,
    files: Any,
    auth: tuple[str, str] | None,
) -> httpx.Request:
    pairs = prepare.check_headers(headers, auth)
    if json is not None and content is None:
        content = prepare.json_bytes(json)
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs.append(("Content-Type", "application/json"))
    encoded = [(name.encode("ascii"), value.encode("utf-8")) for name, value in pairs]
    return httpx.Request(
        prepare.check_method(method), target.url, headers=encoded, content=content, data=data, files=files
    )


def _read(
    response: httpcore.Response, method: str, target: Target, max_bytes: int, truncate: bool
) -> tuple[bytes, Any, bool]:
    headers = headers_of(response.headers)
    if response.status == 101:
        raise OutboundProtocolError(f"{target.origin} wants to switch to another protocol.")
    reader = BodyReader(
        encoding=headers.get("content-encoding", ""),
        max_bytes=max_bytes,
        truncate=truncate,
        origin=target.origin,
    )
    if method != "HEAD":
        reader.declared(headers.get("content-length"))
    for piece in response.iter_stream():
        if not reader.feed(piece):
            break
    return reader.result(), headers, reader.truncated


def _timed_out(
    exc: Exception, target: Target, timeout: float, connect_timeout: float, started: float
) -> OutboundTimeout:
    if isinstance(exc, httpcore.ConnectTimeout) and time.monotonic() - started < timeout:
        return OutboundTimeout(
            f"{target.origin} accepted no connection within {connect_timeout:g} s.", code="connect_timeout"
        )
    if isinstance(exc, httpcore.PoolTimeout):
        return OutboundTimeout(f"No connection became free within {timeout:g} s.", code="pool_timeout")
    return OutboundTimeout(f"{target.origin} did not answer completely within {timeout:g} s.")


def _failed(exc: Exception, target: Target) -> OutboundError:
    cause = exc.args[0] if exc.args and isinstance(exc.args[0], BaseException) else exc
    if isinstance(cause, ssl.SSLError):
        return OutboundConnectionFailed(f"{target.origin}: {tls.explain(cause)}.", code="tls_failed")
    if isinstance(exc, httpcore.ConnectError):
        return OutboundConnectionFailed(f"{target.origin} cannot be reached: {cause}.")
    broke_off = "disconnected" in str(exc) or "closed connection" in str(exc)
    if isinstance(exc, httpcore.RemoteProtocolError) and not broke_off:
        return OutboundProtocolError(f"{target.origin} did not answer in valid HTTP.")
    if isinstance(exc, httpcore.LocalProtocolError):
        return OutboundProtocolError(f"The request to {target.origin} is not valid HTTP.")
    return OutboundConnectionFailed(
        f"{target.origin} closed the connection before its answer was complete.", code="disconnected"
    )


_shared: dict[OutboundPolicy, Outbound] = {}
_shared_lock = threading.Lock()


def shared() -> Outbound:
    """This process's client under the policy of the settings."""
    policy = default_policy()
    client = _shared.get(policy)
    if client is None:
        with _shared_lock:
            client = _shared.setdefault(policy, Outbound(policy))
    return client


def request(
    method: str,
    url: str,
    *,
    headers: prepare.Headers | None = None,
    params: prepare.Pairs | None = None,
    content: bytes | str | None = None,
    json: Any = None,
    data: Mapping[str, Any] | None = None,
    files: Any = None,
    auth: tuple[str, str] | None = None,
    timeout: float = 30.0,
    connect_timeout: float = 5.0,
    max_bytes: int = 10 * 2**20,
    truncate: bool = False,
    verify: bool = True,
    allow_http: bool | None = None,
) -> OutboundResponse:
    """`Outbound.request` with this process's shared client; safe after a fork."""
    return shared().request(
        method,
        url,
        headers=headers,
        params=params,
        content=content,
        json=json,
        data=data,
        files=files,
        auth=auth,
        timeout=timeout,
        connect_timeout=connect_timeout,
        max_bytes=max_bytes,
        truncate=truncate,
        verify=verify,
        allow_http=allow_http,
    )


def connect(host: str, port: int, *, timeout: float = 10.0) -> socket.socket:
    """A connected socket for a protocol other than HTTP, under the same guard. `timeout` in seconds.

    Raises OutboundBlocked, OutboundTimeout, OutboundConnectionFailed.
    """
    name = host.strip().strip("[]")
    if not name or len(name) > 255 or not name.isprintable() or " " in name or not 0 < port < 65536:
        raise OutboundBlocked("The host or its port is not valid.", code="host_invalid")
    try:
        with wire.deadline(time.monotonic() + timeout):
            return wire.open_socket(name, port, timeout, default_policy(), socket.getaddrinfo)
    except httpcore.ConnectTimeout:
        raise OutboundTimeout(
            f"{name}:{port} accepted no connection within {timeout:g} s.", code="connect_timeout"
        ) from None
    except (httpcore.ConnectError, OSError, UnicodeError) as exc:
        raise OutboundConnectionFailed(f"{name}:{port} cannot be reached: {exc}.") from None


def _forget_after_fork() -> None:
    """A child must not speak on its parent's connections, nor wait for a lock that a thread of it held."""
    global _shared, _shared_lock
    _shared = {}
    _shared_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
