"""Django's cache in one SQLite file: shared by all processes of one machine, with atomic counters.

`add`, `incr` and `touch` are single statements, so that limits counted in it are exact, which Django's
own database and file caches are not (ticket 23326). Whole numbers are stored as such, everything else
pickled. The file is private to the hub's user and may be lost at any time: power loss costs the cache,
never more, so it is written without waiting for the disk.
"""

from __future__ import annotations

import pickle
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from integration_hub.runtime.sqlite_files import FileConnections

NEVER = 1e15  # later than any clock: an entry without expiry
MAX_ENTRIES = 100_000
CULL_ONE_IN = 500  # writes
LARGEST_INTEGER = 2**62
CHUNK = 500

PRAGMAS = "PRAGMA synchronous=OFF; PRAGMA cache_size=-8000; PRAGMA journal_size_limit=16777216;"
SCHEMA = """
CREATE TABLE IF NOT EXISTS cache (key TEXT PRIMARY KEY, value BLOB, expires REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS cache_expires ON cache (expires)
"""
SET = (
    "INSERT INTO cache (key, value, expires) VALUES (?, ?, ?) "
    "ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires = excluded.expires"
)

_files: dict[str, FileConnections] = {}


class SQLiteCache(BaseCache):
    """LOCATION is the file. OPTIONS: MAX_ENTRIES (100,000) and CULL_FREQUENCY (3), as Django's own."""

    def __init__(self, location: str, params: dict[str, Any]) -> None:
        options = {"MAX_ENTRIES": MAX_ENTRIES, **params.get("OPTIONS", {})}
        super().__init__({**params, "OPTIONS": options})
        self._file = _files.setdefault(location, FileConnections(location, pragmas=PRAGMAS, schema=SCHEMA))

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        row = self._one(
            "SELECT value FROM cache WHERE key = ? AND expires > ?", (self._key(key, version), time.time())
        )
        return default if row is None else _load(row[0])

    def set(
        self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        self._one(SET, (self._key(key, version), _dump(value), self._expiry(timeout)))
        self._cull_sometimes()

    def add(
        self, key: str, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        row = self._one(
            f"{SET} WHERE cache.expires <= ? RETURNING 1",
            (self._key(key, version), _dump(value), self._expiry(timeout), time.time()),
        )
        self._cull_sometimes()
        return row is not None

    def touch(self, key: str, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        row = self._one(
            "UPDATE cache SET expires = ? WHERE key = ? AND expires > ? RETURNING 1",
            (self._expiry(timeout), self._key(key, version), time.time()),
        )
        return row is not None

    def delete(self, key: str, version: int | None = None) -> bool:
        row = self._one(
            "DELETE FROM cache WHERE key = ? RETURNING expires > ?", (self._key(key, version), time.time())
        )
        return row is not None and bool(row[0])

    def has_key(self, key: str, version: int | None = None) -> bool:
        row = self._one(
            "SELECT 1 FROM cache WHERE key = ? AND expires > ?", (self._key(key, version), time.time())
        )
        return row is not None

    def incr(self, key: str, delta: int = 1, version: int | None = None) -> int:
        """Add `delta` in one step. Raises ValueError when the key is absent, TypeError when no number."""
        made, now = self._key(key, version), time.time()
        row = self._one(
            "UPDATE cache SET value = value + ? "
            "WHERE key = ? AND expires > ? AND typeof(value) = 'integer' RETURNING value",
            (delta, made, now),
        )
        if row is not None:
            return int(row[0])
        return self._in_transaction(lambda connection: self._incr_pickled(connection, made, delta))

    def _incr_pickled(self, connection: sqlite3.Connection, made: str, delta: int) -> Any:
        row = connection.execute(
            "SELECT value FROM cache WHERE key = ? AND expires > ?", (made, time.time())
        ).fetchone()
        if row is None:
            raise ValueError(f"Key {made!r} not found")
        changed = _load(row[0]) + delta
        connection.execute("UPDATE cache SET value = ? WHERE key = ?", (_dump(changed), made))
        return changed

    def get_many(self, keys: Iterable[str], version: int | None = None) -> dict[str, Any]:
        named = {self._key(key, version): key for key in keys}
        found: dict[str, Any] = {}
        for chunk in _chunks(list(named)):
            marks = ",".join("?" * len(chunk))
            rows = self._all(
                f"SELECT key, value FROM cache WHERE key IN ({marks}) AND expires > ?",  # noqa: S608
                (*chunk, time.time()),
            )
            found.update((named[made], _load(value)) for made, value in rows)
        return found

    def set_many(
        self,
        data: Mapping[str, Any],
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
    ) -> list[str]:
        expires = self._expiry(timeout)
        rows = [(self._key(key, version), _dump(value), expires) for key, value in data.items()]
        self._in_transaction(lambda connection: connection.executemany(SET, rows))
        self._cull_sometimes(len(rows))
        return []

    def delete_many(self, keys: Iterable[str], version: int | None = None) -> None:
        made = [(self._key(key, version),) for key in keys]
        self._in_transaction(
            lambda connection: connection.executemany("DELETE FROM cache WHERE key = ?", made)
        )

    def clear(self) -> None:
        self._one("DELETE FROM cache", ())

    def cull(self) -> None:
        """Drop what has expired, and while more than MAX_ENTRIES remain, what would expire first."""
        self._one("DELETE FROM cache WHERE expires <= ?", (time.time(),))
        row = self._one("SELECT count(*) FROM cache", ())
        count = row[0] if row else 0
        if count <= self._max_entries:
            return
        if self._cull_frequency == 0:
            self.clear()
            return
        surplus = max(count - self._max_entries, count // self._cull_frequency)
        self._one(
            "DELETE FROM cache WHERE key IN (SELECT key FROM cache ORDER BY expires LIMIT ?)", (surplus,)
        )

    def _cull_sometimes(self, writes: int = 1) -> None:
        if random.random() * CULL_ONE_IN < writes:  # noqa: S311
            self.cull()

    def _key(self, key: str, version: int | None) -> str:
        return str(self.make_and_validate_key(key, version=version))

    def _expiry(self, timeout: float | None) -> float:
        moment = self.get_backend_timeout(timeout)
        return NEVER if moment is None else moment

    def _one(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        # All rows are fetched: a statement left unfinished would keep its lock.
        rows = self._all(sql, values)
        return rows[0] if rows else None

    def _all(self, sql: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        return self._healing(lambda: self._file.get().execute(sql, values).fetchall())

    def _in_transaction(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        def run() -> Any:
            connection = self._file.get()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return result

        return self._healing(run)

    def _healing(self, work: Callable[[], Any]) -> Any:
        """Run `work`; a file that power loss has spoilt is replaced by an empty one."""
        try:
            return work()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            if not any(sign in str(error) for sign in ("malformed", "not a database")):
                raise
            self._file.close()
            for suffix in ("", "-wal", "-shm"):
                self._file.path.with_name(self._file.path.name + suffix).unlink(missing_ok=True)
            return work()


def _dump(value: Any) -> int | bytes:
    if type(value) is int and -LARGEST_INTEGER < value < LARGEST_INTEGER:
        return value
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _load(stored: int | bytes) -> Any:
    # Only the hub's own user can write the file.
    return stored if isinstance(stored, int) else pickle.loads(stored)  # noqa: S301


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
