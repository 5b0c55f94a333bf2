from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from apps.kernel import outbound
from apps.kernel.errors import InvalidInput
from apps.kernel.outbound import (
    Outbound,
    OutboundBlocked,
    OutboundConnectionFailed,
    OutboundError,
    OutboundPolicy,
    OutboundProtocolError,
    OutboundTimeout,
    OutboundTooLarge,
)
from tests.kernel.outbound.conftest import LOOPBACK, server_context
from tests.kernel.outbound.peers import Conversation, answer, endless, hole, peer, replies
from tests.memory import costs_at_most


def resolver(answers: dict[str, list[list[str]]], asked: list[str] | None = None) -> Any:
    """A name server; each host has a list of answers, of which the last one repeats."""

    def getaddrinfo(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        if asked is not None:
            asked.append(host)
        queue = answers[host]
        addresses = queue.pop(0) if len(queue) > 1 else queue[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


# What is sent.


def test_a_request_arrives_as_it_was_meant(client: Outbound):
    with peer(
        replies(answer(b'{"ok":true}', headers=b"X-A: 1\r\nx-a: 2\r\nContent-Type: application/json\r\n"))
    ) as p:
        response = client.request(
            "post",
            p.url("/path?a=1#fragment"),
            params={"b": ["2", "3"], "c": "ü&"},
            json={"n": 1, "t": "ü"},
            headers={"X-Mine": "yes"},
            auth=("user", "pässword"),
        )
    head, _, body = p.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")

    assert lines[0] == b"POST /path?a=1&b=2&b=3&c=%C3%BC%26 HTTP/1.1"
    assert f"Host: 127.0.0.1:{p.port}".encode() in lines
    assert b"X-Mine: yes" in lines
    assert b"Content-Type: application/json" in lines
    assert b"Authorization: Basic dXNlcjpww6Rzc3dvcmQ=" in lines
    assert b"Accept-Encoding: gzip, deflate" in lines
    assert body == '{"n":1,"t":"ü"}'.encode()
    assert (response.status, response.ok, response.json()) == (200, True, {"ok": True})
    assert response.headers["content-type"] == "application/json"
    assert response.headers.getall("X-A") == ["1", "2"]
    assert 0 <= response.elapsed_ms < 5000


def test_forms_and_bytes_are_sent(client: Outbound):
    with peer(replies(answer())) as p:
        client.request("POST", p.url(), data={"a": "1 2", "b": ["x", "y"]})
        client.request(
            "PUT", p.url(), content=b"\x00\xff", headers=[("Content-Type", "application/octet-stream")]
        )
        client.request("POST", p.url(), files={"file": ("a.txt", b"hello", "text/plain")})

    assert p.requests[0].endswith(b"\r\n\r\na=1+2&b=x&b=y")
    assert b"application/x-www-form-urlencoded" in p.requests[0]
    assert p.requests[1].endswith(b"\r\n\r\n\x00\xff")
    assert b'filename="a.txt"' in p.requests[2]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1\r\nX-Injected: 1"},
        {"X-A": "1\nX-Injected: 1"},
        {"X-A\r\nX-Injected": "1"},
        {"X A": "1"},
        {"": "1"},
        {"X-A": "\x00"},
        {"X-A": "\ud800"},
        {"Host": "internal.example"},
        {"Content-Length": "0"},
        {"Transfer-Encoding": "chunked"},
        {"connection": "close"},
        {"Expect": "100-continue"},
    ],
)
def test_headers_that_would_smuggle_are_refused_and_nothing_is_sent(
    client: Outbound, headers: dict[str, str]
):
    with peer(replies(answer())) as p, pytest.raises(InvalidInput) as caught:
        client.request("GET", p.url(), headers=headers)
    assert caught.value.code == "header_invalid"
    assert p.connections == []


@pytest.mark.parametrize("method", ["GET /x HTTP/1.1\r\n", "", "CONNECT", "TRACE", "GE T", "GET\x00"])
def test_methods_that_are_not_sent(client: Outbound, method: str):
    with peer(replies(answer())) as p, pytest.raises(InvalidInput):
        client.request(method, p.url())
    assert p.connections == []


def test_cookies_of_one_answer_are_not_sent_with_the_next_request(client: Outbound):
    with peer(replies(answer(headers=b"Set-Cookie: session=of-somebody-else\r\n"))) as p:
        client.request("GET", p.url())
        client.request("GET", p.url())

    assert b"cookie" not in p.requests[1].lower()


