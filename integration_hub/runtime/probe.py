"""Whether the web server on this machine answers: exit status 0 or 1, for a container's health check."""

from __future__ import annotations

import contextlib
import http.client
import os
from urllib.parse import urlsplit

from integration_hub.config import load

LIVE = "/api/health/live"


def answers(host: str, port: int, base_url: str, *, timeout: float) -> bool:
    """Whether GET /api/health/live at `host` and `port` gives a status below 400.

    The request names the host of `base_url`, since the hub refuses others.
    """
    place = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(place, port, timeout=timeout)
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
        connection.request("GET", LIVE, headers={"Host": urlsplit(base_url).netloc})
        return connection.getresponse().status < 400
    return False


def main() -> int:
    config = load(os.environ)
    return 0 if answers(config.hub_host, config.hub_port, config.hub_base_url, timeout=4) else 1


if __name__ == "__main__":
    raise SystemExit(main())
