"""XML: a repeated element is a record, its attributes and children are dotted columns.

Document types, and with them entities, are refused before anything is parsed (billion laughs, external
entities). Streamed: one record is held at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, BinaryIO
from xml.parsers import expat

from apps.jobs.formats.errors import FormatError
from apps.jobs.formats.flatten import SAMPLED, Record, Unflattenable, columns_of, flatten, rows_of
from apps.jobs.formats.tables import Findings, Options, Table
from apps.jobs.formats.texts import Position

XML = "xml"
_CHUNK = 65_536
_LOOKED_AT = 1_048_576
_MAX_DEPTH = 64
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"


def open_xml(file: BinaryIO, options: Options) -> Table:
    """Open an XML document. Raises FormatError when it cannot be read as asked."""
    position = Position(file)
    _refuse_doctype(file)
    paths, encoding = _survey(file)
    notices: list[str] = []
    if options.record_path is not None:
        path = "/" + options.record_path.strip().strip("/")
    elif paths:
        path = paths[0]
    else:
        raise FormatError("The XML has no repeated element that could be a record.", code="no_records")
    notices.append(f"Each “{path}” is a record.")
    if len(paths) > 1:
        notices.append("There are also " + ", ".join(f"“{p}”" for p in paths[:6] if p != path) + ".")
    sample: list[dict[str, Any]] = []
    count = 0
    for _, _, record, problems in islice(_records(file, path, options, 0), SAMPLED):
        count += 1
        if not problems:
            try:
                sample.append(flatten(record))
            except Unflattenable:
                continue
    share = position()
    columns = columns_of(sample, max_columns=options.max_columns)
    if not columns:
        raise FormatError(f"There is no “{path}” with anything in it.", code="no_records")
    table = Table(
        columns=columns,
        rows=iter(()),
        findings=Findings(XML, encoding=encoding, header_row=0, record_path=path, record_paths=tuple(paths)),
        total_estimate=count if count < SAMPLED or not share else round(count / share),
        total_is_exact=count < SAMPLED,
        notices=notices,
        position=position,
    )
    names = list(dict.fromkeys(name for record in sample for name in record))
    table.rows = rows_of(_records(file, path, options, options.skip_rows), names, columns, table, options)
    return table


class _Rooted(Exception):
    """The root element has begun: what could be declared before it was not."""


def _refuse_doctype(file: BinaryIO) -> None:
    def refuse(*_: object) -> None:
        raise FormatError(
            "The XML declares a document type (DOCTYPE), which can define entities. It is refused as unsafe.",
            code="unsafe_xml",
        )

    def rooted(*_: object) -> None:
        raise _Rooted

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = rooted
    file.seek(0)
    read = 0
    try:
        while chunk := file.read(_CHUNK):
            read += len(chunk)
            if read > _LOOKED_AT:
                raise FormatError("The XML has no element in its first 1 MB.", code="no_records")
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except _Rooted:
        return
    except expat.ExpatError as error:
        raise _broken(error) from None
    except (ValueError, LookupError) as error:
        raise FormatError(
            f"The XML is in an encoding that cannot be read ({error}).", code="wrong_encoding"
        ) from None


def _broken(error: Any) -> FormatError:
    line, column = getattr(error, "position", None) or (
        getattr(error, "lineno", 0),
        getattr(error, "offset", 0),
    )
    reason = expat.ErrorString(error.code) if getattr(error, "code", None) else str(error)
    return FormatError(
        f"The file is no well-formed XML: {reason}, line {line:,}, column {column + 1:,}.",
        code="not_xml",
        line=line,
    )


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _survey(file: BinaryIO) -> tuple[list[str], str]:
    """The paths of elements that could be records, the likeliest first, and the declared encoding."""
    counts: Counter[str] = Counter()
    rich: set[str] = set()  # has children or attributes
    parser = expat.ParserCreate(namespace_separator="}")
    declared = "utf-8"
    stack: list[str] = []

    def start(tag: str, attributes: dict[str, str]) -> None:
        if stack:
            rich.add("/".join(stack))
        stack.append(_local(tag))
        if len(stack) > _MAX_DEPTH:
            raise _too_deep(parser.CurrentLineNumber)
        path = "/".join(stack)
        if len(counts) < 10_000 or path in counts:
            counts[path] += 1
        if attributes:
            rich.add(path)

    def end(_: str) -> None:
        stack.pop()

    def declaration(_: str, encoding: str | None, __: int) -> None:
        nonlocal declared
        declared = (encoding or "utf-8").lower()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.XmlDeclHandler = declaration
    file.seek(0)
    try:
        parser.Parse(file.read(_LOOKED_AT), False)
    except expat.ExpatError as error:
        raise _broken(error) from None
    able = [path for path in counts if path in rich and "/" in path]
    repeated = [path for path in able if counts[path] > 1]
    chosen = repeated or able or [path for path in counts if "/" not in path and path in rich]
    likeliest = sorted(chosen, key=lambda path: (path.count("/") if repeated else 0, -counts[path]))
    return ["/" + path for path in likeliest[:20]], declared[:20]


def _too_deep(line: int) -> FormatError:
    return FormatError(
        f"The XML is nested more than {_MAX_DEPTH} levels deep on line {line:,}.", code="too_deep", line=line
    )


def _records(file: BinaryIO, path: str, options: Options, skip: int) -> Iterator[Record]:
    """The records in order, each built by handlers as its element streams by."""
    wanted = path.strip("/").split("/")
    built: list[tuple[int, dict[str, Any]]] = []
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    builder = _Builder(parser, wanted, built.append, options.max_row)
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    file.seek(0)
    number = fed = 0
    last = False
    while not last:
        chunk = file.read(_CHUNK)
        last = not chunk
        here = file.tell()
        try:
            parser.Parse(chunk, last)
        except expat.ExpatError as error:
            raise _broken(error) from None
        for line, record in built:
            number += 1
            if number > skip:
                yield number, line, record, ()
        built.clear()
        fed += len(chunk)
        if fed - max(0, parser.CurrentByteIndex) > options.max_row:
            raise FormatError(
                f"Something on line {parser.CurrentLineNumber:,} is longer than {options.max_row:,} bytes.",
                code="row_too_long",
                line=parser.CurrentLineNumber,
            )
        if not last:
            file.seek(here)  # others may have read from it meanwhile


class _Builder:
    """Turns the element at a path into a dict: attributes as “@name”, repeated children as a list."""

    def __init__(
        self,
        parser: Any,
        wanted: list[str],
        done: Callable[[tuple[int, dict[str, Any]]], None],
        max_row: int,
    ) -> None:
        self._parser = parser
        self._wanted = wanted
        self._done = done
        self._max = max_row
        self._stack: list[str] = []
        self._open: list[tuple[dict[str, Any], list[str]]] = []
        self._line = 0
        self._size = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if len(self._stack) >= _MAX_DEPTH:
            raise _too_deep(self._parser.CurrentLineNumber)
        self._stack.append(_local(tag))
        if self._open or (len(self._stack) == len(self._wanted) and self._stack == self._wanted):
            if not self._open:
                self._line = self._parser.CurrentLineNumber
                self._size = 0
            node: dict[str, Any] = {}
            for name, value in attributes.items():
                if name != _NIL[1:]:
                    node["@" + _local(name)] = value
                elif value in ("true", "1"):
                    node[_NIL] = True
                self._grow(len(value))
            self._open.append((node, []))
            self._grow(len(tag))

    def text(self, data: str) -> None:
        if self._open:
            self._open[-1][1].append(data)
            self._grow(len(data))

    def _grow(self, size: int) -> None:
        self._size += size + 16
        if self._size > self._max:
            raise FormatError(
                f"The record on line {self._line:,} is longer than {self._max:,} characters.",
                code="row_too_long",
                line=self._line,
            )

    def end(self, _: str) -> None:
        tag = self._stack.pop()
        if not self._open:
            return
        node, texts = self._open.pop()
        value = self._value(node, "".join(texts))
        if self._open:
            parent = self._open[-1][0]
            if tag not in parent:
                parent[tag] = value
            elif type(parent[tag]) is list:
                parent[tag].append(value)
            else:
                parent[tag] = [parent[tag], value]
        else:
            self._done((self._line, value if type(value) is dict else {tag: value}))

    @staticmethod
    def _value(node: dict[str, Any], text: str) -> Any:
        if node.pop(_NIL, False):
            text = ""
        if not node:
            return text if text.strip() else None
        if text.strip():
            node["#text"] = text.strip()
        return node


def looks_like_xml(head: bytes) -> bool:
    """Whether the first bytes are XML's, in any of its encodings, and not a web page."""
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = head.decode("utf-16" if wide else "utf-8-sig", "ignore").lstrip().lower()
    if text.startswith("<?xml"):
        return "<html" not in text[:1000]
    if not text.startswith("<") or text.startswith(("<html", "<!doctype html", "<table")):
        return False
    return text[1:2].isalpha() or text.startswith(("<!--", "<!doctype"))
