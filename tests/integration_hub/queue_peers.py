"""Processes of the queue's chaos test: a producer and a consumer without Celery, quick to start and kill.

Run as `python queue_peers.py ROLE QUEUE_FILE LOG_FILE …`. What a process has done for certain it appends to
LOG_FILE, one line per number: the producer after publishing, the consumer before acknowledging.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kombu import Connection, Consumer, Queue
from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["sqlite"] = "integration_hub.runtime.sqlite_transport:Transport"
QUEUE = Queue("work")


def connect(path: str, **options: object) -> Connection:
    return Connection("sqlite://", transport_options={"path": path, **options})


def produce(path: str, log: str, first: int, count: int) -> None:
    done = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with connect(path) as connection, connection.Producer() as producer:
        for number in range(first, first + count):
            producer.publish(number, routing_key="work", declare=[QUEUE])
            os.write(done, f"{number}\n".encode())


def consume(path: str, log: str, lease: float) -> None:
    done = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def receive(body: int, message: object) -> None:
        os.write(done, f"{body}\n".encode())
        message.ack()

    with connect(path, lease=lease, max_tries=50) as connection, connection.channel() as channel:
        consumer = Consumer(channel, [QUEUE], callbacks=[receive])
        consumer.qos(prefetch_count=4)
        with consumer:
            while True:
                try:
                    connection.drain_events(timeout=1)
                except TimeoutError:
                    continue


if __name__ == "__main__":
    role, path, log, *numbers = sys.argv[1:]
    if role == "produce":
        produce(path, log, int(numbers[0]), int(numbers[1]))
    else:
        consume(path, log, float(numbers[0]))
