"""Where a value comes from in a source row: a column, a key, a path, or any JMESPath expression.

A source is written as a column's name or a JMESPath expression (jmespath.org); `@column:Unit price` names a
column or a top-level key literally, whatever characters it has.

An *absent* source is told from one that is null or blank, so that a partial update erases nothing. For a path
that means a missing key; for other expressions, that the row has none of the keys that the expression starts
from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError

from apps.records.fields.problems import ValueProblem

COLUMN_PREFIX = "@column:"


class _Missing:
    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()
"""The source has no such key: neither null nor blank."""

Extract = Callable[[Any], Any]


class SourceRefused(ValueError):
    """The source cannot be read from these rows; `code` says why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Source:
    """A compiled source. `index` is set for a column by position, `key` for a top-level key; `extract` works
    for every kind and returns MISSING for what is absent. `roots` are the top-level names that it reads."""

    text: str
    label: str
    extract: Extract
    roots: frozenset[str]
    index: int | None = None
    key: str | None = None


def compile_source(text: str, columns: Sequence[str] | None = None) -> Source:
    """Compile a source for rows that are sequences of these columns, or objects. Raises SourceRefused."""
    if columns is not None:
        literal = text.removeprefix(COLUMN_PREFIX)
        if literal in columns:
            return _column(literal, columns)
        if literal != text:
            raise _no_column(literal, columns)
    elif text.startswith(COLUMN_PREFIX):
        return _key(text.removeprefix(COLUMN_PREFIX))
    tree = parse_expression(text)
    path = _path(tree)
    if columns is not None:
        return _over_columns(text, tree, path, columns)
    if path is None:
        return _expression(text, tree)
    return _key(path[0], text) if len(path) == 1 else _nested(path, text)


def parse_expression(text: str) -> Mapping[str, Any]:
    """The syntax tree of a JMESPath expression. Raises SourceRefused."""
    try:
        tree: Mapping[str, Any] = jmespath.compile(text).parsed
        return tree
    except (JMESPathError, RecursionError) as problem:
        reason = str(problem).splitlines()[0].rstrip(":. ")
        raise SourceRefused(
            "invalid_source",
            f"“{text[:80]}” is neither a column nor a valid JMESPath expression: {reason}.",
        ) from None


def _no_column(name: str, columns: Sequence[str]) -> SourceRefused:
    known = ", ".join(f"“{column}”" for column in columns[:12])
    return SourceRefused("unknown_column", f"The source has no column “{name[:80]}”; it has {known}.")


def _column(name: str, columns: Sequence[str]) -> Source:
    if columns.count(name) > 1:
        raise SourceRefused(
            "ambiguous_column", f"The source has {columns.count(name)} columns named “{name[:80]}”."
        )
    index = columns.index(name)
    return Source(name, name, lambda row: row[index], frozenset({name}), index=index)


def _key(name: str, text: str | None = None) -> Source:
    def extract(row: Any) -> Any:
        return row.get(name, MISSING)

    return Source(text or name, name, extract, frozenset({name}), key=name)


def _nested(path: Sequence[str], text: str) -> Source:
    first, *rest = path

    def extract(row: Any) -> Any:
        value = row.get(first, MISSING)
        for name in rest:
            if not isinstance(value, Mapping):
                return MISSING if value is MISSING else None
            value = value.get(name, MISSING)
        return value

    return Source(text, text, extract, frozenset({first}))


def _expression(text: str, tree: Mapping[str, Any]) -> Source:
    search = jmespath.compile(text).search
    roots = _roots(tree)

    def extract(row: Any) -> Any:
        if roots and roots.isdisjoint(row):
            return MISSING
        try:
            return search(row)
        except (JMESPathError, TypeError, ValueError, RecursionError) as problem:
            raise ValueProblem("source_failed", f"The source {text} could not be read: {problem}.") from None

    return Source(text, text, extract, roots)


def _over_columns(
    text: str, tree: Mapping[str, Any], path: Sequence[str] | None, columns: Sequence[str]
) -> Source:
    roots = _roots(tree)
    for root in sorted(roots):
        if root not in columns:
            raise _no_column(root, columns)
        if columns.count(root) > 1:
            _column(root, columns)
    if path is not None and len(path) == 1:
        return _column(path[0], columns)
    inner = _expression(text, tree).extract
    names = tuple(columns)
    return Source(text, text, lambda row: inner(dict(zip(names, row, strict=True))), roots)


def _path(tree: Mapping[str, Any]) -> list[str] | None:
    """The names of a plain path such as `address.city`, or None for anything else."""
    if tree["type"] == "field":
        return [tree["value"]]
    if tree["type"] == "subexpression":
        names: list[str] = []
        for child in tree["children"]:
            part = _path(child)
            if part is None:
                return None
            names += part
        return names
    return None


_LEFT_ONLY = {
    "subexpression",
    "index_expression",
    "projection",
    "value_projection",
    "filter_projection",
    "pipe",
}
_NO_ROOT = {"literal", "expref", "index", "slice"}


def _roots(tree: Mapping[str, Any]) -> frozenset[str]:
    """The keys of the row that an expression starts from; empty if it may look at the whole row."""
    found: set[str] = set()
    return frozenset(found) if _collect(tree, found) else frozenset()


def _collect(tree: Mapping[str, Any], found: set[str]) -> bool:
    """Add the root keys to `found`; False if the expression sees the row as a whole."""
    kind = tree["type"]
    if kind == "field":
        found.add(tree["value"])
        return True
    if kind in _NO_ROOT:
        return True
    children = tree.get("children", [])
    if kind in ("current", "identity"):
        return False
    if kind in _LEFT_ONLY:
        children = children[:1]
    results = [_collect(child, found) for child in children]
    return all(results)
