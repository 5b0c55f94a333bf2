"""Several processes, one server; a server that goes and comes back; what others changed."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from apps.apikeys.limiter import plans
from apps.apikeys.limiter.breaker import Breaker
from apps.apikeys.limiter.core import CLOSED, LOCAL, OPEN, Limiter
from apps.apikeys.limiter.generation import FileGeneration
from apps.apikeys.limiter.local import LocalStore
from apps.apikeys.limiter.plans import SECOND
from apps.apikeys.limiter.remote import RedisStore

# Where the tests' Redis is given, its program has to be here too: then a missing one fails.
needs_server = pytest.mark.skipif(
    shutil.which("redis-server") is None and "TEST_REDIS_URL" not in os.environ, reason="needs redis-server"
)


class Server:
    """A Redis of the test's own, ended by its own process id."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._process = subprocess.Popen(
            [*command, "--dir", str(self._folder)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        client = redis.Redis.from_url(self.url)
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    found = Server(tmp_path)
    yield found
    found.stop()


def _hammer(url: str, key: str, limit: int, seconds: float, window: int, results: Any) -> None:
    """Call as fast as possible; tell between which two moments each pass happened."""
    store = RedisStore(url, prefix=key, timeout=10)
    plan = plans.plan(
        [plans.window("minute", key, limit, window), plans.window("hour", f"{key}:h", 9_999, 3600)]
    )
    passes = []
    until = time.monotonic() + seconds
    while (sent := time.monotonic()) < until:
        if store.check(plan)[0].passed:
            passes.append((sent, time.monotonic()))
    results.put(passes)


@needs_server
def test_four_processes_let_exactly_the_limit_through(server: Server) -> None:
    """A hundred in any two seconds, for six seconds: never one more, and none less while all are calling."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    key = secrets.token_hex(6)
    arguments = (server.url, key, 100, 6.0, 2, results)
    workers = [context.Process(target=_hammer, args=arguments) for _ in range(4)]
    for worker in workers:
        worker.start()
    passes = sorted(found for _ in workers for found in results.get(timeout=60))
    for worker in workers:
        worker.join(10)
    assert len(passes) >= 200
    # Each pass happened between its two moments, and a window that surely holds both ends holds all between:
    # a hundred and one take two seconds at least, from the sending of the first to the answer of the last.
    for (sent, _), (_, answered) in zip(passes, passes[100:], strict=False):
        assert answered - sent >= 2.0


@needs_server
def test_the_server_goes_and_comes_back(server: Server) -> None:
    """No error, never; counted here meanwhile; told once at both ends."""
    told: list[bool] = []
    limiter = Limiter(
        store=RedisStore(server.url, prefix="t", timeout=2),
        when_down=LOCAL,
        processes=4,
        on_outage=told.append,
    )
    plan = plans.plan([plans.window("minute", "k", 20, 60), plans.burst("burst", "k", 8, 30)])
    assert limiter.check(plan).shared
    server.stop()
    verdicts = [limiter.check(plan) for _ in range(12)]
    assert not any(verdict.shared for verdict in verdicts)
    assert limiter.is_down
    # A fourth of a burst of 8.
    assert [verdict.passed for verdict in verdicts] == [True] * 2 + [False] * 10
    assert verdicts[-1].plan.counters[1].limit == 2
    limiter.bump()
    assert not limiter.reset(plan.counters)
    server.start()
    deadline = time.monotonic() + 20
    while not limiter.check(plan, take=False).shared:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert told == [True, False]
    assert limiter.check(plan).passed


@pytest.mark.parametrize(("policy", "passes"), [(OPEN, True), (CLOSED, False)])
def test_the_other_policies(policy: str, passes: bool) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    limiter = Limiter(store=RedisStore(f"redis://127.0.0.1:{port}/0"), when_down=policy)
    plan = plans.plan([plans.window("minute", "k", 2, 60)])
    for _ in range(6):
        verdict = limiter.check(plan)
        assert verdict.passed is passes
        assert verdict.retry_after >= 1
    # Callers without any limit are let in by every policy.
    assert limiter.check(plans.plan([])).passed
    assert limiter.check(plan, when_down=LOCAL).passed


def test_a_server_that_hangs_costs_its_time_out_three_times() -> None:
    """Afterwards nobody asks it but one call a second."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        limiter = Limiter(store=RedisStore(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0", timeout=0.05))
        plan = plans.plan([plans.window("minute", "k", 1000, 60)])
        for _ in range(3):
            assert limiter.check(plan).passed
        assert limiter.is_down
        begin = time.process_time()
        for _ in range(100):
            assert limiter.check(plan).passed
        assert time.process_time() - begin < 1


@needs_server
def test_a_script_that_the_server_forgot_is_sent_again(server: Server) -> None:
    store = RedisStore(server.url, prefix="t", timeout=5)
    plan = plans.plan([plans.window("minute", "k", 3, 60)])
    store.check(plan)
    redis.Redis.from_url(server.url).script_flush()
    assert store.check(plan)[0].standings[0].remaining == 1


