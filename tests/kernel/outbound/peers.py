"""Peers that stand at the outer wall: TCP servers on a port of the loopback that misbehave as told."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

Handler = Callable[["Conversation"], None]


@dataclass
class Conversation:
    """One connection as its handler sees it."""

    sock: socket.socket
    stopped: threading.Event
    requests: list[bytes]

    def read_request(self) -> bytes:
        """One whole HTTP request, also noted in `Peer.requests`; empty at the end of the connection."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(65536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            body += self.sock.recv(65536)
        request = head + b"\r\n\r\n" + body
        self.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """One byte at a time, for as long as the peer listens; the pause is the misbehaviour itself."""
        for position in range(len(data)):
            if self.stopped.wait(every):
                return
            self.sock.sendall(data[position : position + 1])

    def hang(self) -> None:
        """Say nothing more until the test is over."""
        self.stopped.wait(60)


@dataclass
class Peer:
    """A running server."""

    port: int
    requests: list[bytes] = field(default_factory=list)
    connections: list[tuple[str, int]] = field(default_factory=list)

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"


@contextmanager
def peer(
    handler: Handler, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Peer]:
    """Serve every connection with `handler` in a thread, until the block ends."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(128)
    running = Peer(listener.getsockname()[1])
    stopped = threading.Event()
    open_sockets: list[socket.socket] = []

    def serve(sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            if context is not None:
                sock = context.wrap_socket(sock, server_side=True)
            open_sockets.append(sock)
            handler(Conversation(sock, stopped, running.requests))
        with contextlib.suppress(OSError):
            sock.close()

    def accept() -> None:
        while True:
            try:
                sock, address = listener.accept()
            except OSError:
                return
            running.connections.append(address[:2])
            open_sockets.append(sock)
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield running
    finally:
        stopped.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(5)
        for sock in open_sockets:
            with contextlib.suppress(OSError):
                sock.close()


@contextmanager
def hole() -> Iterator[int]:
    """A port on which no connection is ever accepted: its backlog is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    waiting = []
    try:
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(("127.0.0.1", port))
            waiting.append(sock)
        yield port
    finally:
        for sock in (*waiting, listener):
            sock.close()


def answer(body: bytes = b"ok", *, status: str = "200 OK", headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status.encode(), len(body), headers, body)


def replies(data: bytes) -> Handler:
    """Answer every request of a connection with the same bytes."""

    def handle(conversation: Conversation) -> None:
        while conversation.read_request():
            conversation.send(data)

    return handle


def endless(conversation: Conversation) -> None:
    """A gigabyte, without saying so before."""
    conversation.read_request()
    conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
    for _ in range(1024):
        conversation.send(chunk)


def bomb() -> bytes:
    """A gzip stream of 1 MB that becomes 1 GB (of 16 members, so that it is made quickly)."""
    return gzip.compress(bytes(64 * 2**20)) * 16
