"""What it costs to know a caller, beside a bare view and the packages that others use.

All contestants answer the same JSON through Django's WSGI handler in one process, a few calls in turn. The
peers run behind the middleware that `startproject` writes; the hub behind all of its own, with limits, usage,
versions and request ids on. Warm means: the caller was known a moment ago. Figures are medians of the rounds,
in milliseconds of wall time; the note gives the ratio of CPU time.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import secrets
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from benchmarks.measure import Figure, at_most

ROUNDS, CALLS = 15, 150
LIMIT = 100
BARE, PEER_KEY, KEY = "bare view", "djangorestframework-api-key", "hub key"
PEER_BEARER, BEARER, TOKEN = "toolkit bearer", "hub bearer", "token"


@dataclass
class Contestant:
    """One way to answer, and what its rounds took: seconds a call."""

    handler: Any
    environ: dict[str, Any]
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def call(self) -> int:
        return call(self.handler, self.environ)

    def answer(self) -> bytes:
        told: list[str] = []
        asked = {**self.environ, "wsgi.input": io.BytesIO(self.environ["hub.body"])}
        body = b"".join(self.handler(asked, lambda status, headers: told.append(status)))
        assert told[0].startswith("200"), (told, body)
        return body

    def round(self, calls: int) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        statuses = [self.call() for _ in range(calls)]
        self.wall.append((time.perf_counter() - wall) / calls)
        self.cpu.append((time.process_time() - cpu) / calls)
        assert set(statuses) == {200}, statuses

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


def give_limits(key: Any, *, per_minute: int) -> None:
    """Limits of a key's own by the minute, hour and day, and a burst."""
    from apps.apikeys.services import limits
    from apps.tenants.principals import SYSTEM

    whole = {"per_minute": per_minute, "per_hour": per_minute * 60, "per_day": per_minute * 1440}
    limits.put(target=limits.of_key(key), actor=SYSTEM, whole={**whole, "burst": per_minute})


def contestants() -> dict[str, Contestant]:
    from rest_framework_api_key.models import APIKey as PeerAPIKey

    plain, hub = handlers()
    _, peer_key = PeerAPIKey.objects.create_key(name="bench")
    issued = _key()
    give_limits(issued.key, per_minute=500_000)
    application, secret = _application()
    body = b"grant_type=client_credentials&scope=records:read"
    basic = base64.b64encode(f"{application.client_id}:{secret}".encode()).decode()
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_AUTHORIZATION": f"Basic {basic}"}
    token = Contestant(hub, environ("/oauth/token", "POST", body, **form))
    bearer = json.loads(token.answer())["access_token"]

    def ours(credentials: str) -> Contestant:
        return Contestant(hub, environ("/api/v1/bench", HTTP_AUTHORIZATION=f"Bearer {credentials}"))

    return {
        BARE: Contestant(plain, environ("/bench/bare")),
        PEER_KEY: Contestant(plain, environ("/bench/peer-key", HTTP_AUTHORIZATION=f"Api-Key {peer_key}")),
        KEY: ours(issued.secret),
        PEER_BEARER: Contestant(
            plain,
            environ("/bench/peer-bearer", HTTP_AUTHORIZATION=f"Bearer {_toolkit_token(application)}"),
        ),
        BEARER: ours(bearer),
        TOKEN: token,
    }


def _application() -> tuple[Any, str]:
    from apps.apikeys.models import Application
    from apps.apikeys.services import applications
    from apps.tenants.principals import SYSTEM

    issued = applications.create(
        organization=_organization(),
        actor=SYSTEM,
        name=f"Bench {secrets.token_hex(4)}",
        flows=[Application.Flow.CLIENT_CREDENTIALS],
        scopes=["records:read"],
    )
    return issued.application, issued.secret


def _toolkit_token(application: Any) -> str:
    """A token as the toolkit keeps its own."""
    from django.utils import timezone

    from apps.apikeys.models import AccessToken
    from apps.tenants.models import User

    user = User.objects.create_user(f"bench-{secrets.token_hex(4)}@example.com", None)
    text = secrets.token_urlsafe(32)
    expires = timezone.now() + timedelta(days=1)
    AccessToken.objects.create(
        token=text, user=user, application=application, expires=expires, scope="records:read"
    )
    return text


