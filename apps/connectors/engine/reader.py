"""Reading a stream, page by page. Each page carries the state from which a killed run continues after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from apps.connectors.engine import loops, times
from apps.connectors.engine.connection import Connection
from apps.connectors.engine.decode import DECODERS
from apps.connectors.engine.errors import ConfigurationError, EngineError, failure_of
from apps.connectors.engine.http import Response, Send
from apps.connectors.engine.manifest import Stream
from apps.connectors.engine.paginate import Answer
from apps.connectors.engine.paths import compiled, search

State = Mapping[str, Any]


class Mode(StrEnum):
    FULL = "full"
    INCREMENTAL = "incremental"


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and what to store in the same transaction as them.

    `next_state` is a JSON value; handed to `read` again, it continues after this page. After the last page it
    holds only the cursor that the next run asks from. `gone` are remote ids that the provider calls deleted.
    """

    number: int
    rows: list[dict[str, Any]]
    next_state: dict[str, Any]
    cursor: str | None
    last: bool
    gone: list[str] = field(default_factory=list)
    duplicates: int = 0
    warnings: tuple[str, ...] = ()


def _utcnow() -> datetime:
    return datetime.now(UTC)


def read(
    stream: Stream,
    connection: Connection,
    send: Send,
    state: State | None = None,
    mode: Mode = Mode.INCREMENTAL,
    *,
    now: Callable[[], datetime] = _utcnow,
) -> Iterator[Page]:
    """The pages of a stream: all of it, or what changed since the cursor in `state`.

    A state that holds an unfinished run of the same mode continues it. The cursor becomes the latest change
    seen, never later than the provider's clock at the start, and only with the last page. Raises EngineError;
    all pages yielded before are good.
    """
    state = dict(state or {})
    committed = state.get("cursor")
    run = state.get("run")
    if not run or run.get("mode") != mode:
        run = _begin(stream, committed, mode)
    since = times.parse(run["since"])
    ids = compiled(stream.remote_id)
    while True:
        request = connection.request(stream.request, stream)
        if stream.incremental and since:
            request = stream.incremental.filtered(request, since)
        request = stream.paginator.place(request, stream.pagination, run["position"])
        request = connection.authenticated(request)
        response = send(request)
        body = answer_of(connection, response)
        run["started"] = run["started"] or _clock(response, now)
        found, warnings = _rows(stream, body)
        mark = loops.of_rows([ids(row) for row in found])
        again = mark is not None and mark == run["mark"]
        if again and "repeat_page" not in stream.pagination.get("stop", ()):
            raise ConfigurationError(
                f"The provider sent page {run['number']} of {stream.label} twice in a row: its pages do not "
                f"move on. Check the pagination of the stream (kind “{stream.pagination['kind']}”)."
            )
        following = None
        if again:
            found = []
        else:
            following = stream.paginator.after(
                stream.pagination, run["position"], Answer(request, response, body, found)
            )
        rows, gone, duplicates = _sorted_out(stream, found)
        run = {**run, "number": run["number"] + 1, "mark": mark, "newest": _newest(stream, found, run)}
        if following is None:
            cursor = run["newest"] or committed
            final = {"cursor": cursor} if cursor else {}
            yield Page(run["number"], rows, final, cursor, True, gone, duplicates, warnings)
            return
        trail, circles = loops.step(run["trail"], following)
        run = {**run, "position": following, "trail": trail}
        kept = {"cursor": committed, "run": run} if committed else {"run": run}
        yield Page(run["number"], rows, kept, committed, False, gone, duplicates, warnings)
        if circles:
            raise ConfigurationError(
                f"The pages of {stream.label} go in circles: page {run['number']} leads back to one that was "
                "read before. The cursor was not moved. Tell the provider, or correct the pagination."
            )


def answer_of(connection: Connection, response: Response) -> Any:
    """The decoded body of a good answer. Raises EngineError, without secrets in it, for any other."""
    decode = DECODERS[connection.manifest.decode]
    body = None
    try:
        body = decode(response)
    except EngineError as error:
        if response.ok:
            error.message = connection.hide(error.message)
            raise
    failure = failure_of(response, body, connection.manifest.errors)
    if failure is not None:
        failure.message = connection.hide(failure.message)
        raise failure
    return body


def _begin(stream: Stream, committed: str | None, mode: Mode) -> dict[str, Any]:
    since = stream.incremental.since(committed) if stream.incremental and mode == Mode.INCREMENTAL else None
    position = stream.paginator.start(stream.pagination)
    trail, _ = loops.step(None, position)
    return {
        "mode": str(mode),
        "since": times.render(since, "iso") if since else None,
        "newest": committed if mode == Mode.INCREMENTAL else None,
        "started": None,
        "number": 0,
        "position": position,
        "trail": trail,
        "mark": None,
    }


def _clock(response: Response, now: Callable[[], datetime]) -> str:
    """The provider's time, as it dates its rows by it; else ours."""
    theirs = times.parse(response.headers.get("date", ""))
    return times.render(theirs or now(), "iso")


def _rows(stream: Stream, body: Any) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    found = search(stream.records_path, body)
    if found is None:
        # Some providers leave the list out when it is empty; a wrong path looks the same, so it is said.
        if body is None:
            return [], ()
        return [], (f"There is nothing at {stream.records_path} in the answer; it was taken as empty.",)
    if not isinstance(found, list):
        raise ConfigurationError(
            f"The records of {stream.label} at {stream.records_path} are not a list. Correct the path to the "
            "records (JMESPath)."
        )
    for row in found:
        if not isinstance(row, dict):
            raise ConfigurationError(
                f"The records of {stream.label} at {stream.records_path} are not objects. Correct the path "
                "to the records (JMESPath)."
            )
    return found, ()


def _sorted_out(stream: Stream, found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str], int]:
    """Live rows, deleted ids, and how many rows were there twice: of one id the last counts."""
    ids, is_gone = compiled(stream.remote_id), compiled(stream.deleted_when) if stream.deleted_when else None
    by_id: dict[str, dict[str, Any]] = {}
    nameless: list[dict[str, Any]] = []
    for row in found:
        remote = ids(row)
        if remote is None or remote == "" or isinstance(remote, (dict, list)):
            nameless.append(row)  # the writer says what is wrong with it
        else:
            by_id[str(remote)] = row
    gone = [remote for remote, row in by_id.items() if is_gone and is_gone(row)]
    for remote in gone:
        del by_id[remote]
    return [*by_id.values(), *nameless], gone, len(found) - len(by_id) - len(gone) - len(nameless)


def _newest(stream: Stream, found: list[dict[str, Any]], run: Mapping[str, Any]) -> str | None:
    if stream.incremental is None:
        return None
    newest = stream.incremental.newest(found, times.parse(run["newest"]))
    if newest is None:
        return None
    # A row dated in the future must not hide everything until then.
    started = times.parse(run["started"])
    return times.render(min(newest, started) if started else newest, "iso")
