"""Inbound webhooks: how soon the provider is answered at 200 requests a second, on a hub that works them off
meanwhile.

The web server, the worker and the scheduler run as they do in life; a generator of another process sends
signed requests at fixed moments, whether or not the earlier ones were answered, so that waiting counts. The
peer is the same server's cheapest answer (a redirect) at the same rate: what the machine and the server
cost by themselves.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable

from benchmarks.measure import Figure

RATE = 200
SECONDS, QUICK_SECONDS = 20, 6
LIMIT_MS = 100.0
SECRET = "the-secret-of-the-benchmark"


def run(backend: str, *, quick: bool = False) -> list[Figure]:
    """Start a hub, send, and compare."""
    path = _prepared()
    port = _free_port()
    hub = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--with-parent"],
        env={**os.environ, "HUB_PORT": str(port), "HUB_BASE_URL": f"http://127.0.0.1:{port}"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/v1/health/live")
        seconds = QUICK_SECONDS if quick else SECONDS
        base = f"http://127.0.0.1:{port}"
        asyncio.run(_send(lambda n: _signed(base + path, -n - 1), 2))
        floor = asyncio.run(_send(lambda n: ("GET", f"{base}/", b"", {}), seconds))
        times = asyncio.run(_send(lambda n: _signed(base + path, n), seconds))
    finally:
        os.killpg(hub.pid, signal.SIGTERM)
        try:
            hub.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(hub.pid, signal.SIGKILL)
    ours, peer = _percentile(times, 99), _percentile(floor, 99)
    note = (
        f"p50 {_percentile(times, 50):.1f} ms, p99 {ours:.1f} ms over {len(times)} requests; "
        f"the server's cheapest answer: p50 {_percentile(floor, 50):.1f} ms, p99 {peer:.1f} ms"
    )
    return [
        Figure(
            f"{backend}: inbound webhooks, p99 of the answer at {RATE}/s",
            round(ours, 1),
            round(peer, 1),
            round(ours / peer, 2) if peer else 0.0,
            f"< {LIMIT_MS:g} ms",
            ours < LIMIT_MS,
            "ms",
            note,
        )
    ]


def _prepared() -> str:
    """An organization with an integration that signs by the generic scheme; the path of its address."""
    from apps.connectors.services import integrations
    from apps.tenants.principals import Actor
    from apps.tenants.services import organizations

    integration = integrations.create(
        organization=organizations.create(name="Benchmark"),
        actor=Actor("command", "benchmark", "Benchmark"),
        connector="rest",
        values={
            "name": "Provider",
            "code": "bench",
            "auth_mode": "none",
            "config": {"base_url": "https://provider.example.com", "streams": []},
        },
        webhook_secret=SECRET,
    )
    return f"/api/v1/webhooks/receive/{integration.code}"


def _signed(url: str, number: int) -> tuple[str, str, bytes, dict[str, str]]:
    body = json.dumps({"id": f"evt_{number}", "type": "order.paid", "note": "x" * 900}).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return "POST", url, body, {"X-Signature": signature, "Content-Type": "application/json"}


async def _send(
    request: Callable[[int], tuple[str, str, bytes, dict[str, str]]], seconds: float
) -> list[float]:
    """Milliseconds from the moment each request was due to its whole answer; raises if one is refused."""
    import aiohttp

    times: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:

        async def one(number: int, due: float) -> None:
            method, url, body, headers = request(number)
            async with session.request(
                method, url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                await answer.read()
                if answer.status not in (200, 302):
                    raise RuntimeError(f"{url} answered {answer.status}.")
            times.append((time.perf_counter() - due) * 1000)

        start = time.perf_counter() + 0.1
        tasks = []
        for number in range(int(RATE * seconds)):
            due = start + number / RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(one(number, due)))
        await asyncio.gather(*tasks)
    return times


def _percentile(times: list[float], percent: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _free_port() -> int:
    given = os.environ.get("BENCH_PORT")
    if given:
        return int(given)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for(url: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
