"""A receiver of webhooks in a process of its own that costs almost nothing:
`python -m benchmarks.receiver`.

Answers 204 to every POST at once, but never to those under /hang. Prints its port. `GET /seen` tells when
each `webhook-id` arrived, in nanoseconds of the clock; `GET /count` how many requests came; both forget
afterwards.
"""

from __future__ import annotations

import asyncio
import json
import time

import uvloop

ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Talk(asyncio.Protocol):
    seen: dict[str, int] = {}
    count = 0

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.time_ns()
        self.buffer += data
        while True:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end]
            lower = head.lower()
            at = lower.find(b"content-length:")
            length = (
                int(lower[at + 15 : lower.find(b"\r", at) if lower.find(b"\r", at) > 0 else None])
                if at > 0
                else 0
            )
            if len(self.buffer) < end + 4 + length:
                return
            self.buffer = self.buffer[end + 4 + length :]
            self.answer(head, lower, now)

    def answer(self, head: bytes, lower: bytes, now: int) -> None:
        if head.startswith(b"GET /seen"):
            self.tell(Talk.seen)
            Talk.seen = {}
        elif head.startswith(b"GET /count"):
            self.tell(Talk.count)
            Talk.count = 0
        else:
            Talk.count += 1
            at = lower.find(b"webhook-id:")
            if at > 0:
                end = head.find(b"\r", at)
                Talk.seen.setdefault(head[at + 11 : end if end > 0 else None].strip().decode(), now)
            if not head.startswith(b"POST /hang"):
                self.transport.write(ANSWER)  # type: ignore[attr-defined]

    def tell(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))  # type: ignore[attr-defined]


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Talk, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
