"""Exports as a JSON array and as NDJSON: values as the API shows them, changes as a nested list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO, ClassVar

import orjson

from apps.jobs.formats.outputs import OutColumn, OutOptions, Output


class NdjsonOutput(Output):
    """One JSON object a line."""

    nested: ClassVar[bool] = True

    def names(self) -> dict[str, Any]:
        return {"dump": orjson.dumps}

    def inline(self, column: OutColumn, value: str) -> str:
        return value

    def cell(self, column: OutColumn, value: Any, row: int) -> Any:
        return value

    def join(self, cells: Sequence[str]) -> str:
        pairs = (f"{name!r}: {cell}" for name, cell in zip(self.headings(), cells, strict=True))
        return f"dump({{{', '.join(pairs)}}})"

    def whole(self, cells: Sequence[Any], row: int) -> Any:
        return orjson.dumps(dict(zip(self.headings(), cells, strict=True)))

    def put(self, rows: list[Any]) -> None:
        if rows:
            self.file.write(b"\n".join(rows) + b"\n")

    def close(self) -> None:
        self.file.flush()


class JsonOutput(NdjsonOutput):
    """One JSON array, one record a line."""

    def __init__(self, file: BinaryIO, columns: Sequence[OutColumn], options: OutOptions) -> None:
        super().__init__(file, columns, options)
        file.write(b"[")

    def put(self, rows: list[Any]) -> None:
        if rows:
            self.file.write((b",\n" if self.rows else b"\n") + b",\n".join(rows))

    def close(self) -> None:
        self.file.write(b"\n]\n")
        self.file.flush()
