"""The process that reads one PDF from its standard input and prints what tables it found, as JSON.

Run by `apps.jobs.formats.pdf`; limited in memory and processor time, without Django.
"""

from __future__ import annotations

import io
import json
import logging
import resource
import sys
from typing import Any

MEMORY = 1_536 * 1_048_576  # of addresses; what is really used stays far below
PROCESSOR = 110  # seconds
MAX_ROWS = 100_000


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    logging.disable(logging.CRITICAL)
    try:
        found = read(sys.stdin.buffer.read(), int(sys.argv[1]))
    except MemoryError:
        found = {"error": "The PDF takes too much memory. Ask for the table as CSV.", "code": "too_complex"}
    json.dump(found, sys.stdout)


def read(data: bytes, max_pages: int) -> dict[str, Any]:
    """Rows of the widest kind of table, with their page, and notices about what was left out."""
    import pdfplumber
    from pdfminer.pdfdocument import PDFPasswordIncorrect

    try:
        document = pdfplumber.open(io.BytesIO(data))
    except MemoryError:
        raise
    except Exception as error:  # pdfminer raises whatever its parser stumbles on
        if isinstance(error, PDFPasswordIncorrect) or "Password" in repr(error):
            return {"error": "The PDF is protected by a password. Save it without one.", "code": "password"}
        return {"error": "The PDF is damaged and cannot be read.", "code": "damaged_file"}
    rows: list[tuple[int, list[str]]] = []
    notices: list[str] = []
    texts: list[tuple[int, list[str]]] = []
    without: list[int] = []
    is_text = False
    pictures = 0
    pages = document.pages
    if len(pages) > max_pages:
        notices.append(f"Only the first {max_pages} of {len(pages)} pages are read.")
    for number, page in enumerate(pages[:max_pages], start=1):
        tables: list[Any] = page.extract_tables()
        if not tables:
            lines = _lines(page)
            texts += [(number, [" ".join(text for _, _, text in line)]) for line in lines]
            if table := _without_rules(lines):
                tables.append([list(row) for row in table])
        if not tables:
            without.append(number)
            pictures += bool(page.images) and not page.chars
        for table in tables:
            rows += [(number, [_clean(cell) for cell in row]) for row in table]
        page.close()
        if len(rows) > MAX_ROWS:
            notices.append(f"Only the first {MAX_ROWS:,} rows are read.")
            break
    if not rows and texts:
        rows, is_text = texts[:MAX_ROWS], True
        notices.append("No table was found in the PDF; each line of its text is a row.")
        without = []
    if without and rows:
        listed = ", ".join(map(str, without[:10])) + (" …" if len(without) > 10 else "")
        notices.append(f"No table was found on page {listed}.")
    return {"rows": rows, "notices": notices, "pictures": pictures > 0, "is_text": is_text}


def _lines(page: Any) -> list[list[tuple[float, float, str]]]:
    """The page's lines as pieces of text (from, to, text) with wide gaps between them."""
    lines: list[list[Any]] = []
    for word in sorted(page.extract_words(x_tolerance=2), key=lambda w: (round(w["bottom"]), w["x0"])):
        if lines and abs(lines[-1][-1]["bottom"] - word["bottom"]) <= 3:
            lines[-1].append(word)
        else:
            lines.append([word])
    pieces = []
    for words in lines:
        line: list[tuple[float, float, str]] = []
        for word in sorted(words, key=lambda w: w["x0"]):
            gap = max(6.0, 0.8 * (word["bottom"] - word["top"]))
            if line and word["x0"] - line[-1][1] < gap:
                line[-1] = (line[-1][0], word["x1"], f"{line[-1][2]} {word['text']}")
            else:
                line.append((word["x0"], word["x1"], word["text"]))
        pieces.append(line)
    return pieces


def _without_rules(lines: list[list[tuple[float, float, str]]]) -> list[list[str]]:
    """A table whose columns are told by white space alone; empty if the text is no table."""
    rows = [line for line in lines if len(line) > 1]
    if len(rows) < 3 or len(rows) * 2 < len(lines):
        return []
    columns: list[list[float]] = []
    for start, end, _ in sorted(piece for line in rows for piece in line):
        if columns and start <= columns[-1][1]:
            columns[-1][1] = max(columns[-1][1], end)
        else:
            columns.append([start, end])
    if len(columns) < 2:
        return []
    table = []
    for line in rows:
        cells = [""] * len(columns)
        for start, _, text in line:
            at = next(i for i, (_, right) in enumerate(columns) if start <= right)
            cells[at] = f"{cells[at]} {text}".strip()
        table.append(cells)
    return table


def _clean(cell: str | None) -> str:
    return " ".join((cell or "").split())


if __name__ == "__main__":
    main()
