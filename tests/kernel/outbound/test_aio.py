from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apps.kernel.errors import InvalidInput
from apps.kernel.outbound import (
    OutboundBlocked,
    OutboundConnectionFailed,
    OutboundError,
    OutboundPolicy,
    OutboundProtocolError,
    OutboundTimeout,
    OutboundTooLarge,
)
from apps.kernel.outbound.aio import AsyncOutbound
from tests.kernel.outbound.conftest import LOOPBACK, server_context
from tests.kernel.outbound.peers import Conversation, answer, endless, hole, peer, replies
from tests.kernel.outbound.test_client import resolver
from tests.memory import costs_at_most


@pytest.fixture
async def aio() -> AsyncIterator[AsyncOutbound]:
    """An asyncio client that may call the loopback."""
    async with AsyncOutbound(LOOPBACK) as made:
        yield made


async def timed(client: AsyncOutbound, *arguments: Any, **options: Any) -> tuple[OutboundError, float]:
    started = time.monotonic()
    with pytest.raises(OutboundError) as caught:
        await client.request(*arguments, **options)
    return caught.value, time.monotonic() - started


async def test_a_request_arrives_as_it_was_meant(aio: AsyncOutbound):
    with peer(replies(answer(b'{"ok":true}', headers=b"X-A: 1\r\nx-a: 2\r\nX-Name: caf\xe9\r\n"))) as p:
        response = await aio.request(
            "post",
            p.url("/path%2Fx?a=%20#fragment"),
            params={"b": ["2", "3"], "c": "ü&"},
            content=b'{"signed": "bytes"}',
            headers=[("Content-Type", "application/json"), ("webhook-id", "msg_1")],
            auth=("user", "password"),
        )
    head, _, body = p.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")

    assert lines[0] == b"POST /path%2Fx?a=%20&b=2&b=3&c=%C3%BC%26 HTTP/1.1"
    assert f"Host: 127.0.0.1:{p.port}".encode() in lines
    assert b"webhook-id: msg_1" in lines
    assert b"Authorization: Basic dXNlcjpwYXNzd29yZA==" in lines
    assert [line for line in lines if line.lower().startswith(b"content-type")] == [
        b"Content-Type: application/json"
    ]
    assert body == b'{"signed": "bytes"}'
    assert (response.status, response.json(), response.truncated) == (200, {"ok": True}, False)
    assert response.headers.getall("X-A") == ["1", "2"]
    assert response.headers["x-name"] == "café"


async def test_json_forms_and_nothing_are_sent(aio: AsyncOutbound):
    with peer(replies(answer())) as p:
        await aio.request("POST", p.url(), json={"t": "ü"})
        await aio.request("POST", p.url(), data={"a": "1 2", "b": ["x", "y"]})
        await aio.request("GET", p.url())

    assert p.requests[0].endswith('\r\n\r\n{"t":"ü"}'.encode())
    assert b"Content-Type: application/json\r\n" in p.requests[0]
    assert p.requests[1].endswith(b"\r\n\r\na=1+2&b=x&b=y")
    assert b"Content-Type: application/x-www-form-urlencoded\r\n" in p.requests[1]
    assert b"content-type" not in p.requests[2].lower()


@pytest.mark.parametrize(
    "headers",
    [{"X-A": "1\r\nX-B: 2"}, {"X-A\n": "1"}, {"Host": "internal"}, {"Transfer-Encoding": "chunked"}],
)
async def test_headers_that_would_smuggle_are_refused_and_nothing_is_sent(
    aio: AsyncOutbound, headers: dict[str, str]
):
    with peer(replies(answer())) as p, pytest.raises(InvalidInput):
        await aio.request("GET", p.url(), headers=headers)
    assert p.connections == []


