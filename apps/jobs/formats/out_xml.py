"""Exports as XML: an element for each record, a child for each column, well-formed whatever the text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, ClassVar
from xml.sax.saxutils import escape, quoteattr

from apps.jobs.formats.outputs import OutColumn, OutOptions, Output, json_text, money_text, plain_text
from apps.kernel.spreadsheets import NOT_XML

_MORE = {"\r": "&#13;"}
_NO_NAME = re.compile(r"[^\w.-]")
REPLACED = "{n} characters that XML cannot hold were replaced by “�”."


def element_name(text: str) -> str:
    """A name for an element, made of any text."""
    name = _NO_NAME.sub("_", text)
    return name if name[:1].isalpha() or name[:1] == "_" else f"_{name}"


class XmlOutput(Output):
    """Elements are called by the columns' names, never by labels, so that an import knows them again."""

    nested: ClassVar[bool] = True

    def __init__(self, file: BinaryIO, columns: Sequence[OutColumn], options: OutOptions) -> None:
        self._element = element_name(options.element)
        self._root = element_name(options.root)
        super().__init__(file, columns, options)
        file.write(
            b'<?xml version="1.0" encoding="UTF-8"?>\n'
            + f"<{self._root} title={quoteattr(options.title)}>\n".encode()
        )

    def names(self) -> dict[str, Any]:
        return {
            "X": self._text, "money": money_text, "js": json_text, "changes": self._changes,
            "B": {True: "true", False: "false"},
        }  # fmt: skip

    def inline(self, column: OutColumn, value: str) -> str:
        name = element_name(column.name)
        if column.kind == "changes":
            return f"changes({value})"
        made = {
            "integer": "str(v)", "decimal": "v", "date": "v", "datetime": "v", "id": "v", "boolean": "B[v]",
            "money": "X(money(v))", "json": "X(js(v))",
        }.get(column.kind, "(v if v.isalnum() else X(v))")  # fmt: skip
        return f"('<{name}/>' if (v := {value}) is None else '<{name}>' + {made} + '</{name}>')"

    def cell(self, column: OutColumn, value: Any, row: int) -> Any:
        if column.kind == "changes":
            return self._changes(value)
        name = element_name(column.name)
        return f"<{name}/>" if value is None else f"<{name}>{self._text(plain_text(value))}</{name}>"

    def join(self, cells: Sequence[str]) -> str:
        return f"''.join(('<{self._element}>', {', '.join(cells)}, '</{self._element}>\\n'))"

    def whole(self, cells: Sequence[Any], row: int) -> Any:
        return "".join([f"<{self._element}>", *cells, f"</{self._element}>\n"])

    def _text(self, text: str) -> str:
        if not text.isprintable() and NOT_XML.search(text):
            text, times = NOT_XML.subn("�", text)
            self.notes.add(REPLACED, times)
        return escape(text, _MORE)

    def _changes(self, changes: Sequence[Mapping[str, Any]] | None) -> str:
        made = []
        for change in changes or ():
            inner = "".join(
                f"<{name}/>" if value is None else f"<{name}>{self._text(plain_text(value))}</{name}>"
                for name, value in change.items()
            )
            made.append(f"<change>{inner}</change>")
        return f"<_changes>{''.join(made)}</_changes>"

    def put(self, rows: list[Any]) -> None:
        self.file.write("".join(rows).encode())

    def close(self) -> None:
        self.file.write(f"</{self._root}>\n".encode())
        self.file.flush()
