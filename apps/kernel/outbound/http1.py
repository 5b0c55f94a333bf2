"""One HTTP/1.1 connection of the asyncio client: one request at a time, written whole; the answer is parsed
as it comes (llhttp, through httptools) and its body is bounded by a BodyReader.

Nothing here knows of addresses, pools or time; whoever holds the connection ends it when its time is over.
"""

from __future__ import annotations

import asyncio
import re
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from apps.kernel.outbound.errors import OutboundConnectionFailed, OutboundError, OutboundProtocolError
from apps.kernel.outbound.response import BodyReader

# Of everything before a body: interim answers, status line and headers; and of all trailers.
MAX_HEAD = 64 * 1024
_KEEP = re.compile(rb"(?:^|[,\s])timeout=([0-9]{1,6})", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """A connection to `origin` (what messages may say of it) that is free unless a request is under way."""

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: str) -> None:
        self._loop = loop
        self.origin = origin
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.idle_until = 0.0  # in the loop's time, while it is in a pool
        self.answers = 0  # that came to their end on this connection
        self._parser: HttpResponseParser | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._clear()

    def _clear(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.reader: BodyReader | None = None
        self.reusable = False
        self.keep_seconds: int | None = None  # how long the peer says that it keeps an idle connection
        self.heard = False  # anything since the request
        self._received = 0
        self._head_size = 0
        self._framed = False

    def ask(self, request: bytes, *, bodyless: bool, max_bytes: int, truncate: bool) -> asyncio.Future[None]:
        """Write a request. The future ends with the answer (`status`, `headers`, `reader`) or raises an
        OutboundError. `bodyless`: the answer to a HEAD.
        """
        self._clear()
        self._bodyless, self._max_bytes, self._truncate = bodyless, max_bytes, truncate
        waiter = self._waiter = self._loop.create_future()
        if self.transport is None or self.lost:
            self._fail(self._broken())
        else:
            self.transport.write(request)
        return waiter

    def end(self, error: OutboundError | None = None) -> None:
        """Close at once; the request that is under way fails with `error`."""
        if error is not None:
            self._fail(error)
        self._waiter, self.reusable = None, False
        if self.transport is not None:
            self.transport.abort()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._parser = HttpResponseParser(self)
        # What aiohttp and browsers bear from servers that are a little wrong. On a connection that carries
        # one answer at a time from the peer that was asked, there is nobody to smuggle anything past.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
            lenient_data_after_close=True,
        )

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._parser is None:  # spoken unasked: nobody knows what it means
            self.end()
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            self._fail(OutboundProtocolError(f"{self.origin} wants to switch to another protocol."))
        except HttpParserError:
            self._fail(self._no_http())
        if self._waiter is not None and self.reader is None:
            self._received += len(data)
            if self._received > MAX_HEAD:
                self._fail(self._no_http())

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self._parser = None  # the two hold each other
        if self._waiter is None:
            return
        if exc is None and self.reader is not None and not self._framed:
            self._finish(reusable=False)  # a body without a length ends with its connection
        else:
            self._fail(self._broken())

    # What the parser tells

    def on_message_begin(self) -> None:
        if self._waiter is None:  # more than was asked for, behind the answer
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._waiter is None:
            return
        self._head_size += len(name) + len(value) + 4
        if self._head_size > MAX_HEAD:
            self._fail(self._no_http())
        elif self.reader is None:  # else it is a trailer
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if self._waiter is None or self._parser is None:
            return
        self.status = self._parser.get_status_code()
        if self.status == 101:
            self._fail(OutboundProtocolError(f"{self.origin} wants to switch to another protocol."))
        elif self.status >= 200:
            self._begin_body()

    def _begin_body(self) -> None:
        encoding, length = "", None
        for name, value in self.headers:
            match name.lower():
                case b"content-encoding":
                    encoding = value.decode("latin-1")
                case b"content-length":
                    length, self._framed = value.decode("latin-1"), True
                case b"transfer-encoding":
                    self._framed = True
                case b"keep-alive":
                    found = _KEEP.search(value)
                    self.keep_seconds = int(found[1]) if found else None
        try:
            self.reader = BodyReader(
                encoding=encoding, max_bytes=self._max_bytes, truncate=self._truncate, origin=self.origin
            )
            if self._bodyless:
                self._finish(reusable=False)  # the parser does not know that no body follows
            else:
                self.reader.declared(length)
        except OutboundError as error:
            self._fail(error)

    def on_body(self, data: bytes) -> None:
        if self._waiter is None or self.reader is None:
            return
        try:
            if not self.reader.feed(data):
                self._finish(reusable=False)
        except OutboundError as error:
            self._fail(error)

    def on_message_complete(self) -> None:
        if self._waiter is None or self._parser is None:
            return
        if self.status < 200:  # an interim answer: the real one follows
            self.headers = []
            return
        self._finish(reusable=self._parser.should_keep_alive())

    # The end of a request

    def _finish(self, *, reusable: bool) -> None:
        waiter, self._waiter = self._waiter, None
        # A peer that answers before it has read everything may take the rest for the next request.
        unsent = self.transport is None or self.transport.get_write_buffer_size()
        self.reusable = reusable and not unsent
        self.answers += 1
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: OutboundError) -> None:
        waiter, self._waiter = self._waiter, None
        self.reusable = False
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _no_http(self) -> OutboundProtocolError:
        return OutboundProtocolError(f"{self.origin} did not answer in valid HTTP.")

    def _broken(self) -> OutboundConnectionFailed:
        return OutboundConnectionFailed(
            f"{self.origin} closed the connection before its answer was complete.", code="disconnected"
        )


def head_of(method: bytes, target: bytes, host: bytes, headers: list[tuple[str, str]]) -> bytearray:
    """The bytes of a request up to its framing: request line, Host and headers, which were checked."""
    head = bytearray(b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (method, target, host))
    head += "".join([f"{name}: {value}\r\n" for name, value in headers]).encode()
    return head


def framed(head: bytearray, method: str, body: bytes | None) -> bytes:
    """The whole request: `head` with the length of its body, and the body."""
    if body is not None:
        head += b"Content-Length: %d\r\n\r\n" % len(body)
        head += body
    elif method in ("POST", "PUT", "PATCH"):
        head += b"Content-Length: 0\r\n\r\n"
    else:
        head += b"\r\n"
    return bytes(head)