@needs_server
def test_a_connection_that_the_server_closed_is_made_anew(server: Server) -> None:
    store = RedisStore(server.url, prefix="t", timeout=5)
    plan = plans.plan([plans.window("minute", "k", 3, 60)])
    store.check(plan)
    redis.Redis.from_url(server.url).client_kill_filter(_type="normal", skipme=True)
    assert store.check(plan)[0].standings[0].remaining == 1


@needs_server
def test_a_password_and_a_database(server: Server) -> None:
    """Whatever an address of Redis can say is kept, though commands do not go by redis-py."""
    admin = redis.Redis.from_url(server.url)
    admin.config_set("requirepass", "a-password")
    plan = plans.plan([plans.window("minute", "k", 3, 60), plans.burst("burst", "k", 2, 30)])
    store = RedisStore(server.url.replace("//", "//:a-password@").replace("/0", "/3"), prefix="t", timeout=5)
    assert [store.check(plan)[0].passed for _ in range(3)] == [True, True, False]
    wrong = RedisStore(server.url.replace("//", "//:another@"), prefix="t", timeout=5)
    with pytest.raises(redis.RedisError):
        wrong.check(plan)
    here = redis.Redis.from_url(server.url.replace("//", "//:a-password@").replace("/0", "/3"))
    assert here.exists("t:limits:k:L")
    store.reset(plan.counters)
    assert store.check(plan)[0].standings[0].remaining == 2


@needs_server
def test_an_answer_that_is_an_error_is_no_verdict_and_ends_the_line(server: Server) -> None:
    """A server that became a replica refuses to write; the next call asks whoever has its address then."""
    store = RedisStore(server.url, prefix="t", timeout=5)
    plan = plans.plan([plans.window("minute", "k", 3, 60)])
    store.check(plan)
    admin = redis.Redis.from_url(server.url)
    admin.replicaof("127.0.0.1", 1)
    with pytest.raises(redis.RedisError, match="READONLY"):
        store.check(plan)
    admin.replicaof("NO", "ONE")
    assert store.check(plan)[0].standings[0].remaining == 1


def test_a_server_that_speaks_another_language_is_none() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen(5)

        def speak() -> None:
            for _ in range(2):
                peer, _ = stranger.accept()
                with peer:
                    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=speak)
        thread.start()
        store = RedisStore(f"redis://127.0.0.1:{stranger.getsockname()[1]}/0", prefix="t", timeout=5)
        for _ in range(2):
            with pytest.raises(redis.RedisError):
                store.check(plans.plan([]))
        thread.join(10)


@needs_server
def test_every_process_sees_a_change_at_its_next_call(server: Server) -> None:
    forgot: list[str] = []
    mine, other = (Limiter(store=RedisStore(server.url, prefix="t", timeout=5)) for _ in range(2))
    mine.on_change(lambda: forgot.append("mine"))
    other.on_change(lambda: forgot.append("other"))
    assert mine.generation() == other.generation() == 0
    empty = plans.plan([])
    other.check(empty)
    forgot.clear()
    mine.bump()
    assert forgot == ["mine"]
    before = other.generation()
    other.check(empty)
    assert "other" in forgot
    assert other.generation() != before
    count = len(forgot)
    other.check(empty)
    assert len(forgot) == count


def test_processes_of_one_machine_need_no_server_to_see_a_change(tmp_path: Path) -> None:
    forgot: list[int] = []
    limiter = Limiter(generations=FileGeneration(tmp_path / "generation"))
    limiter.on_change(lambda: forgot.append(1))
    limiter.check(plans.plan([]))
    forgot.clear()
    child = os.fork()
    if child == 0:
        Limiter(generations=FileGeneration(tmp_path / "generation")).bump()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    limiter.check(plans.plan([]))
    assert forgot == [1]


def test_threads_of_one_process_are_counted_exactly() -> None:
    from concurrent.futures import ThreadPoolExecutor

    limiter = Limiter(local=LocalStore())
    plan = plans.plan([plans.window("hour", "k", 500, 3600), plans.window("day", "d", 2000, 86_400)])
    with ThreadPoolExecutor(8) as pool:
        passed = sum(pool.map(lambda _: limiter.check(plan).passed, range(3000)))
    assert passed == 500


def test_the_breaker_lets_one_try_at_a_time() -> None:
    now = [0.0]
    told: list[bool] = []
    breaker = Breaker(failures=2, pause=1.0, on_change=told.append, clock=lambda: now[0])
    breaker.failed()
    assert breaker.allows()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()
    assert told == [True]
    assert not breaker.allows()
    now[0] = 1.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    breaker.failed()
    assert not breaker.allows()
    now[0] = 2.0
    assert breaker.allows()
    breaker.succeeded()
    assert told == [True, False]
    assert breaker.allows()


def test_the_wire_is_redis_own_clock(request: Any) -> None:
    """A plan's bytes are prepared once and carry no moment."""
    store = RedisStore("redis://127.0.0.1:1/0", prefix="t")
    plan = plans.plan([plans.window("minute", "k", 3, 60)])
    with pytest.raises(redis.RedisError):
        store.check(plan)
    (packed,) = plan.prepared.values()
    assert str(int(time.time()))[:5].encode() not in packed
    assert SECOND == 1_000_000
