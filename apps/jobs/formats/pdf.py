"""Tables in PDF documents, as far as they can be told; what could not be is said.

A PDF has no cells, only text at places and lines between. pdfplumber finds the tables; it runs in a process
of its own with limits on memory and time, because a small PDF can unpack to anything.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.headers import find_header, header_notices, name_columns
from apps.jobs.formats.tables import Cell, CellProblem, Column, Findings, Options, Row, Table

FILE_TYPE = "pdf"
MAX_BYTES = 64 * 1_048_576
MAX_PAGES = 300
SECONDS = 120


def open_pdf(file: BinaryIO, options: Options) -> Table:
    """Open a PDF's tables as one table. Raises FormatError when there is none or it cannot be read."""
    size = file.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise FormatError(
            f"PDF documents of more than {MAX_BYTES // 1_048_576} MB are not read. Ask for the table as CSV.",
            code="too_large",
        )
    found = _extract(file)
    rows: list[tuple[int, list[Cell]]] = [(page, cells) for page, cells in found["rows"]]
    notices: list[str] = list(found["notices"])
    if not rows:
        raise FormatError(
            "No table was found in the PDF"
            + (": its pages are pictures without text." if found["pictures"] else ".")
            + " Ask for the table as CSV or Excel.",
            code="no_table",
        )
    is_text = found["is_text"]
    header_at = 0 if is_text else _header_of([cells for _, cells in rows[:200]], options)
    header = rows[header_at - 1][1] if header_at else None
    width = max(len(cells) for _, cells in rows)
    columns = name_columns(
        (["Text"] if is_text else None) if header is None else [*header, *[None] * (width - len(header))],
        width,
        max_columns=options.max_columns,
    )
    notices += header_notices(columns, has_header=is_text or header is not None)
    notices.insert(
        0, "Tables in a PDF are guessed from where its text stands. Compare the first and last rows with it."
    )
    table = Table(
        columns=columns,
        rows=iter(()),
        findings=Findings(FILE_TYPE, has_header=header is not None, header_row=header_at),
        total_estimate=len(rows) - header_at,
        notices=notices,
    )
    table.rows = _rows(rows, header, header_at, columns, table, options)
    return table


def _header_of(head: Sequence[Sequence[Cell]], options: Options) -> int:
    if options.has_header is False:
        return 0
    if options.header_row:
        if options.header_row > len(head):
            raise FormatError(f"The table ends before row {options.header_row}.", line=options.header_row)
        return options.header_row
    index = find_header(head)
    if index is None:
        return 1 if options.has_header else 0
    return index + 1


def _rows(
    rows: Sequence[tuple[int, list[Cell]]],
    header: list[Cell] | None,
    header_at: int,
    columns: tuple[Column, ...],
    table: Table,
    options: Options,
) -> Iterator[Row]:
    width = len(columns)
    number = 0
    for line, (page, cells) in enumerate(rows, start=1):
        if line <= header_at:
            continue
        if not any(cells) or (header is not None and cells == header):  # repeated on each page
            table.blank_rows += 1
            continue
        number += 1
        if number <= options.skip_rows:
            continue
        problems: tuple[CellProblem, ...] = ()
        if len(cells) != width:
            problems = (
                CellProblem(
                    "other_width",
                    f"The row on page {page} has {len(cells)} cells, but there are {width} columns.",
                ),
            )
        yield Row(number, line, [*cells, *[None] * (width - len(cells))], problems)


def _extract(file: BinaryIO) -> dict[str, Any]:
    file.seek(0)
    with tempfile.TemporaryFile() as copy, tempfile.TemporaryFile() as out:
        while chunk := file.read(1_048_576):
            copy.write(chunk)
        copy.seek(0)
        child = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", "apps.jobs.formats.pdf_child", str(MAX_PAGES)],
            stdin=copy,
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH") if name in os.environ},
            cwd=os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))),
        )
        try:
            child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            raise FormatError(
                f"The PDF could not be read within {SECONDS} seconds. Ask for the table as CSV.",
                code="too_complex",
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            child.wait()
        out.seek(0)
        try:
            found: dict[str, Any] = json.loads(out.read())
        except ValueError:
            raise FormatError(
                "The PDF takes more memory or time than is allowed, or is damaged. Ask for the table as CSV.",
                code="damaged_file",
            ) from None
    if "error" in found:
        raise FormatError(found["error"], code=found["code"])
    return found
