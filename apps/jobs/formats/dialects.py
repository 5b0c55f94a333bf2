"""Which delimiter separates the cells, where the header stands, and where a quote was left open."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.headers import find_header, usual_width
from apps.jobs.formats.tables import Options

DELIMITERS = {"\t": "tab", ";": "semicolon", "|": "pipe", ",": "comma"}
"""In the order in which a tie is decided: a comma is more often part of a text or a number."""

_SEP = re.compile(r'^"?sep=(.)"?\r?\n?$', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Dialect:
    delimiter: str
    skip_space: bool = False
    has_sep_line: bool = False


def sniff(sample: Sequence[str], wanted: str | None = None) -> Dialect:
    """The dialect of the sample's lines; `wanted` is a delimiter that somebody chose."""
    sep = _SEP.match(sample[0]) if sample else None
    if wanted is not None and (len(wanted) != 1 or wanted in '"\r\n\0'):
        raise FormatError(
            "A delimiter is one character, such as a comma, a semicolon or a tab.", code="bad_delimiter"
        )
    lines = sample[1:] if sep else sample
    delimiter = wanted or (sep.group(1) if sep else _best(lines))
    spaced = sum(line.count(f'{delimiter} "') for line in lines)
    return Dialect(delimiter, skip_space=spaced > len(lines) // 2, has_sep_line=bool(sep))


def _best(lines: Sequence[str]) -> str:
    best, best_fit = ",", (0.0, False)
    for delimiter in DELIMITERS:
        widths = [len(cells) for cells in records(lines, Dialect(delimiter)) if any(cells)]
        wide = Counter(width for width in widths if width > 1)
        if not wide:
            continue
        usual, times = wide.most_common(1)[0]
        # What stands in the same place of every row, but not in the header, is part of a text.
        fit = round(times / len(widths), 2), widths[0] == usual
        if fit > best_fit:
            best, best_fit = delimiter, fit
    return best


def records(lines: Sequence[str], dialect: Dialect, limit: int = 500) -> Iterator[list[str]]:
    """The sample's records, read leniently."""
    body = lines[1:] if dialect.has_sep_line else lines
    reader = csv.reader(body, delimiter=dialect.delimiter, skipinitialspace=dialect.skip_space)
    for count, cells in enumerate(reader):
        if count >= limit:
            return
        yield cells


def _numbered(lines: Sequence[str], dialect: Dialect, limit: int = 200) -> list[tuple[int, list[str]]]:
    body = lines[1:] if dialect.has_sep_line else lines
    reader = csv.reader(body, delimiter=dialect.delimiter, skipinitialspace=dialect.skip_space)
    found: list[tuple[int, list[str]]] = []
    line = 1 + dialect.has_sep_line
    for cells in reader:
        if any(cell.strip() for cell in cells):
            found.append((line, cells))
        line = 1 + dialect.has_sep_line + reader.line_num
        if len(found) >= limit:
            break
    return found


def find_header_line(sample: Sequence[str], dialect: Dialect, options: Options) -> int:
    """The physical line of the header, 0 if there is none."""
    if options.has_header is False:
        return 0
    if options.header_row:
        return options.header_row
    numbered = _numbered(sample, dialect)
    if not numbered:
        return 0
    index = find_header([cells for _, cells in numbered])
    if index is not None:
        return numbered[index][0]
    return numbered[0][0] if options.has_header else 0


def sample_width(sample: Sequence[str], dialect: Dialect) -> int:
    """The number of columns of a table without a header."""
    return usual_width([cells for _, cells in _numbered(sample, dialect)])


def unclosed_quote(record: Sequence[str], dialect: Dialect) -> int | None:
    """The index of the record's line on which the last quote was opened that nothing closes."""
    opened: int | None = None
    at_start = True
    for index, line in enumerate(record):
        position = 0
        while position < len(line):
            if opened is not None:
                quote = line.find('"', position)
                if quote < 0:
                    break
                doubled = line.startswith('"', quote + 1)
                opened = opened if doubled else None
                position = quote + 1 + doubled
                at_start = False
            elif at_start and line[position] == '"':
                opened, position = index, position + 1
            elif at_start and line[position] == " " and dialect.skip_space:
                position += 1
            else:
                delimiter = line.find(dialect.delimiter, position)
                at_start = delimiter >= 0
                position = delimiter + 1 if at_start else len(line)
    return opened
