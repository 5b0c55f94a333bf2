"""A receiver of webhooks on this machine: keeps what arrives, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Arrival:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[BaseHTTPRequestHandler, Arrival], None]


def say(status: int, body: bytes = b"", **headers: str) -> Answer:
    """An answer with this status, and headers with _ for -."""

    def answer(handler: BaseHTTPRequestHandler, arrival: Arrival) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Receiver:
    """`arrivals` in their order; `answers` are used up one by one, then `usual` answers."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.arrivals: list[Arrival] = []
        self.answers: list[Answer] = []
        self.usual: Answer = say(204)
        self.changed = threading.Condition()
        self.at_once = 0
        self.most_at_once = 0

    @property
    def ids(self) -> list[str]:
        return [arrival.id for arrival in self.arrivals]

    def wait_for(self, count: int, seconds: float = 20) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.arrivals) >= count, seconds), (
                f"{len(self.arrivals)} of {count} messages arrived"
            )

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        arrival = Arrival(
            handler.command,
            handler.path,
            {name.lower(): value for name, value in handler.headers.items()},
            handler.rfile.read(length),
        )
        with self.changed:
            self.arrivals.append(arrival)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            answer = self.answers.pop(0) if self.answers else self.usual
            self.changed.notify_all()
        try:
            answer(handler, arrival)
        finally:
            with self.changed:
                self.at_once -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: object, client_address: object) -> None:
        """A sender that hangs up in the middle is what some tests want."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of 127.0.0.1."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            receiver.take(self)

        do_POST = do_PUT = do_PATCH = do_GET = handle_any

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
