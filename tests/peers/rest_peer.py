"""A provider on this machine: a JSON API with every way of paging and authentication; faults on demand.

In a test:  `with RestPeer({"customers": rows}, auth=bearer("t0ken")) as peer: … peer.url …`
By hand:    `python -m tests.peers.rest_peer --port 8901 --data customers.json --auth bearer:t0ken`

`GET /<style>/<collection>` answers with rows; style is one of all, page, offset, cursor, link, body, row.
`GET /me` answers who the caller is. `updated_since` (query) and `If-Modified-Since` (header) leave older
rows out.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

Row = dict[str, Any]


@dataclass(frozen=True)
class Auth:
    """Whether a request proves who asks."""

    name: str
    check: Callable[[Mapping[str, str], Mapping[str, str]], bool]


def open_to_all() -> Auth:
    return Auth("none", lambda headers, query: True)


def api_key(key: str, name: str = "X-API-Key", prefix: str = "") -> Auth:
    return Auth("api_key", lambda headers, query: headers.get(name.lower()) == prefix + key)


def query_key(key: str, name: str = "api_key") -> Auth:
    return Auth("query", lambda headers, query: query.get(name) == key)


def basic(username: str, password: str) -> Auth:
    proof = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    return Auth("basic", lambda headers, query: headers.get("authorization") == proof)


def bearer(token: str) -> Auth:
    return Auth("bearer", lambda headers, query: headers.get("authorization") == f"Bearer {token}")


@dataclass
class Fault:
    """What goes wrong with requests whose path begins with `path`: after `after` good ones, `times` times.

    kind: status (with `status` and `headers`), drop (the connection breaks in the middle of the body), slow
    (`seconds`), broken_json, html, loop (the next link or cursor leads back), other_host (the next link leads
    elsewhere), hold (the answer waits until `release` is set), repeat (every page is the first), empty (an
    empty page with a next cursor), twice (rows move while one reads: the last row of a page comes again).
    """

    kind: str
    path: str = "/"
    after: int = 0
    times: int = 1_000_000
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0
    release: threading.Event = field(default_factory=threading.Event)
    seen: int = 0
    done: int = 0

    def strikes(self, path: str) -> bool:
        if not path.startswith(self.path):
            return False
        self.seen += 1
        if self.seen <= self.after or self.done >= self.times:
            return False
        self.done += 1
        return True


@dataclass(frozen=True)
class Seen:
    """One request that came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class RestPeer:
    """The server. `size` is the page size when a request names none; larger ones are cut to `cap`."""

    def __init__(
        self,
        collections: Mapping[str, Iterable[Row]] | None = None,
        *,
        auth: Auth | None = None,
        size: int = 10,
        cap: int = 1000,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.collections: dict[str, list[Row]] = {k: list(v) for k, v in (collections or {}).items()}
        self.auth = auth or open_to_all()
        self.size, self.cap = size, cap
        self.faults: list[Fault] = []
        self.requests: list[Seen] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer((host, port), _handler(self))
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fault(self, kind: str, **options: Any) -> Fault:
        """Let something go wrong from now on."""
        fault = Fault(kind, **options)
        self.faults.append(fault)
        return fault

    def paths(self) -> list[str]:
        return [seen.path for seen in self.requests]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()

    def serve(self) -> None:
        """In the foreground, until it is interrupted."""
        with contextlib.suppress(KeyboardInterrupt):
            self._server.serve_forever()
        self._server.server_close()

    # What it answers.

    def rows(self, name: str, query: Mapping[str, str], headers: Mapping[str, str]) -> list[Row]:
        rows = self.collections[name]
        since: datetime | None = None
        if query.get("updated_since"):
            since = _moment(query["updated_since"])
        elif headers.get("if-modified-since"):
            since = parsedate_to_datetime(headers["if-modified-since"])
        if since is not None:
            rows = [row for row in rows if _moment(row["updated_at"]) >= since]
        return rows


def _moment(text: str) -> datetime:
    if text.isdigit():
        seconds = int(text)
        return datetime.fromtimestamp(seconds / 1000 if seconds > 10**11 else seconds, tz=UTC)
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Dropped(Exception):
    """The connection is to be broken."""


def _handler(peer: RestPeer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "RestPeer/1.0"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            length = int(headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            with peer.lock:
                peer.requests.append(Seen(self.command, parts.path, query, headers, body))
                faults = {fault.kind: fault for fault in peer.faults if fault.strikes(parts.path)}
            if "slow" in faults:
                time.sleep(faults["slow"].seconds)
            if "hold" in faults:
                faults["hold"].release.wait(30)
            if "status" in faults:
                fault = faults["status"]
                self._send(fault.status, fault.body or {"message": "It went wrong."}, fault.headers)
                return
            if not peer.auth.check(headers, query):
                self._send(401, {"error": {"message": "Unknown credentials."}})
                return
            if "html" in faults:
                self._send_bytes(200, b"<!doctype html><title>Sign in</title>", {"Content-Type": "text/html"})
                return
            if parts.path in ("/me", "/"):
                self._send(200, {"login": "integration-hub", "auth": peer.auth.name})
                return
            style, _, name = parts.path.strip("/").partition("/")
            serve = getattr(self, f"_style_{style}", None)
            if serve is None or name not in peer.collections:
                self._send(404, {"message": f"There is no {parts.path}."})
                return
            with peer.lock:
                rows = list(peer.rows(name, query, headers))
            document, more = serve(rows, {**query, **(body or {})}, faults)
            if "drop" in faults:
                self._drop(document)
            elif "broken_json" in faults:
                text = json.dumps(document).encode()
                self._send_bytes(200, text[: len(text) // 2], {"Content-Type": "application/json", **more})
            else:
                self._send(200, document, more)

        # The ways of paging. Each returns the document and extra headers.

        def _slice(
            self, rows: list[Row], start: int, query: dict[str, Any], faults: dict[str, Fault]
        ) -> list[Row]:
            size = self._size(query)
            if "repeat" in faults:
                start = 0
            found = rows[start : start + size]
            if "twice" in faults and start:
                found = [rows[start - 1], *found]
            return found

        def _size(self, query: dict[str, Any]) -> int:
            return min(int(query.get("limit") or query.get("per_page") or peer.size), peer.cap)

        def _style_all(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            return rows, {}

        def _style_page(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            page, size = int(query.get("page") or 1), self._size(query)
            found = self._slice(rows, (page - 1) * size, query, faults)
            return {"data": found, "pages": -(-len(rows) // size), "total": len(rows)}, {}

        def _style_offset(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            start = int(query.get("offset") or 0)
            found = self._slice(rows, start, query, faults)
            return {"items": found, "total": len(rows), "has_more": start + len(found) < len(rows)}, {}

        def _style_cursor(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            start, size = int((query.get("after") or "0").partition(".")[0]), self._size(query)
            following: Any = start + size if start + size < len(rows) else None
            found = self._slice(rows, start, query, faults)
            if "empty" in faults:
                found, following = [], f"{start}.{faults['empty'].done}"
            if "loop" in faults and start:
                following = 0
            document = {"results": found, "paging": {}}
            if following is not None:
                document["paging"] = {"next": {"after": str(following)}}
            return document, {}

        def _style_row(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            ids = [str(row["id"]) for row in rows]
            start = ids.index(query["starting_after"]) + 1 if query.get("starting_after") else 0
            found = self._slice(rows, start, query, faults)
            return {"data": found, "has_more": start + len(found) < len(rows)}, {}

        def _next_link(self, start: int, query: dict[str, Any], faults: dict[str, Fault]) -> str:
            if "loop" in faults and query.get("start"):
                start = 0
            host = "http://other-host.test" if "other_host" in faults else peer.url
            return f"{host}{urlsplit(self.path).path}?{urlencode({**query, 'start': start})}"

        def _style_link(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            start, size = int(query.get("start") or 0), self._size(query)
            headers = {}
            if start + size < len(rows) or "loop" in faults:
                link = self._next_link(start + size, query, faults)
                headers["Link"] = f'<{peer.url}/>; rel="first", <{link}>; rel="next"; title="next, page"'
            return self._slice(rows, start, query, faults), headers

        def _style_body(self, rows: list[Row], query: dict[str, Any], faults: dict[str, Fault]) -> Any:
            start, size = int(query.get("start") or 0), self._size(query)
            link = self._next_link(start + size, query, faults) if start + size < len(rows) else None
            return {"value": self._slice(rows, start, query, faults), "next": link}, {}

        # On the wire.

        def _send(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
            more = {"Content-Type": "application/json", **(headers or {})}
            self._send_bytes(status, json.dumps(document).encode(), more)

        def _send_bytes(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
            self.send_response_only(status)
            self.send_header("Date", formatdate(usegmt=True))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _drop(self, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response_only(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    return Handler


def _auth_of(text: str) -> Auth:
    """`none`, `bearer:<token>`, `api_key:<key>`, `query:<key>` or `basic:<user>:<password>`."""
    kind, _, rest = text.partition(":")
    match kind:
        case "none":
            return open_to_all()
        case "bearer":
            return bearer(rest)
        case "api_key":
            return api_key(rest)
        case "query":
            return query_key(rest)
        case "basic":
            username, _, password = rest.partition(":")
            return basic(username, password)
    raise SystemExit(f"There is no authentication “{kind}”.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose one")
    parser.add_argument(
        "--data", type=Path, help="a JSON object of collections, or a list (then called “rows”)"
    )
    parser.add_argument("--auth", default="none", help=_auth_of.__doc__)
    parser.add_argument("--size", type=int, default=100, help="rows on a page")
    options = parser.parse_args()
    data = json.loads(options.data.read_text(encoding="utf-8")) if options.data else {}
    collections = data if isinstance(data, dict) else {"rows": data}
    peer = RestPeer(collections, auth=_auth_of(options.auth), size=options.size, port=options.port)
    print(
        json.dumps({"url": peer.url, "collections": {k: len(v) for k, v in collections.items()}}), flush=True
    )
    peer.serve()


if __name__ == "__main__":
    main()