async def test_no_cookies_no_proxies_no_netrc(
    aio: AsyncOutbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with peer(replies(answer(headers=b"Set-Cookie: a=b\r\n"))) as p:
        await aio.request("GET", p.url())
        await aio.request("GET", p.url())

    assert b"cookie" not in p.requests[1].lower()
    assert b"authorization" not in p.requests[1].lower()


async def test_redirects_are_answers_and_never_followed(aio: AsyncOutbound):
    with peer(replies(answer())) as target:
        location = f"Location: {target.url('/stolen')}\r\n".encode()
        for status in (301, 302, 303, 307, 308):
            with peer(replies(answer(b"", status=f"{status} Moved", headers=location))) as p:
                assert (await aio.request("POST", p.url(), content=b"x")).status == status
    assert target.connections == []


async def test_a_larger_body_is_refused_or_cut(aio: AsyncOutbound):
    with peer(replies(answer(b"x" * 1001))) as p:
        assert len((await aio.request("GET", p.url(), max_bytes=1001)).content) == 1001
        with pytest.raises(OutboundTooLarge):
            await aio.request("GET", p.url(), max_bytes=1000)
        cut = await aio.request("GET", p.url(), truncate_at=1000, max_bytes=10)
        whole = await aio.request("GET", p.url(), truncate_at=1001)

    assert (len(cut.content), cut.truncated) == (1000, True)
    assert (len(whole.content), whole.truncated) == (1001, False)


async def test_a_gigabyte_and_a_bomb_cost_no_more_than_the_cap(aio: AsyncOutbound, gzip_bomb: bytes):
    with costs_at_most(50):
        with peer(endless) as p:
            with pytest.raises(OutboundTooLarge):
                await aio.request("GET", p.url(), max_bytes=2**20)
            assert len((await aio.request("GET", p.url(), truncate_at=65536)).content) == 65536
        with peer(replies(answer(gzip_bomb, headers=b"Content-Encoding: gzip\r\n"))) as p:
            with pytest.raises(OutboundTooLarge):
                await aio.request("GET", p.url(), max_bytes=2**20)
            assert (await aio.request("GET", p.url(), truncate_at=65536)).content == bytes(65536)


async def test_compressed_bodies_are_decoded(aio: AsyncOutbound, small_gzip: bytes):
    with peer(replies(answer(small_gzip, headers=b"Content-Encoding: gzip\r\n"))) as p:
        assert (await aio.request("GET", p.url())).json() == {"hello": "world"}
    with peer(replies(answer(b"x", headers=b"Content-Encoding: br\r\n"))) as p:
        with pytest.raises(OutboundProtocolError):
            await aio.request("GET", p.url())
        assert (await aio.request("GET", p.url(), truncate_at=100)).content == b"x"


async def test_head_has_no_body(aio: AsyncOutbound):
    with peer(replies(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")) as p:
        assert (await aio.request("HEAD", p.url())).content == b""


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 100_000 + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_protocol_error(aio: AsyncOutbound, data: bytes):
    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(data)
        conversation.hang()

    with peer(handle) as p:
        error, _ = await timed(aio, "GET", p.url("/?api_key=s3cr3t"), timeout=5)
    assert isinstance(error, OutboundProtocolError)
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", answer(b"x" * 10)[:-5]])
async def test_a_connection_that_breaks_is_transient(aio: AsyncOutbound, data: bytes):
    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(data)

    with peer(handle) as p:
        error, _ = await timed(aio, "POST", p.url(), content=b"x")
    assert isinstance(error, OutboundConnectionFailed)
    assert (error.code, error.transient) == ("disconnected", True)


@pytest.mark.parametrize("part", ["silence", "headers", "body", "chunks", "interim"])
async def test_a_peer_that_drips_is_cut_at_the_deadline(aio: AsyncOutbound, part: str):
    scripts = {
        "silence": (b"", b""),
        "headers": (b"", b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 1000),
        "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a" * 1000),
        "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 200),
        "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    }
    at_once, slowly = scripts[part]

    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(at_once)
        conversation.drip(slowly, 0.05)
        conversation.hang()

    with peer(handle) as p:
        error, seconds = await timed(aio, "GET", p.url("/?k=s3cr3t"), timeout=0.5, truncate_at=65536)

    assert isinstance(error, OutboundTimeout)
    assert 0.45 < seconds < 1.5
    assert str(error) == f"127.0.0.1:{p.port} did not answer completely within 0.5 s."


async def test_a_peer_that_reads_slowly_is_cut_at_the_deadline(aio: AsyncOutbound):
    def handle(conversation: Conversation) -> None:
        while not conversation.stopped.wait(0.05):
            conversation.sock.recv(1000)

    with peer(handle) as p:
        error, seconds = await timed(aio, "POST", p.url(), content=bytes(50_000_000), timeout=0.5)
    assert isinstance(error, OutboundTimeout)
    assert 0.45 < seconds < 1.5


async def test_a_deadline_of_more_than_five_seconds_is_kept_to_the_fraction(aio: AsyncOutbound):
    with peer(lambda c: c.hang()) as p:
        _, seconds = await timed(aio, "GET", p.url(), timeout=5.2)
    assert 5.15 < seconds < 5.7


async def test_a_port_that_accepts_nobody_is_given_up(aio: AsyncOutbound):
    with hole() as port:
        error, seconds = await timed(aio, "GET", f"http://127.0.0.1:{port}/", connect_timeout=0.4)
    assert isinstance(error, OutboundTimeout)
    assert error.code == "connect_timeout"
    assert 0.35 < seconds < 1.5


async def test_a_tls_handshake_that_never_ends_is_given_up(aio: AsyncOutbound):
    with peer(lambda c: c.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 500, 0.05)) as p:
        error, seconds = await timed(aio, "GET", p.url(scheme="https"), timeout=5, connect_timeout=0.5)
    assert isinstance(error, OutboundTimeout)
    assert 0.45 < seconds < 1.5


async def test_name_servers_that_hang_hold_up_nobody_else():
    released = threading.Event()

    def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        if host.startswith("slow"):
            released.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with peer(replies(answer())) as p:
        async with AsyncOutbound(LOOPBACK, getaddrinfo=getaddrinfo) as client:
            slow = [
                asyncio.create_task(timed(client, "GET", p.url(host=f"slow{n}.example"), timeout=1))
                for n in range(20)
            ]
            await asyncio.sleep(0)
            started = time.monotonic()
            assert (await client.request("GET", p.url(host="quick.example"))).status == 200
            assert time.monotonic() - started < 0.5
            errors = [error for error, _ in await asyncio.gather(*slow)]
    released.set()
    assert {type(error) for error in errors} == {OutboundTimeout}


async def test_a_cancelled_request_frees_its_connection():
    async with AsyncOutbound(LOOPBACK, limit=1) as client:
        with peer(lambda c: c.hang()) as p:
            task = asyncio.create_task(client.request("GET", p.url(), timeout=30))
            while not p.connections:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        with peer(replies(answer())) as p:
            assert (await client.request("GET", p.url(), timeout=2)).status == 200


async def test_waiting_for_a_free_connection_counts_against_the_deadline():
    async with AsyncOutbound(LOOPBACK, limit=1) as client:
        with peer(lambda c: c.hang()) as p:
            first = asyncio.create_task(timed(client, "GET", p.url(), timeout=1))
            while not p.connections:
                await asyncio.sleep(0.01)
            error, seconds = await timed(client, "GET", p.url(), timeout=0.3)
            await first
    assert isinstance(error, OutboundTimeout)
    assert seconds < 0.9
    assert len(p.connections) == 1


async def test_a_refused_connection_is_transient(aio: AsyncOutbound):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error, _ = await timed(aio, "GET", f"http://127.0.0.1:{port}/?key=s3cr3t")
    assert isinstance(error, OutboundConnectionFailed)
    assert str(error) == f"127.0.0.1:{port} cannot be reached: Connection refused."


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_the_loopback_is_not_called_under_any_spelling(host: str):
    with peer(replies(answer())) as p:
        async with AsyncOutbound(OutboundPolicy(allow_http=True)) as client:
            error, _ = await timed(client, "GET", p.url("/?token=s3cr3t", host=host))
    assert isinstance(error, OutboundBlocked)
    assert p.connections == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "localhost"])
