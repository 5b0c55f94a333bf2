"""Deliveries a second against one Celery task with `requests` per delivery and against a bare asyncio
client; time from commit to the first byte; what one hanging endpoint does to the others; claims and lists of
a long queue.

The receiver is a process of its own on this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from benchmarks.measure import Figure, at_least, at_most, median, timed

ENDPOINTS = 50
DATA = {"order": 7, "text": "x" * 900}  # with the envelope some 1 KB


@contextmanager
def receiver() -> Iterator[str]:
    """The address of a receiver."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.receiver"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait()


def ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:
        return json.load(answer)


def house(name: str, url: str, *, endpoints: int = ENDPOINTS, hanging: bool = False) -> Any:
    """An organization with endpoints, each of which listens for a type of its own."""
    from apps.tenants.principals import SYSTEM
    from apps.tenants.services import organizations
    from apps.webhooks.services import endpoints as verbs

    organization = organizations.create(name=name)
    for n in range(endpoints):
        hangs = hanging and n == 0
        verbs.create(
            organization=organization,
            actor=SYSTEM,
            name=f"Endpoint {n}",
            url=f"{url}/hang" if hangs else f"{url}/{n}",
            events=[f"custom.order.n{n}"],
            timeout=10 if hangs else None,
        )
    return organization


def publish(organization: Any, count: int, *, endpoints: int = ENDPOINTS) -> None:
    from apps.events.services import outbox

    for start in range(0, count, 2000):
        outbox.publish_many(
            organization=organization,
            drafts=[
                outbox.Draft(type=f"custom.order.n{n % endpoints}", data=DATA)
                for n in range(start, min(start + 2000, count))
            ],
        )


def ours(organization: Any, count: int) -> tuple[float, float]:
    """Deliveries a second, everything recorded: with the fan-out, and without it."""
    from apps.events.services import fanout
    from apps.webhooks.services import dispatch

    publish(organization, count)
    handed = timed(lambda: fanout.sweep(seconds=600))
    begun = time.perf_counter()
    done = dispatch.drain(seconds=600, linger=0)
    sending = time.perf_counter() - begun
    assert done.delivered == count, done
    return count / (handed + sending), count / sending


def bare(url: str, count: int) -> float:
    """POSTs a second of aiohttp on uvloop, with nothing around it."""
    import aiohttp
    import uvloop

    body = json.dumps({"id": "evt_1", "type": "custom.order", "data": DATA}).encode()

    async def main() -> float:
        waiting = iter(range(count))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

            async def work(n: int) -> None:
                for _ in waiting:
                    async with session.post(f"{url}/{n}", data=body) as answer:
                        await answer.read()

            begun = time.perf_counter()
            await asyncio.gather(*(work(n) for n in range(100)))
            return count / (time.perf_counter() - begun)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


