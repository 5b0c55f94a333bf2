"""The connections of the asyncio client: a name is resolved once, refused if any of its addresses is not
allowed, and the connection goes to an address that was checked; the last door before connect(2) checks again.

What is free waits here for the next request to the same place, under the same policy.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections import defaultdict
from typing import Any

import aiohappyeyeballs

from apps.kernel.outbound import tls
from apps.kernel.outbound.errors import OutboundBlocked, OutboundConnectionFailed, OutboundTimeout
from apps.kernel.outbound.http1 import Connection
from apps.kernel.outbound.names import addresses_async
from apps.kernel.outbound.policy import (
    GetAddrInfo,
    OutboundPolicy,
    Target,
    admit,
    numeric_address,
    permits_text,
)

IDLE_SECONDS = 15.0
# How long an answer of the name servers, which this client's policy has admitted, serves new connections.
NAME_SECONDS = 5.0
# After so long without a connection the next address of a name is tried beside the first (RFC 8305).
SECOND_ADDRESS_SECONDS = 0.25

Key = tuple[str, int, bool, bool]  # host, port, TLS, with verified certificates


class Pool:
    """At most `limit` requests at once, and as many connections; for one event loop and one policy."""

    def __init__(self, policy: OutboundPolicy, limit: int, getaddrinfo: GetAddrInfo) -> None:
        self.loop = asyncio.get_running_loop()
        self._policy = policy
        self._limit = limit
        self._getaddrinfo = getaddrinfo
        self._slots = asyncio.Semaphore(limit)
        self._busy: set[Connection] = set()
        self._idle: defaultdict[Key, list[Connection]] = defaultdict(list)
        self._rested: dict[Connection, Key] = {}  # all that are idle, the longest first
        self._names: dict[tuple[str, int], tuple[float, list[str]]] = {}
        self._lookups: dict[tuple[str, int], asyncio.Task[list[str]]] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    async def take(
        self, target: Target, *, verify: bool, connect_timeout: float, deadline: float
    ) -> Connection:
        """A connection to the target: one that is idle, or a new one. Raises the client's errors, and
        TimeoutError at the deadline (in the loop's time).
        """
        if self._slots.locked():
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        else:
            await self._slots.acquire()
        connection = self._rested_one((target.host, target.port, target.tls, verify))
        if connection is None:
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await self._connect(target, verify, connect_timeout)
            except BaseException:
                self._slots.release()
                raise
        self._busy.add(connection)
        return connection

    def give_back(self, connection: Connection, target: Target, *, verify: bool) -> None:
        """Keep a connection for later, if its last answer left it fit for that."""
        self._busy.discard(connection)
        self._slots.release()
        seconds = IDLE_SECONDS
        if connection.keep_seconds is not None:  # a second early, or the peer may close as we write
            seconds = min(seconds, connection.keep_seconds - 1)
        if not connection.reusable or connection.lost or seconds <= 0:
            connection.end()
            return
        connection.idle_until = self.loop.time() + seconds
        key = (target.host, target.port, target.tls, verify)
        self._idle[key].append(connection)
        self._rested[connection] = key
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(IDLE_SECONDS / 3, self._sweep)

    def close(self) -> None:
        """Close all connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for task in self._lookups.values():
            task.cancel()
        for connection in (*self._busy, *self._rested):
            connection.end()
        self._busy.clear()
        self._rested.clear()
        self._idle.clear()

    def _rested_one(self, key: Key) -> Connection | None:
        """The idle connection that was used last; those that are over are closed on the way."""
        waiting = self._idle.get(key)
        while waiting:
            connection = waiting.pop()
            if not waiting:
                del self._idle[key]
            del self._rested[connection]
            if not connection.lost and connection.idle_until > self.loop.time():
                return connection
            connection.end()
        return None

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self._rested):
            if connection.lost or connection.idle_until <= now:
                self._dismiss(connection)
        self._sweeping = self.loop.call_later(IDLE_SECONDS / 3, self._sweep) if self._rested else None

    def _dismiss(self, connection: Connection) -> None:
        key = self._rested.pop(connection)
        waiting = self._idle[key]
        waiting.remove(connection)
        if not waiting:
            del self._idle[key]
        connection.end()

    async def _connect(self, target: Target, verify: bool, seconds: float) -> Connection:
        while self._rested and len(self._rested) + len(self._busy) >= self._limit:
            self._dismiss(next(iter(self._rested)))
        addresses = await self._addresses(target.host, target.port)
        connection = Connection(self.loop, target.origin)
        late = asyncio.timeout(seconds)
        try:
            async with late:
                await self._open(connection, target, addresses, verify)
        except TimeoutError:
            connection.end()
            if not late.expired():  # the system's own
                raise OutboundConnectionFailed(f"{target.origin} cannot be reached: timed out.") from None
            raise OutboundTimeout(
                f"{target.origin} accepted no connection within {seconds:g} s.", code="connect_timeout"
            ) from None
        except ssl.SSLError as exc:
            raise OutboundConnectionFailed(
                f"{target.origin}: {tls.explain(exc)}.", code="tls_failed"
            ) from None
        except OSError as exc:
            reason = os.strerror(exc.errno) if exc.errno else type(exc).__name__
            raise OutboundConnectionFailed(f"{target.origin} cannot be reached: {reason}.") from None
        return connection

    async def _open(self, connection: Connection, target: Target, addresses: list[str], verify: bool) -> None:
        sock = await aiohappyeyeballs.start_connection(
            [_info(address, target.port) for address in addresses],
            happy_eyeballs_delay=SECOND_ADDRESS_SECONDS,
            loop=self.loop,
            socket_factory=self._socket,
        )
        try:
            options: dict[str, Any] = {}
            if target.tls:  # certificates name hosts without the trailing dot
                name = target.host.strip("[]").rstrip(".")
                options = {"ssl": tls.context(verify=verify), "server_hostname": name}
            await self.loop.create_connection(lambda: connection, sock=sock, **options)
        except BaseException:
            sock.close()
            raise

    def _socket(self, info: Any) -> socket.socket:
        """Whatever led here, the address is checked once more."""
        family, kind, proto, _, address = info
        if family not in (socket.AF_INET, socket.AF_INET6) or not permits_text(str(address[0]), self._policy):
            raise OutboundBlocked("The address is not one that the hub may call.")
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    async def _addresses(self, host: str, port: int) -> list[str]:
        """The addresses of a host, all of them admitted; one question at a time for a name."""
        host = host.strip("[]")
        literal = numeric_address(host)
        if literal is not None:
            return admit(host, literal, self._policy)
        known = self._names.get((host, port))
        if known is not None and known[0] > self.loop.time():
            return known[1]
        running = self._lookups.get((host, port))
        if running is None:
            running = self._lookups[host, port] = self.loop.create_task(self._lookup(host, port))
            running.add_done_callback(_heed)
        return await asyncio.shield(running)

    async def _lookup(self, host: str, port: int) -> list[str]:
        try:
            found = admit(host, await addresses_async(host, port, self._getaddrinfo), self._policy)
        finally:
            del self._lookups[host, port]
        if len(self._names) > 4096:
            self._names.clear()
        self._names[host, port] = self.loop.time() + NAME_SECONDS, found
        return found


def _heed(task: asyncio.Task[Any]) -> None:
    """An error that nobody waits for any more is no error."""
    if not task.cancelled():
        task.exception()


def _info(address: str, port: int) -> tuple[Any, ...]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)
