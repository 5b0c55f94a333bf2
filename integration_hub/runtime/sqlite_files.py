"""Connections to the embedded mode's own SQLite files: one per thread and process, never across a fork."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path

BUSY_TIMEOUT = 20.0  # seconds that a statement waits for another writer
MINIMUM_VERSION = (3, 35, 0)  # RETURNING


class FileConnections:
    """Opens one SQLite file for each thread that asks, with `pragmas` and `schema` applied.

    A connection that a forked child inherited is put aside unused and unclosed: closing it would touch
    locks and a log that belong to the parent.
    """

    def __init__(self, path: str | Path, *, pragmas: str, schema: str) -> None:
        if sqlite3.sqlite_version_info < MINIMUM_VERSION:
            raise RuntimeError(
                f"SQLite {sqlite3.sqlite_version} is too old: the embedded mode needs 3.35 or newer."
            )
        self.path = Path(path)
        self.pragmas = pragmas
        self.schema = schema
        self._local = threading.local()
        self._put_aside: list[sqlite3.Connection] = []

    def get(self) -> sqlite3.Connection:
        """The calling thread's connection, in autocommit mode."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            if self._local.pid == os.getpid():
                return connection
            self._put_aside.append(connection)
        self._local.connection = connection = self._open()
        self._local.pid = os.getpid()
        return connection

    def close(self) -> None:
        """Close the calling thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None and self._local.pid == os.getpid():
            connection.close()
        self._local.connection = None

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Made before SQLite makes it, so that nobody else can ever read it; its log takes over the mode.
        # Never opened if it exists: closing any descriptor of a file drops all locks of the process on it,
        # whereupon another process that leaves takes away the log under the connections that are open here.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        self._use_wal(connection)
        connection.executescript(self.pragmas)
        if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
            connection.executescript(f"BEGIN IMMEDIATE; {self.schema}; COMMIT;")
        return connection

    @staticmethod
    def _use_wal(connection: sqlite3.Connection) -> None:
        """Turn on the write-ahead log; unlike other statements, this one does not wait for locks."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
