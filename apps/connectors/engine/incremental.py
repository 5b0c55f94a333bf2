"""Reading only what changed: the filter that is sent, and the cursor that is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from apps.connectors.engine import times
from apps.connectors.engine.http import Request
from apps.connectors.engine.paths import compiled


@dataclass(frozen=True, slots=True)
class Incremental:
    """How a stream is asked for changes since a time.

    `path` is where a row says when it changed. `name` is the query parameter, header or body path that
    takes the time, in `format`. `op` is what the provider does with it: with `gt` rows of the very same
    second would be lost, so one step less is sent. `lookback` seconds are read again, as some
    rows appear late.
    """

    path: str
    name: str
    place: str = "query"
    op: str = "gte"
    format: str = "iso"
    lookback: int = 0
    start: str = ""

    def since(self, cursor: str | None) -> datetime | None:
        """The time to ask from: the remembered cursor less the overlap, else the configured start."""
        moment = times.parse(cursor) if cursor else None
        if moment is None:
            return times.parse(self.start) if self.start else None
        overlap = timedelta(seconds=self.lookback)
        if self.op == "gt":
            overlap += times.UNIT[self.format]
        return moment - overlap

    def filtered(self, request: Request, since: datetime | None) -> Request:
        if since is None:
            return request
        # Whole seconds: no provider refuses them, and reading a little again costs nothing.
        value = times.render(
            since if self.format == "epoch_ms" else since.replace(microsecond=0), self.format
        )
        if self.place == "header":
            return request.with_header(self.name, value)
        if self.place == "body":
            return request.with_json(self.name, value)
        return request.with_param(self.name, value)

    def newest(self, rows: Iterable[Any], known: datetime | None) -> datetime | None:
        """The latest change among `rows` and `known`. Rows that do not say when they changed do not count."""
        find = compiled(self.path)
        for row in rows:
            moment = times.parse(find(row))
            if moment is not None and (known is None or moment > known):
                known = moment
        return known
