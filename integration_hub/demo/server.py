"""The other side of the demo, on this machine: the fleet system's API, and a receiver with moods.

    python -m integration_hub.demo.server        (port and the rest from HUB_HOME/demo.json)

`GET /fleet/v1/{locations,positions,rentals}` and `GET /staff/v1/employees` answer with pages by cursor;
`POST /hooks/billing` takes one message in three at once and is busy for the others.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from types import FrameType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from integration_hub.demo.fleet import FIRST_NAMES, LAST_NAMES, Fleet, Row, stamp
from integration_hub.demo.state import HOST, State

FLEET_TOKEN = "fleet-demo-7c1e4a90d2"  # noqa: S105  opens made-up data on this machine
STAFF_TOKEN = "staff-demo-51b8f3e6aa"  # noqa: S105
MOST = 1000  # rows of a page
EMPLOYEES = 48
DEPARTMENTS = (
    "Front desk",
    "Front desk",
    "Front desk",
    "Workshop",
    "Workshop",
    "Fleet",
    "Finance",
    "Marketing",
)


def employees(began: datetime) -> list[Row]:
    """The people of the staff directory."""
    rows = []
    for number in range(1, EMPLOYEES + 1):
        chance = random.Random(f"employee {number}")  # noqa: S311  made-up data
        first, last = chance.choice(FIRST_NAMES), LAST_NAMES[number % len(LAST_NAMES)]
        rows.append(
            {
                "id": f"E{number:03d}",
                "name": f"{first} {last}",
                "email": f"{first}.{last}.{number}@meridian.example".lower(),
                "department": chance.choice(DEPARTMENTS),
                "hired": f"{chance.randint(1998, 2025)}-{chance.randint(1, 12):02d}-01",
                "updated_at": stamp(began),
            }
        )
    return rows


class DemoServer(ThreadingHTTPServer):
    """Serves on 127.0.0.1. The staff directory takes its token only while `staff_open`."""

    daemon_threads = True

    def __init__(self, state: State, *, port: int = 0) -> None:
        super().__init__((HOST, port or state.port), _Handler)
        self.fleet = Fleet(state.began_at)
        self.began = state.began_at
        self.staff_open = False
        self.tries: defaultdict[str, int] = defaultdict(int)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()
        if self._thread is not None:
            self._thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hangs up is nothing to tell."""

    # --- what it answers

    def rows(self, name: str, after: int, since: datetime | None) -> Iterator[tuple[int, Row]]:
        if name == "employees":
            return ((n, row) for n, row in enumerate(employees(self.began)) if n > after)
        found: Iterator[tuple[int, Row]] = getattr(self.fleet, name)(after, since)
        return found

    def page(self, name: str, query: dict[str, str]) -> dict[str, Any]:
        size = min(int(query.get("limit", "100")), MOST)
        after = int(query.get("after", "-1"))
        since = datetime.fromisoformat(query["updated_since"]) if query.get("updated_since") else None
        found = list(islice(self.rows(name, after, since), size + 1))
        page: dict[str, Any] = {"results": [row for _, row in found[:size]], "paging": {}}
        if len(found) > size:
            page["paging"]["next"] = {"after": str(found[size - 1][0])}
        return page

    def busy(self, message_id: str) -> bool:
        """Whether a message is turned away: most once or twice, some always."""
        self.tries[message_id] += 1
        patience = random.Random(message_id).choice((0, 1, 1, 2, 99))  # noqa: S311  a mood
        return self.tries[message_id] <= patience


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "MeridianFleet/4.2"
    server: DemoServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        place = parts.path.strip("/").split("/")
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        match place:
            case ["fleet", "v1", name] if name in ("me", "locations", "positions", "rentals"):
                allowed, who = token == FLEET_TOKEN, "Meridian Car Hire"
            case ["staff", "v1", name] if name in ("me", "employees"):
                allowed, who = token == STAFF_TOKEN and self.server.staff_open, "Meridian staff directory"
            case _:
                self._say(404, {"error": {"message": f"There is no {parts.path}."}})
                return
        if not allowed:
            self._say(401, {"error": {"message": "The token is not valid: it was revoked or never issued."}})
        elif name == "me":
            self._say(200, {"account": who, "plan": "fleet"})
        else:
            try:
                self._say(200, self.server.page(name, dict(parse_qsl(parts.query))))
            except ValueError as error:
                self._say(400, {"error": {"message": str(error)}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/":  # where the receiver is while the hub is filled
            self._say(200, {"received": True})
        elif self.path != "/hooks/billing":
            self._say(404, {"error": {"message": f"There is no {self.path}."}})
        elif self.server.busy(self.headers.get("webhook-id", "")):
            self._say(
                503, {"error": {"message": "The billing system is closing its books. Come back later."}}
            )
        else:
            self._say(200, {"received": True})

    def _say(self, status: int, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> int:
    state = State.load(os.environ)
    if state is None:
        print("There is no demo in this HUB_HOME yet: `make demo` makes one.", file=sys.stderr)
        return 2
    server = DemoServer(state)

    def stop(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
