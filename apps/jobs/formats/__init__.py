"""Reading and writing tables as files: plain Python, streaming, without Django."""

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.registry import Format, formats, open_table, recognize
from apps.jobs.formats.tables import (
    Cell,
    CellProblem,
    Column,
    Findings,
    Options,
    Row,
    Severity,
    Sheet,
    Table,
)

__all__ = [
    "Cell",
    "CellProblem",
    "Column",
    "Findings",
    "Format",
    "FormatError",
    "Options",
    "Row",
    "Severity",
    "Sheet",
    "Table",
    "formats",
    "open_table",
    "recognize",
]
