from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery, current_app
from django.db import transaction

from apps.kernel import background
from apps.kernel.background import enqueue
from tests.kernel.sample.models import Chore

pytestmark = pytest.mark.django_db(transaction=True)


class Broker:
    """What a worker on the queue would hear."""

    def __init__(self, app: Celery, queue: str) -> None:
        self.app = app
        self.queue = queue

    def heard(self) -> list[tuple[str, list[Any]]]:
        messages = []
        with self.app.connection_for_read() as connection:
            queue = connection.SimpleQueue(self.queue)
            while True:
                try:
                    message = queue.get(block=False)
                except queue.Empty:
                    return messages
                message.ack()
                messages.append((message.headers["task"], message.payload[0]))


@contextmanager
def celery_on(url: str) -> Iterator[Celery]:
    before = current_app._get_current_object()  # type: ignore[attr-defined]
    app = Celery(f"test-{uuid.uuid4().hex}", broker=url, set_as_current=False)
    app.conf.update(task_default_queue=f"q-{uuid.uuid4().hex}", broker_connection_timeout=30)
    app.set_current()
    background._sender = background._Sender()
    try:
        yield app
    finally:
        before.set_current()
        background._sender = background._Sender()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with celery_on("memory://") as app:
        yield Broker(app, app.conf.task_default_queue)


def test_a_bell_outside_of_a_transaction_rings_at_once(broker: Broker):
    key = uuid.uuid4()
    enqueue("jobs.run", key, 5, "text", None, True)

    assert broker.heard() == [("jobs.run", [str(key), 5, "text", None, True])]


def test_a_bell_rings_only_after_commit(broker: Broker):
    with transaction.atomic():
        enqueue("jobs.run", 1)
        assert broker.heard() == []

    assert broker.heard() == [("jobs.run", [1])]


def test_a_rolled_back_transaction_rings_nothing(broker: Broker):
    with transaction.atomic():
        enqueue("jobs.run", 1)
        transaction.set_rollback(True)

    assert broker.heard() == []


def test_identical_bells_of_one_transaction_ring_once(broker: Broker):
    with transaction.atomic():
        for _ in range(100):
            enqueue("jobs.run", 1)
        with transaction.atomic():
            enqueue("jobs.run", 1)
        enqueue("jobs.run", 2)
        enqueue("jobs.run", 1, countdown=5)
        enqueue("jobs.stop", 1)

    assert broker.heard() == [("jobs.run", [1]), ("jobs.run", [2]), ("jobs.run", [1]), ("jobs.stop", [1])]
    with transaction.atomic():
        enqueue("jobs.run", 1)
    assert broker.heard() == [("jobs.run", [1])]


def test_a_bell_of_a_rolled_back_savepoint_does_not_silence_the_next(broker: Broker):
    with transaction.atomic():
        with transaction.atomic():
            enqueue("jobs.run", 1)
            enqueue("jobs.run", 1)
            transaction.set_rollback(True)
        enqueue("jobs.run", 1)
    assert broker.heard() == [("jobs.run", [1])]


def test_a_bell_of_an_inner_savepoint_goes_with_the_outer_one(broker: Broker):
    with transaction.atomic():
        with transaction.atomic():
            enqueue("jobs.run", 1)
            with transaction.atomic():
                enqueue("jobs.run", 2)
            transaction.set_rollback(True)
        enqueue("jobs.run", 2)
    assert broker.heard() == [("jobs.run", [2])]


def test_many_different_bells_of_one_transaction_are_noted_quickly(broker: Broker):
    started = time.monotonic()
    with transaction.atomic():
        for n in range(20_000):
            enqueue("jobs.run", n)
        transaction.set_rollback(True)
    assert time.monotonic() - started < 5


def test_one_and_true_are_different_bells(broker: Broker):
    with transaction.atomic():
        enqueue("jobs.run", 1)
        enqueue("jobs.run", True)
    assert [args for _, args in broker.heard()] == [[1], [True]]


def test_a_queue_may_be_named():
    with celery_on("memory://") as app:
        app.conf.task_create_missing_queues = True
        enqueue("jobs.run", 1, queue="special")
        assert Broker(app, "special").heard() == [("jobs.run", [1])]


def test_arguments_are_ids_not_objects(broker: Broker):
    for argument in ({"a": 1}, [1], b"x", object()):
        with pytest.raises(TypeError, match="A task takes ids"):
            enqueue("jobs.run", argument)
    assert broker.heard() == []


def took(call: Any) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started


@contextmanager
def closed_port() -> Iterator[int]:
    """A port where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        yield unused.getsockname()[1]


@contextmanager
def silent_server() -> Iterator[int]:
    """A broker that accepts and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(50)
        yield listener.getsockname()[1]


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_down_is_a_warning_and_costs_little_time(
    scheme: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING, "apps.kernel.background")
    with closed_port() as port, celery_on(f"{scheme}://user:s3cr3t@127.0.0.1:{port}//"):
        seconds = took(lambda: [enqueue("jobs.run", n) for n in range(200)])

    assert seconds < background.WAIT + 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Task jobs.run was not sent" in caplog.text
    assert "s3cr3t" not in caplog.text


@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_hangs_costs_no_more_than_the_wait(scheme: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "apps.kernel.background")
    with silent_server() as port, celery_on(f"{scheme}://127.0.0.1:{port}//"):
        first = took(lambda: enqueue("jobs.run", 1))
        others = took(lambda: [enqueue("jobs.run", n) for n in range(100)])

    assert first < background.WAIT + 1
    assert others < 0.5
    assert len(caplog.records) == 1


def test_a_commit_succeeds_without_a_broker():
    with closed_port() as port, celery_on(f"redis://127.0.0.1:{port}/0"):
        with transaction.atomic():
            Chore.objects.create(rank=1)
            enqueue("jobs.run", 1)
        assert Chore.objects.get().rank == 1


def test_a_broker_that_comes_back_is_used_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(background, "PAUSE", 0.05)
    with closed_port() as port, celery_on("memory://") as up:
        sender, broker = background._sender, Broker(up, up.conf.task_default_queue)
        up.conf.broker_write_url, address = f"redis://127.0.0.1:{port}/0", up.conf.broker_write_url
        enqueue("jobs.run", 1)
        up.conf.broker_write_url = address
        end = time.monotonic() + 5
        heard: list[Any] = []
        while not heard and time.monotonic() < end:
            enqueue("jobs.run", 2)
            heard = broker.heard()
        assert background._sender is sender
    assert heard == [("jobs.run", [2])]


def test_threads_ring_together(broker: Broker):
    app = current_app._get_current_object()  # type: ignore[attr-defined]

    def ring(start: int) -> None:
        app.set_current()
        for n in range(start, start + 50):
            background._ring(background._Doorbell("jobs.run", (n,), None, None))

    threads = [threading.Thread(target=ring, args=(n * 50,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(args[0] for _, args in broker.heard()) == list(range(400))


def test_a_forked_child_rings_by_itself():
    with celery_on("memory://"):
        enqueue("jobs.run", 1)  # the parent's thread runs now
        child = os.fork()
        if child == 0:
            before = time.monotonic()
            background._ring(background._Doorbell("jobs.run", (2,), None, None))
            started = background._sender._thread is not None
            os._exit(0 if started and time.monotonic() - before < background.WAIT else 1)
        _, code = os.waitpid(child, 0)
    assert code == 0
