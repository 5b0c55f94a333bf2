"""What a person sees of a file before anything is decided: columns, first rows, what was noticed.

Kept on the job, so that showing it costs nothing; bounded, whatever the file holds.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from apps.jobs.formats import Cell, Row, Table

ROWS = 10
SAMPLED_ROWS = 200
SAMPLED_CHARACTERS = 60_000
COLUMNS = 60
CELL = 80
SAMPLE_CELL = 200
SAMPLE_COLUMNS = 2_000


def make(table: Table) -> dict[str, Any]:
    """The preview of an open table; reads its first rows.

    `rows` are the first ten, shortened, of the first 60 columns; `samples` holds the first values of every
    column, from which mappings are proposed.
    """
    first = list(islice(table.rows, SAMPLED_ROWS))
    findings = table.findings
    return {
        "columns": [
            {"name": c.name, "raw": c.raw[:200], "made_up": c.made_up, "repeated": c.repeated}
            for c in table.columns
        ],
        "rows": [_row(row) for row in first[:ROWS]],
        "samples": _samples(table, first),
        "notices": table.notices,
        "sheets": [{"name": sheet.name, "visible": sheet.visible} for sheet in findings.sheets],
        "record_paths": list(findings.record_paths),
        "members": list(findings.members),
        "total_estimate": table.total_estimate,
        "total_is_exact": table.total_is_exact,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "number": row.number,
        "line": row.line,
        "cells": [_shown(cell, CELL) for cell in row.values[:COLUMNS]],
        "more": max(0, len(row.values) - COLUMNS),
        "problems": [problem.message for problem in row.problems[:3]],
    }


def _samples(table: Table, rows: list[Row]) -> list[list[str]]:
    """For each column its first values, as many as there is room for."""
    width = len(table.columns)
    least = 20 if width <= 60 else 5 if width <= 400 else 2
    right = [row for row in rows if not row.is_wrong]
    room, depth = SAMPLED_CHARACTERS, 0
    for row in right:
        room -= sum(min(SAMPLE_CELL, len(str(value))) + 4 for value in row.values)
        if room < 0 and depth >= least:
            break
        depth += 1
    right = right[:depth]
    return [
        [_shown(row.values[index], SAMPLE_CELL) for row in right if index < len(row.values)]
        for index in range(min(width, SAMPLE_COLUMNS))
    ]


def _shown(cell: Cell, length: int) -> str:
    if cell is None:
        return ""
    text = "true" if cell is True else "false" if cell is False else str(cell)
    text = text.replace("\0", "␀")
    return text if len(text) <= length else text[: length - 1] + "…"