async def test_an_allowed_address_is_called_under_any_spelling(aio: AsyncOutbound, host: str):
    with peer(replies(answer())) as p:
        assert (await aio.request("GET", p.url(host=host))).status == 200


async def test_the_last_door_checks_whatever_led_there(monkeypatch: pytest.MonkeyPatch):
    """Should an address ever come past the check of names, the socket is still not made."""
    async with AsyncOutbound(OutboundPolicy(allow_http=True)) as client:
        assert client._pool is not None

        async def unguarded(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        monkeypatch.setattr(client._pool, "_addresses", unguarded)
        with peer(replies(answer())) as p:
            error, _ = await timed(client, "GET", p.url(host="anything.example"))
        assert p.connections == []
    assert isinstance(error, OutboundBlocked)


async def test_a_rebinding_name_is_refused_when_it_leads_inside(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("apps.kernel.outbound.pool.NAME_SECONDS", 0)
    with peer(replies(answer(headers=b"Connection: close\r\n"))) as p:
        names = resolver({"rebind.example": [["127.0.0.1"], ["10.0.0.5"], ["127.0.0.1", "10.0.0.5"]]})
        async with AsyncOutbound(LOOPBACK, getaddrinfo=names) as client:
            url = p.url(host="rebind.example")
            assert (await client.request("GET", url)).status == 200
            for _ in range(2):
                error, _ = await timed(client, "GET", url)
                assert isinstance(error, OutboundBlocked)
    assert len(p.connections) == 1
    assert f"Host: rebind.example:{p.port}".encode() in p.requests[0]


async def test_the_second_address_serves_when_the_first_is_dead():
    with peer(replies(answer())) as p:
        names = resolver({"two.example": [["::1", "127.0.0.1"]]})
        async with AsyncOutbound(LOOPBACK, getaddrinfo=names) as client:
            assert (await client.request("GET", p.url(host="two.example"))).status == 200


async def test_a_pooled_connection_serves_only_its_own_policy():
    with peer(replies(answer())) as p:
        async with (
            AsyncOutbound(LOOPBACK) as open_client,
            AsyncOutbound(OutboundPolicy(allow_http=True)) as closed_client,
        ):
            assert (await open_client.request("GET", p.url())).status == 200
            for client, options in ((closed_client, {}), (open_client, {"allow_http": False})):
                error, _ = await timed(client, "GET", p.url(), **options)
                assert isinstance(error, OutboundBlocked)
    assert len(p.requests) == 1


async def test_connections_are_kept_alive_also_after_a_cut_that_was_none(aio: AsyncOutbound):
    megabyte = b"x" * 2**20
    with peer(replies(answer(megabyte))) as p:
        for _ in range(5):
            await aio.request("POST", p.url(), content=b"x", truncate_at=2**20)
        assert len(p.connections) == 1
        assert (await aio.request("GET", p.url(), truncate_at=10)).content == b"x" * 10
        assert (await aio.request("GET", p.url(), truncate_at=2**20)).content == megabyte
    assert len(p.connections) == 2


async def test_certificates_are_verified(trusted: Path):
    names = {"good.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]}
    with peer(replies(answer()), context=server_context(trusted, "good")) as p:
        async with AsyncOutbound(LOOPBACK, getaddrinfo=resolver(names)) as client:
            good = p.url(host="good.example", scheme="https")
            wrong = p.url("/?token=s3cr3t", host="other.example", scheme="https")
            assert (await client.request("GET", good)).status == 200
            error, _ = await timed(client, "GET", wrong)
            assert (await client.request("GET", wrong, verify=False)).status == 200
            again, _ = await timed(client, "GET", wrong)

    for failure in (error, again):
        assert isinstance(failure, OutboundConnectionFailed)
        assert failure.code == "tls_failed"
        assert "Hostname mismatch" in str(failure)
        assert "s3cr3t" not in str(failure)


async def test_an_expired_certificate_is_refused(trusted: Path):
    names = resolver({"good.example": [["127.0.0.1"]]})
    with peer(replies(answer()), context=server_context(trusted, "expired")) as p:
        async with AsyncOutbound(LOOPBACK, getaddrinfo=names) as client:
            error, _ = await timed(client, "GET", p.url(host="good.example", scheme="https"))
    assert "certificate has expired" in str(error)
    assert p.requests == []


async def test_it_wants_to_be_entered():
    with pytest.raises(RuntimeError, match="async with"):
        await AsyncOutbound(LOOPBACK).request("GET", "http://127.0.0.1/")


def once(data: bytes, *, pieces: bool = False) -> Any:
    """Answer one request, in one piece or byte by byte, and close the connection."""

    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        if pieces:
            conversation.drip(data, 0.001)
        else:
            conversation.send(data)

    return handle


@pytest.mark.parametrize("pieces", [False, True])
async def test_interim_answers_chunks_empty_headers_and_trailers_are_read(aio: AsyncOutbound, pieces: bool):
    data = (
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-Empty:\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nX-Trailer: t\r\n\r\n"
    )
    with peer(once(data, pieces=pieces)) as p:
        response = await aio.request("POST", p.url(), content=b"x")
    assert (response.status, response.content) == (200, b"hello world")
    assert list(response.headers.items()) == [
        ("X-Empty", ""),
        ("X-A", "1"),
        ("Transfer-Encoding", "chunked"),
    ]


async def test_a_body_without_a_length_ends_with_its_connection(aio: AsyncOutbound):
    with peer(once(b"HTTP/1.0 200 OK\r\n\r\nto the end")) as p:
        assert (await aio.request("GET", p.url())).content == b"to the end"


async def test_servers_that_end_lines_with_a_line_feed_are_understood(aio: AsyncOutbound):
    with peer(once(b"HTTP/1.1 200 OK\nContent-Length: 2\nX-A: 1\n\nok")) as p:
        response = await aio.request("GET", p.url())
    assert (response.content, response.headers["x-a"]) == (b"ok", "1")


async def test_a_post_without_a_body_says_so(aio: AsyncOutbound):
    with peer(replies(answer())) as p:
        await aio.request("POST", p.url())
        await aio.request("GET", p.url())
    assert b"\r\nContent-Length: 0\r\n\r\n" in p.requests[0]
    assert b"content-length" not in p.requests[1].lower()


@pytest.mark.parametrize(
    "data",
    [
        answer() + answer(b"not asked for"),  # would be taken for the answer to the next request
        answer(headers=b"Connection: close\r\n"),
        answer(headers=b"Keep-Alive: timeout=1, max=100\r\n"),  # may close as the next one is written
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_is_not_fit_for_another_request_gets_none(aio: AsyncOutbound, data: bytes):
    with peer(replies(data)) as p:
        for _ in range(2):
            assert (await aio.request("GET", p.url())).content == b"ok"
    assert len(p.connections) == 2


async def test_an_answer_before_the_request_was_read_ends_the_connection(aio: AsyncOutbound):
    def handle(conversation: Conversation) -> None:
        conversation.sock.recv(1000)
        conversation.send(answer(b"", status="413 Too Large"))
        conversation.hang()

    with peer(handle) as p:
        for _ in range(2):
            assert (await aio.request("POST", p.url(), content=bytes(50_000_000))).status == 413
    assert len(p.connections) == 2


async def test_what_is_said_on_an_idle_connection_is_no_answer(aio: AsyncOutbound):
    said = threading.Event()

    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(answer())
        time.sleep(0.05)
        conversation.send(answer(b"from the past"))
        said.set()
        while conversation.read_request():
            conversation.send(answer(b"from the past"))

    with peer(handle) as p:
        await aio.request("GET", p.url())
        await asyncio.to_thread(said.wait, 5)
        await asyncio.sleep(0.05)
        assert (await aio.request("GET", p.url())).content == b"ok"
    assert len(p.connections) == 2


@pytest.mark.parametrize(("method", "times"), [("PUT", 3), ("POST", 2)])
async def test_an_idle_connection_that_was_closed_costs_only_what_may_be_sent_twice(
    aio: AsyncOutbound, method: str, times: int
):
    """The peer closes when it sees the second request, as one that was idle too long for it."""
    first = threading.Event()

    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(answer())
        if not first.is_set():
            first.set()
            conversation.read_request()

    with peer(handle) as p:
        await aio.request(method, p.url(), content=b"1")
        if method == "PUT":
            assert (await aio.request(method, p.url(), content=b"2")).status == 200
        else:
            error, _ = await timed(aio, method, p.url(), content=b"2")
            assert (type(error), error.code) == (OutboundConnectionFailed, "disconnected")
    assert len(p.requests) == times


async def test_idle_connections_make_room_for_others():
    async with AsyncOutbound(LOOPBACK, limit=2) as client:
        with peer(replies(answer())) as one, peer(replies(answer())) as two, peer(replies(answer())) as three:
            for p in (one, two, three, two, one):
                assert (await client.request("GET", p.url())).status == 200
            assert client._pool is not None
            assert len(client._pool._rested) == 2
    assert [len(p.connections) for p in (one, two, three)] == [2, 1, 1]


async def test_one_name_is_asked_for_once_however_many_call_it():
    asked = []

    def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        time.sleep(0.05)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with peer(replies(answer())) as p:
        async with AsyncOutbound(LOOPBACK, getaddrinfo=getaddrinfo) as client:
            calls = [client.request("GET", p.url(host="many.example")) for _ in range(20)]
            impatient = asyncio.create_task(client.request("GET", p.url(host="many.example"), timeout=0.01))
            answers = await asyncio.gather(*calls)
            with pytest.raises(OutboundTimeout):
                await impatient
    assert {response.status for response in answers} == {200}
    assert asked == ["many.example"]
