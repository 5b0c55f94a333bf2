"""What it costs to know a caller, beside a bare view and the packages that others use.

All contestants answer the same JSON through Django's WSGI handler in one process, a few calls in turn. The
peers run behind the middleware that `startproject` writes; the hub behind all of its own, with limits, usage,
versions and request ids on. Warm means: the caller was known a moment ago. Figures are medians of the rounds,
in milliseconds of wall time; the note gives the ratio of CPU time.
"""

from __future__ import annotations

import io
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.measure import Figure, at_most

ROUNDS, CALLS = 15, 150


@dataclass
class Contestant:
    """One way to answer, and what its rounds took: seconds a call."""

    handler: Any
    environ: dict[str, Any]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def call(self) -> int:
        return call(self.handler, self.environ)

    def round(self, calls: int) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(calls):
            self.call()
        self.wall.append((time.perf_counter() - wall) / calls)
        self.cpu.append((time.process_time() - cpu) / calls)

    @property
    def ms(self) -> float:
        return statistics.median(self.wall) * 1000

    @property
    def cpu_ms(self) -> float:
        return statistics.median(self.cpu) * 1000


def call(handler: Any, environ: dict[str, Any]) -> int:
    """One request through a WSGI handler, as a server makes it."""
    told: list[str] = []
    response = handler(
        {**environ, "wsgi.input": io.BytesIO(environ.get("hub.body", b""))},
        lambda status, headers: told.append(status),
    )
    b"".join(response)
    response.close()
    return int(told[0].split()[0])


def environ(path: str, method: str = "GET", body: bytes = b"", **headers: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "hub.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "192.0.2.7",
        "HTTP_HOST": "hub.test",
        "HTTP_ACCEPT": "application/json",
        "HTTP_USER_AGENT": "bench/1",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "hub.body": body,
        **headers,
    }


def handlers() -> tuple[Any, Any]:
    """The handler of a plain project, and the hub's."""
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.test import override_settings

    with override_settings(MIDDLEWARE=settings.PLAIN_MIDDLEWARE):
        plain = WSGIHandler()
    return plain, WSGIHandler()


def _organization() -> Any:
    from apps.tenants.models import Organization
    from apps.tenants.services import organizations

    return Organization.objects.filter(name="Bench").first() or organizations.create(name="Bench")


def _key(**values: Any) -> Any:
    """A key as people make them: scopes, permissions, an address list."""
    from apps.apikeys.services import keys
    from apps.tenants.principals import SYSTEM

    return keys.create(
        organization=_organization(),
        name="Bench",
        actor=SYSTEM,
        scopes=["records:read", "records:write"],
        ip_whitelist=["192.0.2.0/24"],
        **values,
    )


def contestants() -> dict[str, Contestant]:
    from rest_framework_api_key.models import APIKey as PeerAPIKey

    plain, hub = handlers()
    _, peer_key = PeerAPIKey.objects.create_key(name="bench")
    issued = _key()
    give_limits(issued.key, per_minute=10**6)
    return {
        "bare": Contestant(plain, environ("/bench/bare")),
        "djangorestframework-api-key": Contestant(
            plain, environ("/bench/peer-key", HTTP_AUTHORIZATION=f"Api-Key {peer_key}")
        ),
        "hub key": Contestant(hub, environ("/api/v1/bench", HTTP_AUTHORIZATION=f"Bearer {issued.secret}")),
    }


def give_limits(key: Any, *, per_minute: int) -> None:
    """Limits of a key's own by the minute, hour and day, and a burst."""
    from apps.apikeys.services import limits
    from apps.tenants.principals import SYSTEM

    numbers = {"per_minute": per_minute, "per_hour": per_minute * 60, "per_day": per_minute * 1000}
    whole = {**numbers, "burst": per_minute}
    limits.put(target=limits.of_key(key), actor=SYSTEM, whole=whole)


def run(backend: str, quick: bool = False) -> list[Figure]:
    found = contestants()
    rounds, calls = (3, 40) if quick else (ROUNDS, CALLS)
    for contestant in found.values():
        for _ in range(20):
            status = contestant.call()
            assert status == 200, (contestant.environ["PATH_INFO"], status)
    for _ in range(rounds):
        for contestant in found.values():
            contestant.round(calls)
    bare = found["bare"]
    figures = []

    def against(name: str, ours: str, peer: str, times: float) -> None:
        mine, theirs = found[ours], found[peer]
        figures.append(
            at_most(
                f"{name} ({backend})",
                mine.ms,
                theirs.ms,
                times,
                unit="ms",
                note=f"CPU ratio {mine.cpu_ms / theirs.cpu_ms:.2f}",
            )
        )

    against("a call with the hub's key, warm, against a bare view", "hub key", "bare", 2.5)
    against(
        "a call with the hub's key, warm, against djangorestframework-api-key",
        "hub key",
        "djangorestframework-api-key",
        1.0,
    )
    _ = bare
    return figures
