"""A thread's own line to Redis: one command out, one answer back.

redis-py makes the connection (addresses, TLS, passwords, time-outs of connecting). What is said on it then
goes by here, because its layers for retries, pools and instruments cost twice as much again as the system
calls that send a command and fetch the answer.
"""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

_MOST = 65_536  # bytes fetched at once


class Wire:
    """Lines to one server, one for each thread. `timeout` in seconds: for connecting and for each answer."""

    def __init__(self, url: str, *, timeout: float) -> None:
        self._timeout = timeout
        self._pool = redis.ConnectionPool.from_url(
            url, socket_timeout=timeout, socket_connect_timeout=timeout, protocol=2
        )
        self._local = threading.local()

    def ask(self, packed: bytes) -> Any:
        """The answer to a command. Raises redis.RedisError, in time, whatever the server does."""
        line: _Line | None = getattr(self._local, "line", None)
        if line is not None and line.pid == os.getpid():
            try:
                return self._exchange(line, packed)
            except redis.ConnectionError:
                # The server closed a line that lay idle, or was started anew: once more, on a new one.
                pass
        self._local.line = line = _Line(self._pool, self._timeout)
        return self._exchange(line, packed)

    def _exchange(self, line: _Line, packed: bytes) -> Any:
        try:
            return line.exchange(packed)
        except redis.exceptions.NoScriptError:
            raise
        except BaseException:
            # Whatever it was, a late answer must not be taken for the next call's, and a server that answers
            # with errors (it became a replica, it is still loading) may have a better one at its address.
            self._local.line = None
            line.close()
            raise


class _Line:
    def __init__(self, pool: redis.ConnectionPool, timeout: float) -> None:
        connection: Any = pool.make_connection()
        # One try within the time-out, no backoff: the breaker decides what comes after.
        connection.retry = Retry(NoBackoff(), 0)
        connection.connect()
        self.pid = os.getpid()
        self._connection = connection
        self._socket: socket.socket = connection._sock
        self._reader = hiredis.Reader()
        if not isinstance(self._socket, ssl.SSLSocket):
            # The kernel keeps the time: one system call less for each way.
            limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1_000_000))
            self._socket.settimeout(None)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def exchange(self, packed: bytes) -> Any:
        reader = self._reader
        try:
            self._socket.sendall(packed)
            while True:
                read = self._socket.recv(_MOST)
                if not read:
                    raise redis.ConnectionError("The server closed the connection.")
                reader.feed(read)
                answer = reader.gets()
                if answer is not False:
                    break
        except (TimeoutError, BlockingIOError) as error:
            raise redis.TimeoutError("The server did not answer in time.") from error
        except OSError as error:
            raise redis.ConnectionError(str(error)) from error
        except hiredis.HiredisError as error:
            raise redis.ConnectionError(f"The server does not speak Redis's language: {error}") from error
        if isinstance(answer, hiredis.ReplyError):
            text = str(answer)
            raise (
                redis.exceptions.NoScriptError(text)
                if text.startswith("NOSCRIPT")
                else redis.ResponseError(text)
            )
        return answer

    def close(self) -> None:
        self._connection.disconnect()
