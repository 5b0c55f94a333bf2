"""A kombu transport on one SQLite file: the embedded mode's queue, without a server.

Chosen by the broker address `sqlite://`; transport options: `path` (the file), `lease` (seconds that a
consumer holds a message without renewing, 60), `max_tries` (deliveries after which a message that nobody
acknowledged becomes a dead letter, 10). A message is a row. Getting it leases the row, acknowledging
deletes it, and a consumer that dies loses its leases, so that its messages come back to the others.
Consumers find new rows by polling `PRAGMA data_version`, which reads no page of the file.

The file is the queue's own, never the application's database. A message is a doorbell: should the file
be lost, the periodic sweeps find in the database what is due.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterable
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import virtual
from kombu.transport.base import to_rabbitmq_queue_arguments
from kombu.utils.json import dumps, loads

from integration_hub.runtime.sqlite_files import FileConnections

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.02  # seconds
LOOK_AGAIN = 1.0  # seconds after which a poll looks even if nobody wrote: a lease may have run out
LEASE = 60.0
MAX_TRIES = 10
KEEP_INTERVAL = 5.0  # seconds between the signs of life of a queue that would expire
CLEAN_INTERVAL = 30.0
# Control queues ask to expire 10 s after their last use; a busy or suspended worker is not a dead one.
SHORTEST_EXPIRY = 120.0
DEAD_LETTERS_KEPT = 1_000

PRAGMAS = "PRAGMA synchronous=NORMAL; PRAGMA cache_size=-4000; PRAGMA journal_size_limit=16777216;"
SCHEMA = """
CREATE TABLE IF NOT EXISTS queue (name TEXT PRIMARY KEY, expires REAL, ttl REAL, used REAL NOT NULL);
CREATE TABLE IF NOT EXISTS binding (
    exchange TEXT NOT NULL, routing_key TEXT NOT NULL, pattern TEXT NOT NULL, queue TEXT NOT NULL,
    PRIMARY KEY (exchange, routing_key, pattern, queue)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, priority INTEGER NOT NULL,
    due REAL NOT NULL, expires REAL, tries INTEGER NOT NULL DEFAULT 0, lease INTEGER NOT NULL DEFAULT 0,
    payload TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS message_next ON message (queue, priority DESC, id);
CREATE TABLE IF NOT EXISTS dead_letter (
    id INTEGER PRIMARY KEY, queue TEXT NOT NULL, died REAL NOT NULL, tries INTEGER NOT NULL,
    payload TEXT NOT NULL
)
"""
TAKE = (
    "UPDATE message SET due = :until, tries = tries + 1, lease = lease + 1 WHERE id = ("
    "SELECT id FROM message WHERE queue = :queue AND due <= :now ORDER BY priority DESC, id LIMIT 1"
    ") RETURNING id, lease, tries, expires, payload"
)

_files: dict[str, FileConnections] = {}


def file_connections(path: str) -> FileConnections:
    """The queue file's connections, shared by everyone in this process."""
    return _files.setdefault(path, FileConnections(path, pragmas=PRAGMAS, schema=SCHEMA))


class QoS(virtual.QoS):
    """What this channel holds: delivery tags `<row>.<lease>`."""

    def held(self) -> list[str]:
        # Worker threads acknowledge while this runs: copies, and no assumption that both agree.
        return [tag for tag in list(self._delivered) if tag not in self._dirty]

    def ack(self, delivery_tag: str) -> None:
        self.channel.remove(delivery_tag)
        super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        if requeue:
            self.channel.release([delivery_tag], counted=True)
        else:
            self.channel.remove(delivery_tag)
        self._quick_ack(delivery_tag)

    def restore_unacked(self) -> list[Any]:
        """Give back at once what a clean stop leaves undone; it does not count as a failed try."""
        self._flush()
        self.channel.release(self.held(), counted=False)
        self._delivered.clear()
        return []


class Channel(virtual.Channel):
    """One consumer's or producer's view of the queue file."""

    QoS = QoS
    supports_fanout = True
    lease = LEASE
    max_tries = MAX_TRIES
    from_transport_options = (*virtual.Channel.from_transport_options, "lease", "max_tries")

    def __init__(self, connection: Any, **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._no_ack: set[str] = set()
        self._passing: dict[str, tuple[float | None, float | None]] = {}
        self._auto_delete: set[str] = set()
        self._seen: tuple[int, int] | None = None
        self._look_again = self._next_renewal = self._next_keep = 0.0
        self._next_clean = time.monotonic() + random.uniform(1, CLEAN_INTERVAL)  # noqa: S311

    @property
    def file(self) -> FileConnections:
        found: FileConnections = self.connection.file
        return found

    def _all(self, sql: str, values: Any = ()) -> list[tuple[Any, ...]]:
        # All rows are fetched: a statement left unfinished would keep its lock.
        return self.file.get().execute(sql, values).fetchall()

    def _together(self, statements: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> None:
        """Run statements in one transaction."""
        connection = self.file.get()
        connection.execute("BEGIN IMMEDIATE")
        try:
            for sql, rows in statements:
                connection.executemany(sql, rows)
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    # --- queues and bindings, shared by all processes through the file

    def prepare_queue_arguments(self, arguments: dict[str, Any] | None, **kwargs: Any) -> dict[str, Any]:
        return dict(to_rabbitmq_queue_arguments(arguments or {}, **kwargs))

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        arguments = kwargs.get("arguments") or {}
        expires = arguments.get("x-expires")
        ttl = arguments.get("x-message-ttl")
        life = (
            max(expires / 1000, SHORTEST_EXPIRY) if expires else None,
            ttl / 1000 if ttl else None,
        )
        if expires:
            self._passing[queue] = life
        if kwargs.get("auto_delete"):
            self._auto_delete.add(queue)
        if not self._has_queue(queue):
            self._declare(queue, life)

    def _declare(self, queue: str, life: tuple[float | None, float | None]) -> None:
        self._all(
            "INSERT INTO queue (name, expires, ttl, used) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET used = excluded.used",
            (queue, *life, time.time()),
        )

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return bool(self._all("SELECT 1 FROM queue WHERE name = ?", (queue,)))

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str | None, queue: str) -> None:
        row = (exchange, routing_key or "", pattern or "", queue)
        known = "SELECT 1 FROM binding WHERE exchange = ? AND routing_key = ? AND pattern = ? AND queue = ?"
        if not self._all(known, row):
            self._all("INSERT OR IGNORE INTO binding VALUES (?, ?, ?, ?)", row)

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        rows = self._all("SELECT routing_key, pattern, queue FROM binding WHERE exchange = ?", (exchange,))
        return [(row[0], row[1], row[2]) for row in rows]

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = "",
        arguments: Any = None,
        **kwargs: Any,
    ) -> None:
        self.state.binding_delete(queue, exchange, routing_key)
        self._all(
            "DELETE FROM binding WHERE queue = ? AND exchange = ? AND routing_key = ?",
            (queue, exchange or "", routing_key or ""),
        )

    def queue_delete(
        self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any
    ) -> None:
        if if_empty and self._size(queue):
            return
        self._together(_deletion([(queue,)]))
        self.state.queue_bindings_delete(queue)
        self._passing.pop(queue, None)
        self._auto_delete.discard(queue)

    def _size(self, queue: str) -> int:
        return int(self._all("SELECT count(*) FROM message WHERE queue = ?", (queue,))[0][0])

    def _purge(self, queue: str) -> int:
        return len(
            self._all("DELETE FROM message WHERE queue = ? AND due <= ? RETURNING 1", (queue, time.time()))
        )

    # --- publishing

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        self._put_all([queue], message)

    def _put_fanout(self, exchange: str, message: dict[str, Any], routing_key: str, **kwargs: Any) -> None:
        self._put_all([queue for _, _, queue in self.get_table(exchange)], message)

    def _put_all(self, queues: list[str], message: dict[str, Any]) -> None:
        now = time.time()
        priority = self._get_message_priority(message)
        life = message["properties"].get("expiration")
        own = now + int(life) / 1000 if life else None
        payload = dumps(message)
        rows = [(queue, priority, now, own, now, queue, payload) for queue in queues]
        sql = (
            "INSERT INTO message (queue, priority, due, expires, payload) "
            "SELECT ?, ?, ?, coalesce(?, ? + (SELECT ttl FROM queue WHERE name = ?)), ?"
        )
        if len(rows) == 1:
            self._all(sql, rows[0])
        elif rows:
            self._together([(sql, rows)])
        self._seen = None  # data_version does not tell a connection of its own writes

    # --- consuming

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[..., Any], consumer_tag: str, **kwargs: Any
    ) -> None:
        if no_ack:
            self._no_ack.add(queue)
        self._seen = None
        super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)

    def basic_cancel(self, consumer_tag: str) -> None:
        queue = self._tag_to_queue.get(consumer_tag)
        super().basic_cancel(consumer_tag)
        if queue in self._auto_delete and queue not in self._active_queues:
            self.queue_delete(queue)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if message is not None and no_ack:
            self.remove(message.delivery_tag)
        return message

    def drain_events(self, timeout: float | None = None, callback: Callable[..., Any] | None = None) -> Any:
        self._keep_alive()
        if not self._consumers or not self.qos.can_consume():
            raise Empty
        connection = self.file.get()
        version = (id(connection), connection.execute("PRAGMA data_version").fetchone()[0])
        now = time.monotonic()
        if version == self._seen and now < self._look_again:
            raise Empty
        try:
            return self._poll(self.cycle, callback or self.connection._deliver, timeout=timeout)
        except Empty:
            # The version from before the look: what was written during it makes for another look.
            self._seen, self._look_again = version, now + LOOK_AGAIN
            raise

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Lease the queue's next message. Raises Empty."""
        while True:
            now = time.time()
            # Reading first: an UPDATE takes the write lock even when it finds nothing.
            if not self._all("SELECT 1 FROM message WHERE queue = ? AND due <= ? LIMIT 1", (queue, now)):
                raise Empty
            rows = self._all(TAKE, {"queue": queue, "now": now, "until": now + self.lease})
            if not rows:
                raise Empty
            number, lease, tries, expires, text = rows[0]
            if expires is not None and expires <= now:
                self._all("DELETE FROM message WHERE id = ?", (number,))
            elif tries > self.max_tries:
                self._bury(number, tries - 1)
            else:
                break
        if queue in self._no_ack:
            self._all("DELETE FROM message WHERE id = ?", (number,))
        payload: dict[str, Any] = loads(text)
        payload["properties"]["delivery_tag"] = f"{number}.{lease}"
        payload["properties"].setdefault("delivery_info", {})["redelivered"] = tries > 1
        return payload

    def _bury(self, number: int, tries: int) -> None:
        logger.error(
            "Message %s was delivered %s times and never done; it is a dead letter now.", number, tries
        )
        self._together(
            [
                (
                    "INSERT OR REPLACE INTO dead_letter (id, queue, died, tries, payload) "
                    "SELECT id, queue, ?, ?, payload FROM message WHERE id = ?",
                    [(time.time(), tries, number)],
                ),
                ("DELETE FROM message WHERE id = ?", [(number,)]),
            ]
        )

    def remove(self, tag: str) -> None:
        """The work is done. Also right for one whose lease was lost meanwhile: done is done."""
        self._all("DELETE FROM message WHERE id = ?", (_row(tag)[0],))

    def release(self, tags: list[str], *, counted: bool) -> None:
        """Let others have these messages now, unless their lease has passed to somebody else."""
        if not tags:
            return
        sql = "UPDATE message SET due = 0, tries = tries - ? WHERE id = ? AND lease = ?"
        self._together([(sql, [(0 if counted else 1, *_row(tag)) for tag in tags])])
        self._seen = None

    # --- signs of life

    def _keep_alive(self) -> None:
        now = time.monotonic()
        if now >= self._next_renewal:
            self._next_renewal = now + self.lease / 3
            if held := self.qos.held():
                until = time.time() + self.lease
                sql = "UPDATE message SET due = ? WHERE id = ? AND lease = ?"
                self._together([(sql, [(until, *_row(tag)) for tag in held])])
        if now >= self._next_keep:
            self._next_keep = now + KEEP_INTERVAL
            for queue, life in self._passing.items():
                if queue in self._active_queues:
                    self._declare(queue, life)
                    for exchange, routing_key, arguments in list(self.state.queue_bindings(queue)):
                        meta = self.typeof(exchange).prepare_bind(queue, exchange, routing_key, arguments)
                        self._queue_bind(exchange, *meta)
        if now >= self._next_clean:
            self._next_clean = now + CLEAN_INTERVAL
            self.clean()

    def clean(self) -> None:
        """Remove expired messages, queues that nobody has used for their time, and old dead letters."""
        now = time.time()
        self._all("DELETE FROM message WHERE expires <= ? AND due <= ?", (now, now))
        unused = self._all("SELECT name FROM queue WHERE expires IS NOT NULL AND used + expires < ?", (now,))
        if unused:
            self._together(_deletion(unused))
        self._all(
            "DELETE FROM dead_letter WHERE id NOT IN (SELECT id FROM dead_letter ORDER BY died DESC LIMIT ?)",
            (DEAD_LETTERS_KEPT,),
        )


