"""JSON: an array of objects, an array within an object (a record path), or one object a line (NDJSON).

Streamed: one record is held at a time. A line of NDJSON that is no JSON is that row's error; in an array
nothing after such a place can be trusted, so there the file's reading ends with the line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.flatten import SAMPLED, Record, Unflattenable, columns_of, flatten, rows_of
from apps.jobs.formats.json_cursor import Cursor, NotJSON, decoder
from apps.jobs.formats.tables import CellProblem, Findings, Options, Table
from apps.jobs.formats.texts import Position, choose_encoding, decoding, text_of

JSON, NDJSON = "json", "ndjson"
_LOOKED_AT = 500_000
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]', re.DOTALL)
_ROOT = "[]"


def open_json(file: BinaryIO, options: Options) -> Table:
    """Open a JSON document. Raises FormatError when it cannot be read as asked."""
    position = Position(file)
    encoding, notices = choose_encoding(file, options)
    paths = find_paths(file, encoding)
    if options.record_path is not None:
        path = options.record_path.strip() or _ROOT
    elif paths:
        path = paths[0]
    else:
        raise FormatError(
            "The JSON has no list of objects to be rows. Expected is [{…}, {…}], a list within an object, or "
            "one object a line.",
            code="no_records",
        )
    if path != _ROOT:
        notices.append(f"The records are read from “{path}”.")
    if len(paths) > 1:
        notices.append("There are also records in " + ", ".join(f"“{p}”" for p in paths if p != path) + ".")

    def records(skip: int = 0) -> Iterator[Record]:
        with decoding(file, encoding):
            yield from _in_document(file, encoding, path, options, skip)

    return _table(JSON, records, encoding, notices, position, options, path, paths)


def open_ndjson(file: BinaryIO, options: Options) -> Table:
    """Open a file with one JSON object a line. Raises FormatError when it cannot be read as asked."""
    position = Position(file)
    encoding, notices = choose_encoding(file, options)

    def records(skip: int = 0) -> Iterator[Record]:
        with decoding(file, encoding):
            yield from _in_lines(file, encoding, options, skip)

    return _table(NDJSON, records, encoding, notices, position, options, "", ())


def _table(
    file_type: str,
    records: Any,
    encoding: str,
    notices: list[str],
    position: Position,
    options: Options,
    path: str,
    paths: Sequence[str],
) -> Table:
    sample: list[dict[str, Any]] = []
    count = 0
    for _, _, record, problems in islice(records(), SAMPLED):
        count += 1
        if not problems and type(record) is dict:
            try:
                sample.append(flatten(record, options))
            except Unflattenable:
                continue
    share = position()
    columns = columns_of(sample, max_columns=options.max_columns)
    if not columns:
        raise FormatError(
            f"There are no objects with fields in “{path}”." if path else "The file has no records.",
            code="no_records" if count else "empty_file",
        )
    table = Table(
        columns=columns,
        rows=iter(()),
        findings=Findings(
            file_type, encoding=encoding, header_row=0, record_path=path, record_paths=tuple(paths)
        ),
        total_estimate=count if count < SAMPLED or not share else round(count / share),
        total_is_exact=count < SAMPLED,
        notices=notices,
        position=position,
    )
    names = list(dict.fromkeys(name for record in sample for name in record))
    table.rows = rows_of(records(options.skip_rows), names, columns, table, options)
    return table


def _in_lines(file: BinaryIO, encoding: str, options: Options, skip: int) -> Iterator[Record]:
    text = text_of(file, encoding)
    decode = decoder.decode
    number = line = 0
    while raw := text.readline(options.max_row):
        line += 1
        if len(raw) >= options.max_row:
            raise FormatError(
                f"Line {line:,} is longer than {options.max_row:,} characters.",
                code="row_too_long",
                line=line,
            )
        if raw.isspace():
            continue
        number += 1
        if number <= skip:
            continue
        try:
            record = decode(raw)
        except json.JSONDecodeError as error:
            yield number, line, None, (_bad_line(raw, f"{error.msg} at character {error.pos + 1:,}"),)
        except NotJSON as error:
            yield number, line, None, (_bad_line(raw, str(error)),)
        except RecursionError:
            yield number, line, None, (_bad_line(raw, "it is nested too deep"),)
        else:
            yield number, line, record, ()


def _bad_line(raw: str, reason: str) -> CellProblem:
    return CellProblem(
        "not_json", f"The line is no JSON: {reason}.", value=raw[:200].strip().replace("\0", "␀")
    )


def _in_document(file: BinaryIO, encoding: str, path: str, options: Options, skip: int) -> Iterator[Record]:
    cursor = Cursor(text_of(file, encoding), max_value=options.max_row)
    steps = [part for part in path.replace("[]", "").split(".") if part]
    for number, (line, record) in enumerate(_walk(cursor, steps, options), start=1):
        if number > skip:
            yield number, line, record, ()
    if cursor.peek():
        cursor.fail("the document has ended, but more text follows")


def _walk(cursor: Cursor, steps: list[str], options: Options, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """The records below the cursor's value: lists are gone through at every level, fields by `steps`."""
    if depth > 100:
        cursor.fail("the lists are nested too deep")
    first = cursor.peek()
    if first == "[":
        cursor.take("[")
        if cursor.peek() == "]":
            cursor.take("]")
            return
        while True:
            if not steps and cursor.peek() != "[":
                line = cursor.line
                yield line, cursor.value()
            else:
                yield from _walk(cursor, steps, options, depth + 1)
            if cursor.peek() == "]":
                cursor.take("]")
                return
            cursor.take(",")
    elif first == "{" and steps:
        cursor.take("{")
        if cursor.peek() == "}":
            cursor.take("}")
            return
        while True:
            if cursor.peek() != '"':
                cursor.fail("a field's name in quotes is expected")
            name = cursor.value()
            cursor.take(":")
            if name == steps[0]:
                yield from _walk(cursor, steps[1:], options, depth + 1)
            else:
                cursor.skip()
            if cursor.peek() == "}":
                cursor.take("}")
                return
            cursor.take(",")
    elif steps:
        cursor.skip()
    else:
        line = cursor.line
        yield line, cursor.value()