def test_proxies_of_the_environment_are_ignored(client: Outbound, monkeypatch: pytest.MonkeyPatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with peer(replies(answer())) as p:
        assert client.request("GET", p.url()).status == 200


def test_a_netrc_is_ignored(client: Outbound, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login u password p")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with peer(replies(answer())) as p:
        client.request("GET", p.url())
    assert b"authorization" not in p.requests[0].lower()


# Answers.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_answers_and_never_followed(client: Outbound, status: int):
    with peer(replies(answer())) as target:
        location = f"Location: {target.url('/stolen')}\r\n".encode()
        with peer(replies(answer(b"", status=f"{status} Moved", headers=location))) as p:
            response = client.request("GET", p.url())

    assert (response.status, response.ok) == (status, False)
    assert target.connections == []


def test_a_body_that_is_larger_than_allowed_is_refused_or_cut(client: Outbound):
    with peer(replies(answer(b"x" * 1001))) as p:
        assert len(client.request("GET", p.url(), max_bytes=1001).content) == 1001
        with pytest.raises(OutboundTooLarge, match="more than 1,000 bytes") as caught:
            client.request("GET", p.url(), max_bytes=1000)
        cut = client.request("GET", p.url(), max_bytes=1000, truncate=True)

    assert not caught.value.transient
    assert (len(cut.content), cut.truncated) == (1000, True)


def test_a_gigabyte_costs_no_more_than_the_cap(client: Outbound):
    with costs_at_most(50), peer(endless) as p:
        with pytest.raises(OutboundTooLarge):
            client.request("GET", p.url(), max_bytes=2**20)
        assert len(client.request("GET", p.url(), max_bytes=2**20, truncate=True).content) == 2**20


def test_a_gzip_bomb_costs_no_more_than_the_cap(client: Outbound, gzip_bomb: bytes):
    assert len(gzip_bomb) < 2_000_000
    with costs_at_most(50), peer(replies(answer(gzip_bomb, headers=b"Content-Encoding: gzip\r\n"))) as p:
        with pytest.raises(OutboundTooLarge):
            client.request("GET", p.url(), max_bytes=2**20)
        cut = client.request("GET", p.url(), max_bytes=2**20, truncate=True)

    assert (cut.content, cut.truncated) == (bytes(2**20), True)


def test_compressed_bodies_are_decoded(client: Outbound, small_gzip: bytes):
    text = b'{"hello": "world"}'
    raw = zlib.compressobj(wbits=-15)
    bodies = [
        (b"gzip", small_gzip),
        (b"x-gzip", small_gzip),
        (b"gzip", small_gzip[:30] and small_gzip + b"\0" * 10),
        (b"deflate", zlib.compress(text)),
        (b"deflate", raw.compress(text) + raw.flush()),
        (b"identity", text),
        (b"GZIP ", small_gzip),
    ]
    for encoding, body in bodies:
        with peer(replies(answer(body, headers=b"Content-Encoding: " + encoding + b"\r\n"))) as p:
            assert client.request("GET", p.url()).json() == {"hello": "world"}, encoding


def test_a_gzip_file_of_two_members_is_read_whole(client: Outbound, small_gzip: bytes):
    with peer(replies(answer(small_gzip * 2, headers=b"Content-Encoding: gzip\r\n"))) as p:
        assert client.request("GET", p.url()).content == b'{"hello": "world"}' * 2


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_encodings_that_were_not_asked_for_are_errors(client: Outbound, encoding: str):
    with peer(replies(answer(b"data", headers=f"Content-Encoding: {encoding}\r\n".encode()))) as p:
        with pytest.raises(OutboundProtocolError):
            client.request("GET", p.url())
        assert client.request("GET", p.url(), truncate=True).content == b"data"


def test_damaged_compression_is_an_error(client: Outbound, small_gzip: bytes):
    for body in (small_gzip[:-9], b"not gzip", small_gzip[:12] + b"\xff" * 30):
        with peer(replies(answer(body, headers=b"Content-Encoding: gzip\r\n"))) as p:
            with pytest.raises(OutboundProtocolError, match="damaged"):
                client.request("GET", p.url())
            assert client.request("GET", p.url(), truncate=True).status == 200


def test_an_empty_body_may_claim_to_be_compressed(client: Outbound):
    with peer(replies(answer(b"", headers=b"Content-Encoding: gzip\r\n"))) as p:
        assert client.request("GET", p.url()).content == b""


def test_head_has_no_body_and_no_limit(client: Outbound):
    with peer(replies(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")) as p:
        assert client.request("HEAD", p.url()).content == b""
        assert client.request("HEAD", p.url()).headers["Content-Length"] == "999999999"


def test_text_follows_the_declared_charset(client: Outbound):
    cases = [
        (b"text/plain; charset=iso-8859-1", "ü".encode("latin-1"), "ü"),
        (b"text/plain", "ü".encode(), "ü"),
        (b"text/plain; charset=nonsense", "ü".encode(), "ü"),
        (b"text/plain; charset=utf-8", b"\xff", "�"),
        (b"text/plain; charset=hex", b"zz", "zz"),
    ]
    for kind, body, text in cases:
        with peer(replies(answer(body, headers=b"Content-Type: " + kind + b"\r\n"))) as p:
            assert client.request("GET", p.url()).text == text


def test_json_that_is_none_is_said_so(client: Outbound):
    with peer(replies(answer(b"<html>"))) as p:
        response = client.request("GET", p.url())
    with pytest.raises(InvalidInput, match="not valid JSON"):
        response.json()


def test_headers_of_any_bytes_can_be_stored(client: Outbound):
    with peer(replies(answer(headers=b"X-Name: caf\xe9 \xff\r\n"))) as p:
        assert client.request("GET", p.url()).headers["X-Name"] == "café ÿ"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"\x00\x01\x02",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
def test_what_is_no_http_is_a_protocol_error(client: Outbound, data: bytes):
    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(data)

    with peer(handle) as p, pytest.raises(OutboundProtocolError) as caught:
        client.request("GET", p.url("/?api_key=s3cr3t"))
    assert caught.value.transient
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nX-A: 1\r\n", answer(b"x" * 10)[:-5]])
def test_a_connection_that_breaks_is_transient(client: Outbound, data: bytes):
    def handle(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(data)

    with peer(handle) as p, pytest.raises(OutboundConnectionFailed) as caught:
        client.request("GET", p.url())
    assert (caught.value.code, caught.value.transient) == ("disconnected", True)


# Deadlines.


def timed(call: Any, *arguments: Any, **options: Any) -> tuple[OutboundError, float]:
    started = time.monotonic()
    with pytest.raises(OutboundError) as caught:
        call(*arguments, **options)
    return caught.value, time.monotonic() - started


def test_a_peer_that_accepts_and_says_nothing_is_cut(client: Outbound):
    with peer(lambda c: (c.read_request(), c.hang())[-1]) as p:  # type: ignore[func-returns-value]
        error, seconds = timed(client.request, "GET", p.url("/?token=s3cr3t"), timeout=0.4)

    assert isinstance(error, OutboundTimeout)
    assert 0.35 < seconds < 1.5
    assert str(error) == f"127.0.0.1:{p.port} did not answer completely within 0.4 s."


@pytest.mark.parametrize("part", ["headers", "body", "chunks", "interim"])
def test_a_peer_that_drips_is_cut_at_the_deadline(client: Outbound, part: str):
    scripts = {
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

    with peer(handle) as p:
        error, seconds = timed(client.request, "GET", p.url(), timeout=0.5)

    assert isinstance(error, OutboundTimeout)
    assert 0.45 < seconds < 1.5


def test_a_peer_that_reads_slowly_is_cut_at_the_deadline(client: Outbound):
    def handle(conversation: Conversation) -> None:
        while not conversation.stopped.wait(0.05):
            conversation.sock.recv(1000)

    with peer(handle) as p:
        error, seconds = timed(client.request, "POST", p.url(), content=bytes(50_000_000), timeout=0.5)

    assert isinstance(error, OutboundTimeout)
    assert 0.45 < seconds < 1.5


def test_a_port_that_accepts_nobody_is_given_up_after_the_time_to_connect(client: Outbound):
    with hole() as port:
        error, seconds = timed(client.request, "GET", f"http://127.0.0.1:{port}/", connect_timeout=0.4)

    assert isinstance(error, OutboundTimeout)
    assert error.code == "connect_timeout"
    assert 0.35 < seconds < 1.5


def test_a_tls_handshake_that_never_ends_is_given_up(client: Outbound):
    with peer(lambda c: c.drip(b"\x16\x03\x03\x40\x00" + b"\x02" * 500, 0.05)) as p:
        error, seconds = timed(client.request, "GET", p.url(scheme="https"), timeout=5, connect_timeout=0.5)

    assert isinstance(error, OutboundTimeout)
    assert 0.45 < seconds < 1.5


def test_a_name_server_that_hangs_is_given_up():
    released = threading.Event()

    def hanging(*arguments: Any, **options: Any) -> list[Any]:
        released.wait(10)
        return []

    with Outbound(LOOPBACK, getaddrinfo=hanging) as client:
        error, seconds = timed(client.request, "GET", "http://slow.example/", timeout=0.4)
    released.set()

    assert isinstance(error, OutboundTimeout)
    assert 0.35 < seconds < 1.5


def test_a_refused_connection_is_transient(client: Outbound):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error, _ = timed(client.request, "GET", f"http://127.0.0.1:{port}/?key=s3cr3t")

    assert isinstance(error, OutboundConnectionFailed)
    assert str(error) == f"127.0.0.1:{port} cannot be reached: Connection refused."


# The guard.


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"]
)
def test_the_loopback_is_not_called_under_any_spelling(host: str):
    closed = Outbound(OutboundPolicy(allow_http=True))
    with peer(replies(answer())) as p, pytest.raises(OutboundBlocked):
        closed.request("GET", p.url("/?token=s3cr3t", host=host))
    assert p.connections == []


def test_a_rebinding_name_is_refused_when_it_leads_inside():
    with peer(replies(answer(headers=b"Connection: close\r\n"))) as p:
        asked: list[str] = []
        names = resolver({"rebind.example": [["127.0.0.1"], ["10.0.0.5"], ["127.0.0.1", "10.0.0.5"]]}, asked)
        with Outbound(LOOPBACK, getaddrinfo=names) as client:
            url = p.url(host="rebind.example")
            assert client.request("GET", url).status == 200
            for _ in range(2):
                with pytest.raises(OutboundBlocked):
                    client.request("GET", url)

    assert asked == ["rebind.example"] * 3
    assert len(p.connections) == 1
    assert f"Host: rebind.example:{p.port}".encode() in p.requests[0]


def test_a_name_is_resolved_once_so_nothing_changes_between_check_and_connection():
    with peer(replies(answer())) as p:
        asked: list[str] = []
        names = resolver({"once.example": [["127.0.0.1"], ["127.0.0.2"]]}, asked)
        with Outbound(LOOPBACK, getaddrinfo=names) as client:
            assert client.request("GET", p.url(host="once.example")).status == 200
    assert asked == ["once.example"]


def test_the_second_address_serves_when_the_first_is_dead():
    with peer(replies(answer())) as p:
        names = resolver({"two.example": [["::1", "127.0.0.1"]]})
        with Outbound(LOOPBACK, getaddrinfo=names) as client:
            assert client.request("GET", p.url(host="two.example")).status == 200


def test_a_pooled_connection_serves_only_its_own_policy():
    closed_client = Outbound(OutboundPolicy(allow_http=True))
    with peer(replies(answer())) as p, Outbound(LOOPBACK) as open_client:
        assert open_client.request("GET", p.url()).status == 200
        with pytest.raises(OutboundBlocked):
            closed_client.request("GET", p.url())
        with pytest.raises(OutboundBlocked):
            open_client.request("GET", p.url(), allow_http=False)
    assert len(p.requests) == 1


def test_the_shared_client_follows_the_settings(settings):
    with peer(replies(answer())) as p:
        settings.HUB_ALLOW_HTTP = True
        settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]
        assert outbound.request("GET", p.url()).status == 200
        settings.HUB_OUTBOUND_ALLOW = []
        with pytest.raises(OutboundBlocked):
            outbound.request("GET", p.url())
    assert len(p.requests) == 1


def test_ipv6_is_called_too(client: Outbound):
    with peer(replies(answer()), host="::1") as p:
        assert client.request("GET", p.url(host="[::1]")).status == 200
    assert f"Host: [::1]:{p.port}".encode() in p.requests[0]


# Connections.


def test_connections_are_kept_alive(client: Outbound):
    with peer(replies(answer())) as p:
        for _ in range(5):
            client.request("GET", p.url())
    assert (len(p.connections), len(p.requests)) == (1, 5)


def test_a_connection_that_the_peer_closed_meanwhile_is_replaced(client: Outbound):
    def once(conversation: Conversation) -> None:
        conversation.read_request()
        conversation.send(answer())

    with peer(once) as p:
        for expected in range(1, 6):
            assert client.request("GET", p.url()).status == 200
            assert len(p.connections) == expected
            deadline = time.monotonic() + 5  # until the peer's FIN is here
            while any(not c.has_expired() for c in client._pools[True].connections):
                assert time.monotonic() < deadline
                time.sleep(0.005)


def test_an_unread_answer_does_not_leak_into_the_next(client: Outbound):
    with peer(replies(answer(b"first" * 1000))) as p:
        assert client.request("GET", p.url(), max_bytes=10, truncate=True).content == b"firstfirst"
        assert client.request("GET", p.url()).content == b"first" * 1000
    assert len(p.connections) == 2


def test_one_client_serves_many_threads(client: Outbound):
    def echo(conversation: Conversation) -> None:
        while request := conversation.read_request():
            conversation.send(answer(request.split(b" ")[1]))

    with peer(echo) as p, ThreadPoolExecutor(16) as pool:
        bodies = list(pool.map(lambda n: client.request("GET", p.url(f"/{n}")).content, range(300)))
    assert bodies == [b"/%d" % n for n in range(300)]


def test_a_forked_child_does_not_speak_on_its_parents_connection(settings):
    settings.HUB_ALLOW_HTTP = True
    settings.HUB_OUTBOUND_ALLOW = ["127.0.0.0/8"]
    with peer(replies(answer())) as p:
        outbound.request("GET", p.url())
        child = os.fork()
        if child == 0:
            try:
                status = outbound.request("GET", p.url("/child")).status
            except BaseException:
                status = 0
            os._exit(0 if status == 200 else 1)
        _, code = os.waitpid(child, 0)
        assert outbound.request("GET", p.url("/parent")).status == 200

    assert code == 0
    assert len(p.connections) == 2


# Certificates.


def client_for(names: dict[str, list[list[str]]]) -> Outbound:
    return Outbound(LOOPBACK, getaddrinfo=resolver(names))


def test_a_valid_certificate_is_accepted_and_the_name_is_sent(trusted: Path):
    seen: list[str | None] = []
    context = server_context(trusted, "good")
    context.sni_callback = lambda sock, name, _: seen.append(name)
    names = {"good.example": [["127.0.0.1"]], "good.example.": [["127.0.0.1"]]}
    with peer(replies(answer()), context=context) as p, client_for(names) as client:
        assert client.request("GET", p.url(host="good.example", scheme="https")).status == 200
        assert client.request("GET", p.url(host="good.example.", scheme="https")).status == 200

    assert seen == ["good.example", "good.example"]


@pytest.mark.parametrize(
    ("certificate", "host", "words"),
    [
        ("expired", "good.example", "certificate has expired"),
        ("good", "other.example", "Hostname mismatch"),
    ],
)
def test_a_wrong_certificate_is_refused(trusted: Path, certificate: str, host: str, words: str):
    context = server_context(trusted, certificate)
    with peer(replies(answer()), context=context) as p, client_for({host: [["127.0.0.1"]]}) as client:
        url = p.url("/?token=s3cr3t", host=host, scheme="https")
        with pytest.raises(OutboundConnectionFailed, match=words) as caught:
            client.request("GET", url)
        assert client.request("GET", url, verify=False).status == 200
        with pytest.raises(OutboundConnectionFailed):
            client.request("GET", url)  # the unverified connection is not used for it

    assert caught.value.code == "tls_failed"
    assert "s3cr3t" not in str(caught.value)


def test_an_unknown_authority_is_refused(certificates: Path):
    client = client_for({"good.example": [["127.0.0.1"]]})
    with (
        peer(replies(answer()), context=server_context(certificates, "good")) as p,
        pytest.raises(OutboundConnectionFailed, match="certificate is not valid"),
    ):
        client.request("GET", p.url(host="good.example", scheme="https"))
    assert p.requests == []


def test_https_to_a_plain_server_is_a_failed_connection(client: Outbound):
    plain = peer(lambda c: c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with plain as p, pytest.raises(OutboundConnectionFailed) as caught:
        client.request("GET", p.url(scheme="https"))
    assert caught.value.code == "tls_failed"


def test_a_response_shows_no_secret_of_its_url(client: Outbound):
    with peer(replies(answer(b"secret body"))) as p:
        response = client.request("GET", p.url("/a?api_key=s3cr3t&page=2"))
    assert (
        repr(response)
        == f"<OutboundResponse 200 from http://127.0.0.1:{p.port}/a?api_key=***&page=2, 11 bytes>"
    )


def test_the_policy_of_a_network_of_ones_own():
    policy = OutboundPolicy(allow=(ipaddress.ip_network("127.0.0.1/32"),), allow_http=True)
    with peer(replies(answer())) as p, Outbound(policy) as client:
        assert client.request("GET", p.url()).status == 200
        with pytest.raises(OutboundBlocked):
            client.request("GET", p.url(host="127.0.0.2"))
