"""Counting API calls, never in a request's way.

A request appends one tuple to a queue in memory; a thread of the process adds up what lies there and writes
it every few seconds in bulk statements, and once more when the process is told to stop. A process that is
killed loses what came since its last write; otherwise nothing is lost, because what could not be written is
kept.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import os
import threading
import time
from collections import deque
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, connections
from django.http import HttpRequest

from apps.apikeys.models import APIKey
from apps.apikeys.principals import subject_of
from apps.apikeys.usage import store
from apps.apikeys.usage.counting import METHODS, Call, Collected, template_of
from apps.kernel.api.addresses import client_ip

log = logging.getLogger(__name__)

# Calls that wait to be added up; beyond these the oldest are dropped. At 3 s between writes never reached.
_WAITING = 200_000
_queue: deque[tuple[Any, ...]] = deque(maxlen=_WAITING)
_writing = threading.Lock()
_starting = threading.Lock()
_kept = Collected()
_thread: threading.Thread | None = None
_stop = threading.Event()
_failing = False


def note(request: HttpRequest, response: Any, seconds: float, statements: Any) -> None:
    """Remember one answered call. No SQL, no lock, a few microseconds."""
    state = request.__dict__
    match = state.get("resolver_match")
    meta = request.META
    headers = response.headers
    status = response.status_code
    if response.streaming:
        length = headers.get("Content-Length") or 0
    else:
        length = len(response.content)
    data = getattr(response, "data", None) if status >= 400 else None
    _queue.append(
        (
            time.time(),
            state.get("hub_principal"),
            state.get("hub_refused_key"),
            request.method,
            request.path_info,
            match.route if match is not None else None,
            headers.get("API-Version", ""),
            status,
            data.get("code") if isinstance(data, dict) else None,
            seconds,
            meta.get("CONTENT_LENGTH"),
            length,
            client_ip(request),
            meta.get("HTTP_USER_AGENT", ""),
            state.get("request_id", ""),
            statements.count,
            statements.seconds,
        )
    )
    if _thread is None:
        _start()


def flush() -> int:
    """Write what has been collected; returns how many calls. What cannot be written is kept for later."""
    global _kept, _failing
    with _writing:
        collected, _kept = _kept, Collected()
        try:
            _collect(collected)
            if not collected:
                return 0
            store.write(collected)
        except (DatabaseError, InterfaceError) as error:
            _kept.take_back(collected)
            if not _failing:
                log.warning("Usage cannot be written now and is kept in memory: %s", type(error).__name__)
            _failing = True
            return 0
        _failing = False
        return collected.calls


def forget_all() -> None:
    """Drop what has not been written (tests)."""
    global _kept
    with _writing:
        _queue.clear()
        _kept = Collected()


def waiting() -> int:
    """How many calls have not been written by this process yet."""
    return len(_queue) + _kept.calls


def _collect(collected: Collected) -> None:
    """Take everything from the queue and add it up."""
    noted: list[tuple[Any, ...]] = []
    for _ in range(len(_queue)):
        try:
            noted.append(_queue.popleft())
        except IndexError:
            break
    refused = {entry[2] for entry in noted if entry[2] is not None}
    keys: dict[UUID, APIKey] = {}
    if refused:
        try:
            keys = APIKey.objects.in_bulk(list(refused))
        except (DatabaseError, InterfaceError):
            _queue.extendleft(reversed(noted))
            raise
    for entry in noted:
        collected.note(_call(entry, keys))


def _call(entry: tuple[Any, ...], keys: dict[UUID, APIKey]) -> Call:
    (at, principal, refused_key, method, path, route, version, status, code, seconds, given, length, ip,
     user_agent, request_id, statements, database) = entry  # fmt: skip
    organization: UUID | None = None
    kind = subject_id = label = ""
    key_id = None
    if principal is not None:
        organization = principal.organization.pk
        subject = subject_of(principal)
        if subject is not None:
            kind, subject_id = subject
        label = principal.actor.label or principal.actor.ref
        key = getattr(principal, "key", None)
        key_id = key.pk if key is not None else None
    elif refused_key is not None and refused_key in keys:
        key = keys[refused_key]
        organization, kind, subject_id, label = key.organization_id, "key", key.group.hex, key.name
    return Call(
        at=at,
        organization=organization,
        subject_kind=kind,
        subject_id=subject_id[:120],
        label=label,
        key_id=key_id,
        method=method if method in METHODS else "OTHER",
        path=path,
        route=template_of(route),
        version=version[:20],
        status=status,
        code=code or "",
        time_us=max(0, int(seconds * 1_000_000)),
        bytes_in=int(given) if given and given.isdecimal() and len(given) < 16 else 0,
        bytes_out=int(length),
        ip=ip,
        user_agent=user_agent,
        request_id=request_id,
        statements=statements,
        database_us=int(database * 1_000_000),
    )


# --- the thread


def _start() -> None:
    """Start this process's writer at its first call, and so after any fork."""
    global _thread
    every = settings.HUB_USAGE_SECONDS
    if not every or _thread is not None:
        return
    with _starting:
        if _thread is not None:
            return
        _stop.clear()
        # Not every server ends its workers the way Python does: multiprocessing's children skip atexit.
        atexit.register(stop)
        multiprocessing.util.Finalize(None, stop, exitpriority=100)
        _thread = threading.Thread(target=_run, args=(every,), name="usage", daemon=True)
        _thread.start()


def _run(every: float) -> None:
    while not _stop.wait(every):
        _write_and_let_go()


def _write_and_let_go() -> None:
    try:
        flush()
    except Exception:
        log.exception("Usage could not be written")
    finally:
        connection.close()


def stop() -> None:
    """Write what is left; the process is about to end."""
    if _thread is None or _stop.is_set():
        return
    _stop.set()
    _thread.join(timeout=5)
    try:
        flush()
    finally:
        connections.close_all()


def _after_fork() -> None:
    """A child starts with nothing: what its parent noted is its parent's to write."""
    global _thread, _writing, _starting, _kept
    _thread = None
    _writing, _starting = threading.Lock(), threading.Lock()
    _queue.clear()
    _kept = Collected()


os.register_at_fork(after_in_child=_after_fork)
