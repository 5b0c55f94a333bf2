"""Name resolution with a deadline. getaddrinfo(3) has none, so a thread runs it, and may be left behind."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable

from apps.kernel.outbound.errors import OutboundTimeout
from apps.kernel.outbound.policy import GetAddrInfo, lookup, numeric_address

MAX_LOOKUPS = 64
_slots = threading.BoundedSemaphore(MAX_LOOKUPS)


class Lookup:
    """One lookup in a daemon thread, which does not keep the process from ending as a pool's thread would."""

    def __init__(
        self, host: str, port: int, getaddrinfo: GetAddrInfo, done: Callable[[Lookup], None]
    ) -> None:
        self.addresses: list[str] = []
        self.error: Exception | None = None
        self._arguments = host, port, getaddrinfo
        self._done = done
        threading.Thread(target=self._run, name="outbound-lookup", daemon=True).start()

    def _run(self) -> None:
        try:
            self.addresses = lookup(*self._arguments)
        except Exception as exc:
            self.error = exc
        finally:
            _slots.release()
            self._done(self)

    def result(self) -> list[str]:
        if self.error is not None:
            raise self.error
        return self.addresses


def addresses_within(
    host: str, port: int, seconds: float, getaddrinfo: GetAddrInfo = socket.getaddrinfo
) -> list[str]:
    """The addresses of a host. Raises OutboundConnectionFailed, or OutboundTimeout after `seconds`."""
    literal = numeric_address(host)
    if literal is not None:
        return literal
    if not _slots.acquire(timeout=max(0.0, seconds)):
        raise _late(host)
    finished = threading.Event()
    running = _start(host, port, getaddrinfo, lambda _: finished.set())
    if not finished.wait(max(0.0, seconds)):
        raise _late(host)
    return running.result()


async def addresses_async(host: str, port: int, getaddrinfo: GetAddrInfo = socket.getaddrinfo) -> list[str]:
    """The addresses of a host, for a caller with a deadline of its own. Raises OutboundConnectionFailed."""
    literal = numeric_address(host)
    if literal is not None:
        return literal
    loop = asyncio.get_running_loop()
    while not _slots.acquire(blocking=False):
        await asyncio.sleep(0.02)
    future: asyncio.Future[list[str]] = loop.create_future()

    def settle(running: Lookup) -> None:
        if future.done():
            return
        if running.error is not None:
            future.set_exception(running.error)
        else:
            future.set_result(running.addresses)

    def done(running: Lookup) -> None:
        # RuntimeError: the loop was closed meanwhile, and nobody waits any more.
        try:
            loop.call_soon_threadsafe(settle, running)
        except RuntimeError:
            return

    _start(host, port, getaddrinfo, done)
    return await future


def _start(host: str, port: int, getaddrinfo: GetAddrInfo, done: Callable[[Lookup], None]) -> Lookup:
    try:
        return Lookup(host, port, getaddrinfo, done)
    except BaseException:  # no thread could be started
        _slots.release()
        raise


def _late(host: str) -> OutboundTimeout:
    return OutboundTimeout(f"The name {host} was not resolved in time.", code="name_timeout")
