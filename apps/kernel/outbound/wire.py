"""The network under the blocking client: guarded connects, one deadline that all reads and writes mind."""

from __future__ import annotations

import contextvars
import ipaddress
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

from apps.kernel.outbound.names import addresses_within
from apps.kernel.outbound.policy import GetAddrInfo, OutboundPolicy, admit

# When the running call must be over, on the clock of time.monotonic.
_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("outbound_deadline")


@contextmanager
def deadline(at: float) -> Iterator[None]:
    """Cut all network operations of this thread at a point in time."""
    token = _deadline.set(at)
    try:
        yield
    finally:
        _deadline.reset(token)


def _left(limit: float | None, late: Callable[[], Exception]) -> float:
    left = _deadline.get() - time.monotonic()
    if limit is not None:
        left = min(left, limit)
    if left <= 0:
        raise late()
    return left


class DeadlineStream(httpcore.NetworkStream):
    """A socket of which no operation outlives the deadline, however slowly the peer drips."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._sock.settimeout(_left(timeout, httpcore.ReadTimeout))
        try:
            return self._sock.recv(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout() from None
        except OSError as exc:
            raise httpcore.ReadError(_reason(exc)) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        while rest:
            self._sock.settimeout(_left(timeout, httpcore.WriteTimeout))
            try:
                rest = rest[self._sock.send(rest) :]
            except TimeoutError:
                raise httpcore.WriteTimeout() from None
            except OSError as exc:
                raise httpcore.WriteError(_reason(exc)) from None

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        try:
            # One timeout bounds the whole handshake, not each of its steps (Modules/_ssl.c).
            self._sock.settimeout(_left(timeout, httpcore.ConnectTimeout))
            return DeadlineStream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
        except BaseException as exc:
            self.close()
            if isinstance(exc, TimeoutError):
                raise httpcore.ConnectTimeout() from None
            if isinstance(exc, ssl.SSLError):
                raise httpcore.ConnectError(exc) from None
            if isinstance(exc, OSError | ValueError):
                raise httpcore.ConnectError(_reason(exc)) from None
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "ssl_object" and isinstance(self._sock, ssl.SSLSocket):
            return self._sock
        if info == "server_addr":
            return self._sock.getpeername()
        if info == "socket":
            return self._sock
        if info == "is_readable":
            return self._readable()
        return None

    def _readable(self) -> bool:
        """Whether an idle connection has something to read, that is, was closed or spoken on unasked."""
        descriptor = self._sock.fileno()
        if descriptor < 0:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(0))


class GuardedBackend(httpcore.NetworkBackend):
    """Resolves once, refuses if any address is not allowed, and connects to an address that was checked."""

    def __init__(self, policy: OutboundPolicy, getaddrinfo: GetAddrInfo) -> None:
        self._policy = policy
        self._getaddrinfo = getaddrinfo

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return DeadlineStream(open_socket(host, port, timeout, self._policy, self._getaddrinfo))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("Unix sockets are not called.")


def open_socket(
    host: str, port: int, timeout: float | None, policy: OutboundPolicy, getaddrinfo: GetAddrInfo
) -> socket.socket:
    """A socket that is connected to an address that was checked, within the running deadline.

    Raises OutboundBlocked, and httpcore's ConnectTimeout and ConnectError.
    """
    host = host.strip("[]")
    found = addresses_within(host, port, _left(None, httpcore.ConnectTimeout), getaddrinfo)
    addresses = admit(host, found, policy)
    # The time to connect is shared by the addresses, but the last gets all that is left.
    end = time.monotonic() + _left(timeout, httpcore.ConnectTimeout)
    failure: Exception = httpcore.ConnectTimeout()
    for index, address in enumerate(addresses):
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            return _connect(address, port, left / (len(addresses) - index))
        except TimeoutError:
            failure = httpcore.ConnectTimeout()
        except OSError as exc:
            failure = httpcore.ConnectError(_reason(exc))
    raise failure


def _connect(address: str, port: int, timeout: float) -> socket.socket:
    ip = ipaddress.ip_address(address)
    sock = socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(exc: BaseException) -> str:
    number = exc.errno if isinstance(exc, OSError) else None
    return os.strerror(number) if number else type(exc).__name__