def find_paths(file: BinaryIO, encoding: str) -> tuple[str, ...]:
    """Where lists of objects are in the beginning of the document: outer ones first, then the longest."""
    text = text_of(file, encoding, errors="replace").read(_LOOKED_AT)
    counts = _lists_in(text)
    if not counts and text.lstrip()[:1] == "{":
        return (_ROOT,)  # one object: one record
    return tuple(sorted(counts, key=lambda path: (path.count("[]."), -counts[path])))[:20]


def _lists_in(text: str) -> Counter[str]:
    """Path of each list → how many objects it holds, as far as the text goes. Tolerates anything."""
    counts: Counter[str] = Counter()
    stack: list[tuple[str, str]] = []  # the bracket, and the path of what it opens
    key = ""
    is_key = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        mark = token[0]
        if mark == '"':
            if is_key:
                key = token[1:-1] if len(token) <= 102 else ""
        elif mark in "{[":
            if stack and stack[-1][0] == "[":
                path = stack[-1][1] + "[]" if not stack[-1][1].endswith("[]") else stack[-1][1]
                if mark == "{":
                    counts[stack[-1][1]] += 1
            elif stack:
                path = f"{stack[-1][1]}.{key}".removeprefix(".")
            else:
                path = _ROOT if mark == "[" else ""
            if len(stack) > 100:
                break
            stack.append((mark, path))
            is_key = mark == "{"
        elif mark in "}]":
            if stack:
                stack.pop()
            is_key = False
        elif mark == ",":
            is_key = bool(stack) and stack[-1][0] == "{"
        else:
            is_key = False
    return counts