def run(backend: str, quick: bool = False) -> list[Figure]:
    logging.disable(logging.ERROR)
    found = contestants()
    rounds, calls = (3, 40) if quick else (ROUNDS, CALLS)
    for contestant in found.values():
        for _ in range(20):
            status = contestant.call()
            assert status == 200, (contestant.environ["PATH_INFO"], status)
    for _ in range(rounds):
        for name, contestant in found.items():
            contestant.round(max(1, calls // 10) if name == TOKEN else calls)
    figures = []

    def against(name: str, ours: str, peer: str, times: float) -> None:
        mine, theirs = found[ours], found[peer]
        note = f"CPU ratio {mine.cpu_ms / theirs.cpu_ms:.2f}"
        figures.append(at_most(f"{name} ({backend})", mine.ms, theirs.ms, times, unit="ms", note=note))

    against("call with the hub's key, warm; bare view", KEY, BARE, 2.5)
    against("call with the hub's key, warm; djangorestframework-api-key", KEY, PEER_KEY, 1.0)
    against("call with the hub's bearer token, warm; bare view", BEARER, BARE, 2.0)
    against("call with the hub's bearer token, warm; django-oauth-toolkit", BEARER, PEER_BEARER, 1.0)
    figures.append(
        at_most(
            f"/oauth/token, client credentials; 15 ms of CPU ({backend})",
            found[TOKEN].cpu_ms,
            15.0,
            1.0,
            unit="ms",
        )
    )
    figures.append(_exact(backend, seconds=3.0 if quick else 66.0))
    return figures


# --- four at once on one key


def _exact(backend: str, *, seconds: float) -> Figure:
    """How many calls pass in any rolling minute when four callers hammer a key that may make a hundred.

    A call passed at some moment between being sent and being answered, so it surely lies within a minute only
    if both do. Taking the answers' moments alone counts one late answer of the minute before with the hundred
    of the next, and finds 101 where the limiter let 100 through.
    """
    issued = _key()
    give_limits(issued.key, per_minute=LIMIT)
    embedded = backend == "SQLite"
    passes = sorted((_by_threads if embedded else _by_processes)(issued.secret, seconds))
    most = surely_within(passes, 60)
    told = "threads of the one process" if embedded else "processes"
    return Figure(
        f"four {told}, one key, 100 a minute ({backend})",
        most,
        LIMIT,
        most / LIMIT,
        "exactly 100",
        most == LIMIT,
        "calls",
        f"{len(passes)} of all passed in {seconds:g} s",
    )


def surely_within(passes: list[tuple[float, float]], length: float) -> int:
    """The most calls (sent, answered) that were both sent and answered within some `length` of seconds."""
    most = 0
    for first, (begin, _) in enumerate(passes):
        most = max(most, sum(1 for _, answered in passes[first:] if answered < begin + length))
    return most


def hammer(secret: str, seconds: float) -> list[tuple[float, float]]:
    """The calls that passed: when each was sent and answered, by a clock that all processes share."""
    from django.core.handlers.wsgi import WSGIHandler

    handler, passes = WSGIHandler(), []
    asked = environ("/api/v1/bench", HTTP_AUTHORIZATION=f"Bearer {secret}")
    end = time.monotonic() + seconds
    while (sent := time.monotonic()) < end:
        status = call(handler, asked)
        assert status in (200, 429), status
        if status == 200:
            passes.append((sent, time.monotonic()))
        time.sleep(0.01)
    return passes


def _by_threads(secret: str, seconds: float) -> list[tuple[float, float]]:
    with ThreadPoolExecutor(4) as pool:
        return [found for part in pool.map(lambda _: hammer(secret, seconds), range(4)) for found in part]


def _by_processes(secret: str, seconds: float) -> list[tuple[float, float]]:
    code = (
        "import django, json, logging, sys; django.setup(); logging.disable(logging.ERROR)\n"
        "from benchmarks.access import hammer\n"
        "print('PASSES ' + json.dumps(hammer(sys.stdin.readline().strip(), float(sys.argv[1]))))\n"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in started:
        assert process.stdin is not None
        process.stdin.write(f"{secret}\n")
        process.stdin.flush()
    found: list[tuple[float, float]] = []
    for process in started:
        output, _ = process.communicate(timeout=seconds + 120)
        line = next(line for line in output.splitlines() if line.startswith("PASSES "))
        found += [(sent, answered) for sent, answered in json.loads(line[7:])]
    return found
