"""The embedded queue: leases, order, fan-out, dead letters, and processes that are killed in the middle."""

from __future__ import annotations

import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Exchange, Queue

from tests.integration_hub.queue_peers import connect

PEERS = Path(__file__).with_name("queue_peers.py")


def wait_for(condition: Callable[[], Any], *, seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"It did not happen within {seconds} seconds.")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "queue.sqlite3")


@pytest.fixture
def connection(path: str) -> Iterator[Connection]:
    with connect(path, max_tries=3) as opened:
        yield opened


def publish(connection: Connection, body: object, queue: str = "work", **options: Any) -> None:
    with connection.Producer() as producer:
        producer.publish(body, routing_key=queue, declare=[Queue(queue)], **options)


def take(connection: Connection, queue: str = "work") -> Any:
    """The next message of a consumer of its own, or None."""
    return connection.channel().basic_get(queue)


def let_leases_run_out(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE message SET due = 1")


def rows(path: str, table: str = "message") -> int:
    with sqlite3.connect(path) as database:
        return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_message_is_held_by_one_consumer_and_gone_when_acknowledged(
    connection: Connection, path: str
) -> None:
    publish(connection, {"sync": 7})

    message = take(connection)
    assert message.decode() == {"sync": 7}
    assert take(connection) is None

    message.ack()
    assert rows(path) == 0


def test_the_queue_file_is_private(connection: Connection, path: str) -> None:
    publish(connection, 1)
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600


def test_a_message_whose_consumer_is_silent_comes_back_and_its_late_reject_changes_nothing(
    connection: Connection, path: str
) -> None:
    publish(connection, "once")
    first = take(connection)
    let_leases_run_out(path)
    second = take(connection)

    assert second.decode() == "once"
    assert second.delivery_info["redelivered"] is True
    first.reject(requeue=True)
    assert take(connection) is None


def test_a_message_that_is_never_done_becomes_a_dead_letter(connection: Connection, path: str) -> None:
    publish(connection, "kills its worker")
    for _ in range(3):
        take(connection).reject(requeue=True)

    assert take(connection) is None
    assert (rows(path), rows(path, "dead_letter")) == (0, 1)


def test_a_clean_stop_gives_messages_back_without_counting_a_try(connection: Connection, path: str) -> None:
    publish(connection, "wait for me")
    for _ in range(10):
        channel = connection.channel()
        assert channel.basic_get("work") is not None
        channel.close()

    assert take(connection).decode() == "wait for me"
    assert rows(path, "dead_letter") == 0


def test_higher_priority_goes_first_then_order_of_arrival(connection: Connection) -> None:
    for body, priority in (("a", 0), ("b", 0), ("urgent", 9), ("soon", 5)):
        publish(connection, body, priority=priority)
    assert [take(connection).decode() for _ in range(4)] == ["urgent", "soon", "a", "b"]


def test_a_message_past_its_time_is_not_delivered(connection: Connection, path: str) -> None:
    publish(connection, "fresh", expiration=60)
    publish(connection, "stale", expiration=60)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE message SET expires = expires - 61 WHERE id = 2")
    assert take(connection).decode() == "fresh"
    assert take(connection) is None
    assert rows(path) == 1


def test_fan_out_reaches_every_bound_queue_and_acknowledging_one_copy_leaves_the_other(
    connection: Connection,
) -> None:
    exchange = Exchange("news", type="fanout")
    channel = connection.channel()
    for name in ("left", "right"):
        Queue(name, exchange)(channel).declare()
    with connection.Producer() as producer:
        producer.publish("hello", exchange=exchange)

    left = take(connection, "left")
    assert left.decode() == "hello"
    left.ack()
    assert take(connection, "right").decode() == "hello"


def test_a_control_queue_that_nobody_uses_disappears_with_its_messages(
    connection: Connection, path: str
) -> None:
    channel = connection.channel()
    exchange = Exchange("control", type="fanout")
    Queue("gone", exchange, expires=10.0, message_ttl=300.0, auto_delete=True)(channel).declare()
    with connection.Producer() as producer:
        producer.publish("ping", exchange=exchange)
    channel.clean()
    assert (rows(path, "queue"), rows(path)) == (1, 1)

    with sqlite3.connect(path) as database:
        database.execute("UPDATE queue SET used = used - 121")
    channel.clean()
    assert (rows(path, "queue"), rows(path, "binding"), rows(path)) == (0, 0, 0)


def test_a_damaged_queue_file_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "queue.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 8000)
    with connect(str(path)) as connection:
        publish(connection, "first after the fire")
        assert take(connection).decode() == "first after the fire"
    assert len(list(tmp_path.glob("queue.sqlite3.damaged-*"))) == 1


def test_nothing_is_lost_when_consumers_and_a_producer_are_killed(tmp_path: Path) -> None:
    """Two producers, one of them killed; two consumers, killed six times in the middle of their work."""
    path, published, received = (str(tmp_path / name) for name in ("queue.sqlite3", "published", "received"))
    chance = random.Random(7)
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, str(PEERS), *map(str, arguments)])
        running.append(process)
        return process

    def numbers(log: str) -> list[int]:
        # The last line may be cut: then its writer was killed before the line was out.
        return [int(line) for line in Path(log).read_text().split("\n")[:-1]] if Path(log).exists() else []

    try:
        steady = start("produce", path, published, 0, 2_000)
        hasty = start("produce", path, published, 10_000, 100_000)
        consumers = [start("consume", path, received, 2) for _ in range(2)]
        for round_ in range(6):
            before = len(numbers(received))
            wait_for(lambda before=before: len(numbers(received)) > before + chance.randrange(5, 60))
            victim = chance.randrange(2)
            consumers[victim].send_signal(signal.SIGKILL)
            consumers[victim].wait()
            consumers[victim] = start("consume", path, received, 2)
            if round_ == 3:
                hasty.send_signal(signal.SIGKILL)
                hasty.wait()
        assert steady.wait(timeout=30) == 0
        wait_for(lambda: rows(path) == 0, seconds=40)
    finally:
        for process in running:
            process.kill()
            process.wait()

    done = Counter(numbers(received))
    assert set(numbers(published)) - set(done) == set()
    # At least once: doubles are at most what the killed consumers held, four each.
    assert sum(done.values()) - len(done) <= 6 * 4
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert rows(path, "dead_letter") == 0