def celery_peer(url: str, count: int) -> float | None:
    """Deliveries a second of two worker processes that run one task with `requests` and one row each; None
    without Redis.
    """
    broker = os.environ.get("BENCH_REDIS_URL") or os.environ.get("TEST_REDIS_URL")
    if not broker:
        return None
    from benchmarks import webhooks_peer

    environment = {**os.environ, "BENCH_REDIS_URL": broker}
    worker = subprocess.Popen(
        [
            *[sys.executable, "-m", "celery", "--quiet", "-A", "benchmarks.webhooks_peer", "worker"],
            *["-c", "2", "-l", "ERROR"],
        ],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        webhooks_peer.app.control.purge()
        for _ in range(10):  # warm, and ready
            webhooks_peer.deliver.delay(f"{url}/peer", DATA)
        arrived(url, 10)
        begun = time.perf_counter()  # writing the tasks counts, as the fan-out does for ours
        for n in range(count):
            webhooks_peer.deliver.delay(f"{url}/{n % ENDPOINTS}", DATA)
        arrived(url, count)
        return count / (time.perf_counter() - begun)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()


def arrived(url: str, count: int) -> None:
    deadline = time.monotonic() + 120
    while count > 0:
        assert time.monotonic() < deadline, f"{count} did not arrive"
        time.sleep(0.02)
        count -= ask(f"{url}/count")


@contextmanager
def worker(backend: str) -> Iterator[None]:
    """A worker as the hub starts it, for the queue of the webhooks."""
    pool = ["-P", "prefork"] if backend == "PostgreSQL" else ["-P", "threads"]
    process = subprocess.Popen(
        [
            *[sys.executable, "-m", "celery", "--quiet", "-A", "integration_hub.celery", "worker"],
            *["-Q", "webhooks", "-c", "3", *pool, "--without-gossip", "--without-mingle", "-l", "ERROR"],
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def latencies(
    organization: Any, url: str, *, seconds: float, kinds: list[int], hang: bool = False
) -> list[float]:
    """Milliseconds from the commit of each event to its first byte, at 100 events a second."""
    from apps.events.models import Event
    from apps.events.services import outbox

    ask(f"{url}/seen")
    committed: dict[str, int] = {}
    begun = time.perf_counter()
    for n in range(int(seconds * 100)):
        time.sleep(max(begun + n / 100 - time.perf_counter(), 0))
        if hang and n % 10 == 0:
            outbox.publish(organization=organization, type="custom.order.n0", data=DATA)
        kind = f"custom.order.n{kinds[n % len(kinds)]}"
        outbox.publish(organization=organization, type=kind, data=DATA, subject=str(n))
        now = time.time_ns()
        event = Event.objects.filter(organization=organization, subject=str(n)).latest("id")
        committed[event.public_id] = now
    seen: dict[str, int] = {}
    deadline = time.monotonic() + 30
    while len(seen.keys() & committed.keys()) < len(committed) and time.monotonic() < deadline:
        time.sleep(0.2)
        seen |= ask(f"{url}/seen")
    missing = committed.keys() - seen.keys()
    assert not missing, f"{len(missing)} events did not arrive"
    return sorted((seen[key] - at) / 1e6 for key, at in committed.items())


def share(values: list[float], part: float) -> float:
    return values[min(int(len(values) * part), len(values) - 1)]


def fill(organization: Any, count: int) -> None:
    """So many due deliveries, over all endpoints."""
    from django.utils import timezone

    from apps.webhooks.models import Payload, WebhookEndpoint
    from apps.webhooks.services import intake

    now = timezone.now() - timedelta(minutes=1)
    endpoints = list(WebhookEndpoint.objects.filter(organization=organization).values_list("pk", flat=True))
    payload = Payload.objects.create(organization=organization, message_id="evt_bench", body=b"{}")
    for start in range(0, count, 5000):
        intake.insert_deliveries(
            [
                intake.delivery_row(
                    organization_id=organization.pk,
                    endpoint_id=endpoints[n % len(endpoints)],
                    event_id=None,
                    payload_id=payload.pk,
                    event_type="custom.order",
                    cause="event",
                    ordering_key="",
                    due_at=now,
                    now=now,
                )
                for n in range(start, min(start + 5000, count))
            ]
        )


class _Undone(Exception):
    pass


def claiming() -> float:
    """Seconds of one claim of 400, taken back afterwards."""
    from django.db import transaction

    from apps.webhooks.services import claims

    begun = time.perf_counter()
    try:
        with transaction.atomic():
            assert len(claims.claim(owner="bench", room=400).jobs) == 400
            raise _Undone
    except _Undone:
        return time.perf_counter() - begun


def listing(organization: Any) -> float:
    """Seconds of the first page of those that wait."""
    from apps.webhooks import selectors

    return timed(lambda: list(selectors.deliveries_of(organization, statuses=["pending"])[:50]))


def run(backend: str, *, quick: bool) -> list[Figure]:
    from django.core.cache import cache

    from apps.webhooks.models import Delivery

    cache.clear()
    count, rounds = (1000, 1) if quick else (5000, 3)
    figures = []
    with receiver() as url:
        organization = house("Speed", url)
        ours(organization, 200)  # warm
        sent, asked = [], []
        for _ in range(rounds):
            asked.append(bare(url, count))
            sent.append(ours(organization, count))
        rate, alone = median(r[0] for r in sent), median(r[1] for r in sent)
        note = f"with the fan-out {rate:,.0f}/s"
        name = f"webhooks: deliveries a second against bare asyncio, {backend}"
        figures.append(at_least(name, alone, median(asked), 0.5, unit="/s", note=note))
        peer = celery_peer(url, count // 5)
        if peer is not None:
            name = f"webhooks: deliveries a second against a Celery task each, {backend}"
            figures.append(at_least(name, rate, peer, 10, unit="/s", note="both with what hands them out"))

        slow = house("Slow", url, hanging=True)
        healthy = list(range(1, ENDPOINTS))
        seconds = 3 if quick else 10
        with worker(backend):
            latencies(slow, url, seconds=2, kinds=healthy)  # warm
            calm = latencies(slow, url, seconds=seconds, kinds=healthy)
            hung = latencies(slow, url, seconds=seconds, kinds=healthy, hang=True)
        name = f"webhooks: commit to first byte at 100 events a second, p99, {backend}"
        figures.append(
            at_most(name, share(calm, 0.99), 500, 1, unit="ms", note=f"p50 {share(calm, 0.5):.0f} ms")
        )
        name = f"webhooks: p95 of 49 healthy endpoints beside a hanging one, {backend}"
        figures.append(at_most(name, share(hung, 0.95), share(calm, 0.95), 1.2, unit="ms"))

        queue = house("Queue", url)
        few, many = (1000, 20_000) if quick else (1000, 100_000)
        Delivery.objects.filter(status__in=("pending", "retrying", "delivering")).update(status="cancelled")
        fill(queue, few)
        short = [min(claiming() for _ in range(9)), min(listing(queue) for _ in range(9))]
        fill(queue, many - few)
        long = [min(claiming() for _ in range(9)), min(listing(queue) for _ in range(9))]
        for what, one, other in zip(("claiming 400", "the list's first page"), long, short, strict=True):
            name = f"webhooks: {what} of {many:,} due against {few:,}, {backend}"
            figures.append(at_most(name, one * 1000, other * 1000, 1.5, unit="ms"))
    return figures
