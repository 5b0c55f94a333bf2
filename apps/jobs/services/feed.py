"""The stream of a file's rows on its way into `upsert`, and the memory of which row is which.

`upsert` numbers the rows that it is handed; rows that are wrong or skipped are not handed to it. The feed
keeps every row that was read since the last settled batch, in order, so that a batch's outcome finds the rows
it speaks of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from apps.jobs.formats import Cell, Row
from apps.jobs.services.repeats import Places


@dataclass(slots=True)
class Settled:
    """The rows that one batch settles: `rows` in the file's order, `good` those that `upsert` was handed."""

    rows: list[Row] = field(default_factory=list)
    good: list[Row] = field(default_factory=list)

    @property
    def has_problems(self) -> bool:
        return self.good is not self.rows


class Feed:
    """Iterate it to get the values of the good rows.

    It ends when the file does, when `stop()` was called, or when `max_wrong` wrong rows wait to be settled;
    then `is_exhausted` is false and iterating goes on where it ended. With `stop_on_error` it ends before the
    first wrong row, which is then `stopped_at`.

    One thread may read while another settles: each counts for itself, and the rows lie in a deque.
    """

    may_be_read_anywhere = True

    def __init__(
        self,
        rows: Iterator[Row],
        *,
        max_wrong: int,
        stop_on_error: bool = False,
        extra: Callable[[Row], Cell] | None = None,
        on_wrong: Callable[[Row], None] | None = None,
        places: Places | None = None,
        handed: int = 0,
    ) -> None:
        """`extra` makes one more cell for each row. With `on_wrong`, wrong rows go there and are not kept.
        `places` learns where the rows stood, counting from those that were `handed` out before."""
        self._rows = rows
        self._max_wrong = max_wrong
        self._stop_on_error = stop_on_error
        self._extra = extra
        self._on_wrong = on_wrong
        self.places = Places() if places is None else places
        self._handed = handed
        self._waiting: deque[Row] = deque()
        self._wrong = self._odd = 0  # counted by who reads
        self._wrong_settled = self._odd_settled = 0  # and by who settles
        self._stopped = False
        self.is_exhausted = False
        self.stopped_at: Row | None = None

    def stop(self) -> None:
        """Hand out no more rows."""
        self._stopped = True

    @property
    def is_stopped(self) -> bool:
        return self._stopped

    def __iter__(self) -> Iterator[Sequence[Cell]]:
        extra, waiting, note = self._extra, self._waiting, self.places.note
        while not self._stopped and self._wrong - self._wrong_settled < self._max_wrong:
            row = next(self._rows, None)
            if row is None:
                self.is_exhausted = True
                return
            if row[3]:  # problems
                if row.is_skipped or row.is_wrong:
                    if self._stop_on_error and not row.is_skipped:
                        self.stopped_at = row
                        self._stopped = True
                        return
                    if self._on_wrong is not None:
                        self._on_wrong(row)
                        continue
                    self._wrong += 1
                    self._odd += 1
                    waiting.append(row)
                    continue
                self._odd += 1
            waiting.append(row)
            self._handed += 1
            note(self._handed, row[0], row[1])
            yield row[2] if extra is None else [*row[2], extra(row)]

    def settle(self, handed: int) -> Settled:
        """The rows up to the one that was handed out as number `handed` since the last time, and what follows
        them up to the next good row."""
        waiting = self._waiting
        if self._odd == self._odd_settled:  # the usual case: all of them are good
            rows = [waiting.popleft() for _ in range(min(handed, len(waiting)))]
            return Settled(rows, rows)
        settled = Settled()
        while waiting:
            row = waiting[0]
            if row.problems:
                if row.is_skipped or row.is_wrong:
                    self._wrong_settled += 1
                    self._odd_settled += 1
                    settled.rows.append(waiting.popleft())
                    continue
                if len(settled.good) == handed:
                    break
                self._odd_settled += 1
            elif len(settled.good) == handed:
                break
            settled.good.append(row)
            settled.rows.append(waiting.popleft())
        return settled