def _row(tag: str) -> tuple[int, int]:
    number, _, lease = tag.partition(".")
    return int(number), int(lease)


def _deletion(queues: list[tuple[Any, ...]]) -> list[tuple[str, list[tuple[Any, ...]]]]:
    return [
        ("DELETE FROM message WHERE queue = ?", queues),
        ("DELETE FROM binding WHERE queue = ?", queues),
        ("DELETE FROM queue WHERE name = ?", queues),
    ]


class Transport(virtual.Transport):
    """Entry of kombu's table of transports."""

    Channel = Channel
    polling_interval = POLL_INTERVAL
    driver_type = "sqlite"
    driver_name = "sqlite"
    connection_errors = (*virtual.Transport.connection_errors, sqlite3.Error, OSError)
    channel_errors = (*virtual.Transport.channel_errors, ChannelError)
    implements = virtual.Transport.implements.extend(exchange_type=frozenset(["direct", "topic", "fanout"]))

    def __init__(self, client: Any, **kwargs: Any) -> None:
        path = client.transport_options.get("path")
        if not path:
            raise ValueError("The sqlite:// broker needs the transport option `path`, the queue's file.")
        self.file = file_connections(path)
        super().__init__(client, **kwargs)

    def establish_connection(self) -> Any:
        self._set_aside_if_spoilt()
        return super().establish_connection()

    def verify_connection(self, connection: Any) -> bool:
        return True

    def driver_version(self) -> str:
        return sqlite3.sqlite_version

    def _set_aside_if_spoilt(self) -> None:
        """Start with an empty queue when power loss or a disk has ruined the file, keeping the ruin."""
        try:
            self.file.get().execute("SELECT count(*) FROM queue").fetchone()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            logger.error(
                "The queue file %s is damaged (%s); a new one takes its place.", self.file.path, error
            )
            self.file.close()
            ruin = f"{self.file.path.name}.damaged-{int(time.time())}"
            self.file.path.replace(self.file.path.with_name(ruin))
            for suffix in ("-wal", "-shm"):
                self.file.path.with_name(self.file.path.name + suffix).unlink(missing_ok=True)
