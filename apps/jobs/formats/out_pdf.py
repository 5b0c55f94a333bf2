"""Exports as PDF: a table on pages to print, with letters of all European languages.

Made for what a person reads: at most MAX_ROWS rows. Longer exports are refused before they are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from reportlab.lib.pagesizes import A4, landscape
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.outputs import OutColumn, OutOptions, Output, plain_text

MAX_ROWS = 5_000
MAX_COLUMNS = 16
MAX_LINES = 12
"""Lines of one cell; what is longer ends with an ellipsis, and is counted."""
SHORTENED = "{n} cells were too long for the page and end with “…”. Choose another format for all of them."
FONT = "HubSans"
_SIZE, _LEADING, _PAD, _MARGIN = 7.0, 8.6, 3.0, 28.0
_SAMPLED = 200


def _font() -> str:
    if FONT not in pdfmetrics.getRegisteredFontNames():
        pdfmetrics.registerFont(TTFont(FONT, Path(__file__).parent / "fonts" / "DejaVuSans.ttf"))
    return FONT


class PdfOutput(Output):
    """One table over as many pages as it takes, its header on each."""

    def __init__(self, file: BinaryIO, columns: Sequence[OutColumn], options: OutOptions) -> None:
        if len(columns) > MAX_COLUMNS:
            raise FormatError(
                f"A page has room for {MAX_COLUMNS} columns, not for {len(columns)}. "
                "Choose fewer columns, or Excel.",
                code="too_many_columns",
            )
        super().__init__(file, columns, options)
        self._made: list[list[str]] = []

    def inline(self, column: OutColumn, value: str) -> str:
        return f"text({value})"

    def names(self) -> dict[str, Any]:
        return {"text": plain_text}

    def cell(self, column: OutColumn, value: Any, row: int) -> Any:
        return plain_text(value)

    def join(self, cells: Sequence[str]) -> str:
        return f"[{', '.join(cells)}]"

    def whole(self, cells: Sequence[Any], row: int) -> Any:
        return list(cells)

    def put(self, rows: list[Any]) -> None:
        if self.rows + len(rows) > MAX_ROWS:
            raise FormatError(
                f"A PDF holds at most {MAX_ROWS:,} rows. Filter what is exported, or choose Excel or CSV.",
                code="too_many_rows",
            )
        self._made += rows

    def close(self) -> None:
        _Pages(self).draw(self._made)
        self.file.flush()


class _Pages:
    """Lays the rows out: columns as wide as their content asks for, within the page."""

    def __init__(self, output: PdfOutput) -> None:
        self.output = output
        self.font = _font()
        self.width, self.height = landscape(A4)
        # `invariant`: the same rows give the same bytes.
        self.canvas = Canvas(output.file, pagesize=(self.width, self.height), invariant=1)
        self.canvas.setTitle(output.options.title)
        self.page = 0
        self.y = 0.0

    def draw(self, rows: Sequence[Sequence[str]]) -> None:
        self.widths = self._widths(rows)
        self._new_page()
        for n, row in enumerate(rows):
            cells = [self._lines(text, width) for text, width in zip(row, self.widths, strict=True)]
            tall = max(len(lines) for lines in cells) * _LEADING + 2 * _PAD
            if self.y - tall < _MARGIN:
                self.canvas.showPage()
                self._new_page()
            self._row(cells, tall, shade=0.96 if n % 2 else 0)
        self.canvas.save()

    def _widths(self, rows: Sequence[Sequence[str]]) -> list[float]:
        room = self.width - 2 * _MARGIN
        heads = self.output.headings()
        asked = []
        for n, head in enumerate(heads):
            texts = [head, *(row[n][:120] for row in rows[:_SAMPLED])]
            longest = max(pdfmetrics.stringWidth(text, self.font, _SIZE) for text in texts)
            asked.append(min(max(longest, 24.0) + 2 * _PAD + 1, 220.0))
        if sum(asked) > room:  # narrow columns keep what they need, the wide ones share the rest
            fair = room / len(asked)
            narrow = sum(width for width in asked if width <= fair)
            wide = sum(width for width in asked if width > fair)
            share = (room - narrow) / wide
            asked = [width if width <= fair else width * share for width in asked]
        return asked

    def _new_page(self) -> None:
        self.page += 1
        canvas = self.canvas
        canvas.setFont(self.font, 9)
        canvas.setFillGray(0.25)
        canvas.drawString(_MARGIN, self.height - _MARGIN + 8, self.output.options.title[:120])
        canvas.drawRightString(self.width - _MARGIN, self.height - _MARGIN + 8, f"Page {self.page}")
        self.y = self.height - _MARGIN
        heads = [
            self._lines(head, width) for head, width in zip(self.output.headings(), self.widths, strict=True)
        ]
        self._row(heads, max(len(lines) for lines in heads) * _LEADING + 2 * _PAD, shade=0.86)

    def _row(self, cells: Sequence[Sequence[str]], tall: float, *, shade: float) -> None:
        canvas, x = self.canvas, _MARGIN
        if shade:
            canvas.setFillGray(shade)
            canvas.rect(x, self.y - tall, sum(self.widths), tall, stroke=0, fill=1)
        canvas.setFillGray(0)
        canvas.setFont(self.font, _SIZE)
        for lines, width in zip(cells, self.widths, strict=True):
            for n, line in enumerate(lines):
                canvas.drawString(x + _PAD, self.y - _PAD - _SIZE - n * _LEADING + 1, line)
            x += width
        canvas.setStrokeGray(0.8)
        canvas.setLineWidth(0.3)
        canvas.line(_MARGIN, self.y - tall, _MARGIN + sum(self.widths), self.y - tall)
        self.y -= tall

    def _lines(self, text: str, width: float) -> list[str]:
        """The text in lines that fit, broken between words where that is possible."""
        room = width - 2 * _PAD
        found: list[str] = []
        for part in text[: MAX_LINES * 200].splitlines() or [""]:
            found += self._wrapped("".join(c if c.isprintable() else " " for c in part), room)
            if len(found) > MAX_LINES:
                break
        if len(found) > MAX_LINES or len(text) > MAX_LINES * 200:
            found = found[:MAX_LINES]
            found[-1] = found[-1][:-1] + "…"
            self.output.notes.add(SHORTENED)
        return found

    def _wrapped(self, text: str, room: float) -> list[str]:
        measure = pdfmetrics.stringWidth
        if measure(text, self.font, _SIZE) <= room:
            return [text]
        lines, line = [], ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if measure(longer, self.font, _SIZE) <= room:
                line = longer
                continue
            if line:
                lines.append(line)
            while measure(word, self.font, _SIZE) > room and len(word) > 1:
                cut = max(1, int(len(word) * room / measure(word, self.font, _SIZE)))
                while cut > 1 and measure(word[:cut], self.font, _SIZE) > room:
                    cut -= 1
                lines.append(word[:cut])
                word = word[cut:]
            line = word
        return [*lines, line]
