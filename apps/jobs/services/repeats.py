"""Rows of one file that mean the same record, or repeat a value that must be there once.

Nothing in the file's order is forgotten: the second row is named together with the first, with both lines.
Up to 100,000 values are kept in memory, more in a temporary database that is thrown away, so that memory does
not grow with the file.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from apps.jobs.statuses import Repeats
from apps.records.mapping import MappedBatch, RowProblem
from apps.records.models import Dataset

CODE = "repeated_row"
IN_MEMORY = 100_000

Place = Callable[[int], tuple[int, int]]
"""upsert's number of a row → the row's number in the file, and its line."""


class Places:
    """Where the rows stood that `upsert` was handed: one entry where numbers and lines begin to differ.

    That may be at every row, where rows have several lines each: 24 bytes.
    """

    def __init__(self) -> None:
        self._handed, self._numbers, self._lines = array("q"), array("q"), array("q")
        self._last: tuple[int, int] = (-1, -1)

    def note(self, handed: int, number: int, line: int) -> None:
        shift = (number - handed, line - handed)
        if shift != self._last:
            self._handed.append(handed)
            self._numbers.append(shift[0])
            self._lines.append(shift[1])
            self._last = shift

    def __call__(self, handed: int) -> tuple[int, int]:
        """Number and line of the row that was handed out as number `handed`; (0, 0) if it never was."""
        at = bisect_right(self._handed, handed) - 1
        if at < 0:
            return 0, 0
        return self._numbers[at] + handed, self._lines[at] + handed


class _Seen:
    """Text → the number of the row that had it."""

    def __init__(self) -> None:
        self._memory: dict[str, int] = {}
        self._disk: sqlite3.Connection | None = None

    def repeated(
        self, texts: Sequence[str], numbers: Sequence[int], *, newest: bool
    ) -> list[tuple[int, int]]:
        """(index, number of the earlier row) of every text that was there before, then note all of them.

        With `newest` the later row is remembered, else the first.
        """
        fresh = dict(zip(texts, numbers, strict=True))
        if self._disk is None and len(fresh) == len(texts) and self._memory.keys().isdisjoint(fresh):
            self._remember(fresh)
            return []
        known = self._known(list(fresh))
        found = []
        for index, (text, number) in enumerate(zip(texts, numbers, strict=True)):
            earlier = known.get(text)
            if earlier is not None:
                found.append((index, earlier))
            if earlier is None or newest:
                known[text] = number
        self._remember({text: known[text] for text in fresh})
        return found

    def _known(self, texts: list[str]) -> dict[str, int]:
        if self._disk is None:
            return {text: self._memory[text] for text in texts if text in self._memory}
        query = "SELECT text, number FROM seen WHERE text IN (SELECT value FROM json_each(?))"
        return dict(self._disk.execute(query, [orjson.dumps(texts).decode()]))

    def _remember(self, fresh: dict[str, int]) -> None:
        if self._disk is None:
            self._memory.update(fresh)
            if len(self._memory) <= IN_MEMORY:
                return
            # A database without a name is a temporary file of this connection's own; one thread at a time
            # reads ahead, not always the same.
            self._disk = sqlite3.connect("", check_same_thread=False, isolation_level=None)
            self._disk.execute("PRAGMA cache_size=-8000")
            self._disk.execute("CREATE TABLE seen (text TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID")
            fresh, self._memory = self._memory, {}
        self._disk.execute("BEGIN")
        self._disk.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", fresh.items())
        self._disk.execute("COMMIT")

    def close(self) -> None:
        if self._disk is not None:
            self._disk.close()


class Watch:
    """Looks at each mapped batch, in the file's order, for rows that repeat earlier ones."""

    def __init__(
        self, dataset: Dataset, fields: Sequence[str], policy: str, place: Place, *, creating: bool
    ) -> None:
        """`fields` are those whose values may be there once. `creating` tells that a row cannot change what
        an earlier one made, so that the last cannot win."""
        self._dataset = dataset
        self._policy = Repeats.ERROR if creating and policy == Repeats.LAST else policy
        self._place = place
        self._seen = {name: _Seen() for name in fields}

    def __call__(self, mapped: MappedBatch) -> None:
        for name, seen in self._seen.items():
            filled = [
                (number, text)
                for number, values in zip(mapped.rows, mapped.values, strict=True)
                if (text := _text(values.get(name))) is not None
            ]
            texts = [text for _, text in filled]
            numbers = [number for number, _ in filled]
            # Only the key makes a later row mean the same record: other fields cannot be won by the last.
            wins = name == self._dataset.key_field
            policy = Repeats.ERROR if self._policy == Repeats.LAST and not wins else self._policy
            repeats = seen.repeated(texts, numbers, newest=policy == Repeats.LAST)
            if not repeats:
                continue
            told = [self._problem(name, numbers[at], texts[at], earlier, policy) for at, earlier in repeats]
            if policy == Repeats.LAST:
                mapped.warnings += told
                continue
            (mapped.problems if policy == Repeats.ERROR else mapped.skipped).extend(told)
            mapped.leave_out({problem.row for problem in told})

    def _problem(self, name: str, number: int, text: str, earlier: int, policy: str) -> RowProblem:
        field = self._dataset.fields_by_name[name]
        row, line = self._place(number)
        first_row, first_line = self._place(earlier)
        what = {
            Repeats.LAST: "it overwrites what that row said",
            Repeats.FIRST: "that row counts and this one is passed over",
        }.get(Repeats(policy), "each may occur once in the file")
        shown = "" if field.sensitive else f" “{text[:60]}”"
        message = (
            f"Row {row:,} (line {line:,}) has the same {field.title}{shown} as row {first_row:,} "
            f"(line {first_line:,}): {what}."
        )
        return RowProblem(number, name, name, "***" if field.sensitive else text[:80], CODE, message)

    def close(self) -> None:
        for seen in self._seen.values():
            seen.close()


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
