"""Writes the function that maps rows: one specialised loop per dataset and mapping.

The source is built from this module's own text, integers, and names under which objects are bound in the
function's namespace. Nothing that a person wrote (names of fields and columns, patterns, constants) ever
becomes part of it.

What is written for a field `n` of a CSV, without transforms, reads:

    v = row[3]
    if not (v.__class__ is str and (v := v.strip()) and v.isascii() and '\\0' not in v and len(v) <= 200):
        v = slow_7(v, row[3], number, problems)
    f0 = v
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from apps.records.fields import FIELD_TYPES, Field
from apps.records.mapping.batch import RowProblem
from apps.records.mapping.batch import present as without_nulls
from apps.records.mapping.sources import MISSING, Source
from apps.records.mapping.steps import BoundStep
from apps.records.mapping.transforms import Role

Slow = Callable[[Any, Any, int, list[RowProblem]], Any]
"""(value, what the source held, row number, problems) → canonical value, or null and a problem."""


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """Everything the generated code needs to know of one field."""

    field: Field
    source: Source | None
    steps: tuple[BoundStep, ...]
    slow: Slow
    broken: Callable[[Any, Any, int, list[RowProblem], Sequence[Any]], None]
    checked: Callable[[Any, Any, int, list[RowProblem]], None] | None
    constant: Any = None
    absent_value: Any = None
    absent_refused: Callable[[int, list[RowProblem]], None] | None = None
    absent_noted: bool = False
    revives: bool = False


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The whole: fields in the order of their names, and what to do about rows that do not fit."""

    fields: tuple[FieldPlan, ...]
    width: int | None
    malformed: Callable[[Any, int, list[RowProblem]], bool]
    always_missing: tuple[str, ...]
    unknown: Callable[[Mapping[Any, Any], int, list[RowProblem]], None] | None = None
    used: frozenset[str] | None = None


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        builtins = (len, str, int, bool, dict, list, tuple, Exception)
        self.namespace: dict[str, object] = {
            "MISSING": MISSING,
            "__builtins__": {thing.__name__: thing for thing in builtins},
        }
        self.depth = 0
        self._names: dict[int, str] = {}

    def bind(self, thing: object) -> str:
        """The name of the object in the function's namespace."""
        name = self._names.get(id(thing))
        if name is None:
            name = f"g{len(self.namespace)}"
            self.namespace[name] = thing
            self._names[id(thing)] = name
        return name

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)


def generate(plan: RowPlan) -> tuple[Callable[..., None], str]:
    """The function `run(rows, number, rows_out, values, present, missing, problems, lookups)`; its text."""
    writer = _Writer()
    writer.line("def run(rows, number, rows_out, values, present, missing, problems, lookups):")
    writer.depth = 1
    writer.line("add_row, add_values, add_missing = rows_out.append, values.append, missing.append")
    writer.line("add_present = present.append")
    writer.line("seen = len(problems)")
    writer.line("for row in rows:")
    writer.depth = 2
    _guard(writer, plan)
    if plan.width is None:
        _objects(writer, plan)
    else:
        _sequences(writer, plan)
    source = "\n".join(writer.lines) + "\n"
    exec(compile(source, "<mapping>", "exec"), writer.namespace)  # noqa: S102 - see the module's docstring
    run: Callable[..., None] = writer.namespace["run"]  # type: ignore[assignment]
    return run, source


def _guard(writer: _Writer, plan: RowPlan) -> None:
    malformed = writer.bind(plan.malformed)
    if plan.width is None:
        odd = "row.__class__ is not dict"
    else:
        odd = f"(row.__class__ is not list and row.__class__ is not tuple) or len(row) != {int(plan.width)}"
    writer.line(f"if ({odd}) and {malformed}(row, number, problems):")
    writer.line("    seen = len(problems)")
    writer.line("    number += 1")
    writer.line("    continue")


def _finish(writer: _Writer, values: str, missing: str, nullable: Sequence[str] | None = None) -> None:
    """`nullable` names the local variables that may be null, where that is known."""
    whole = " and ".join(f"{name} is not None" for name in nullable or ())
    without = f"{writer.bind(without_nulls)}(out)"
    writer.line("if len(problems) == seen:")
    writer.line("    add_row(number)")
    if values != "out":
        writer.line(f"    out = {values}")
    writer.line("    add_values(out)")
    writer.line(f"    add_present({f'out if {whole} else {without}' if whole else without})")
    writer.line(f"    add_missing({missing})")
    writer.line("else:")
    writer.line("    seen = len(problems)")
    writer.line("number += 1")


def _sequences(writer: _Writer, plan: RowPlan) -> None:
    """Rows by position: every mapped field has a value, so each row is one dictionary display."""
    entries: list[str] = []
    nullable: list[str] = []
    for number, item in enumerate(plan.fields):
        if item.constant is not None:
            value = _constant(writer, item.constant)
        else:
            _value(writer, item, _raw(writer, item))
            value = f"f{number}"
            writer.line(f"{value} = v")
            nullable.append(value)
        entries.append(f"{writer.bind(item.field.name)}: {value}")
    _finish(writer, "{" + ", ".join(entries) + "}", writer.bind(plan.always_missing), nullable)


def _objects(writer: _Writer, plan: RowPlan) -> None:
    """Rows by name: what the source does not have stays out of the result."""
    writer.line("get = row.get")
    writer.line("out = {}")
    writer.line(f"absent = {writer.bind(plan.always_missing)}")
    for item in plan.fields:
        name = writer.bind(item.field.name)
        if item.constant is not None:
            writer.line(f"out[{name}] = {_constant(writer, item.constant)}")
        elif item.revives:
            _value(writer, item, _raw(writer, item), kept=True)
            writer.line("if v is MISSING:")
            _absent(writer, item, name)
            writer.line("else:")
            writer.line(f"    out[{name}] = v")
        else:
            _present(writer, item, name)
    if plan.unknown is not None:
        known = "len(out) == len(row)" if plan.used is None else f"{writer.bind(plan.used.issuperset)}(row)"
        writer.line(f"if not {known}:")
        writer.line(f"    {writer.bind(plan.unknown)}(row, number, problems)")
    _finish(writer, "out", "absent")


def _present(writer: _Writer, item: FieldPlan, name: str) -> None:
    """A field whose source decides alone whether it is there."""
    raw = _raw(writer, item)
    if item.source is not None and item.source.key is None:
        writer.line("try:")
        writer.line(f"    v = {raw}")
        writer.line("except Exception:")
        writer.line(f"    {writer.bind(item.broken)}(None, row, number, problems, lookups)")
        writer.line("    v = MISSING")
        writer.line("    r = MISSING")
        writer.line("else:")
        writer.line("    r = v")
        raw = "r"
    else:
        writer.line(f"v = {raw}")
    writer.line("if v is MISSING:")
    _absent(writer, item, name)
    writer.line("else:")
    writer.depth += 1
    _pipe_and_check(writer, item, raw)
    writer.line(f"out[{name}] = v")
    writer.depth -= 1


def _absent(writer: _Writer, item: FieldPlan, name: str) -> None:
    writer.depth += 1
    if item.absent_value is not None:
        writer.line(f"out[{name}] = {_constant(writer, item.absent_value)}")
    elif item.absent_refused is not None:
        writer.line(f"{writer.bind(item.absent_refused)}(number, problems)")
    elif item.absent_noted:
        writer.line(f"absent += {writer.bind((item.field.name,))}")
    else:
        writer.line("pass")
    writer.depth -= 1


def _raw(writer: _Writer, item: FieldPlan) -> str:
    """An expression for what the source holds."""
    source = item.source
    if source is None:
        return "MISSING"
    if source.index is not None:
        return f"row[{int(source.index)}]"
    if source.key is not None:
        return f"get({writer.bind(source.key)}, MISSING)"
    return f"{writer.bind(source.extract)}(row)"


def _value(writer: _Writer, item: FieldPlan, raw: str, *, kept: bool = False) -> None:
    """The value of a field that is not absent, or with `kept` may come out as MISSING."""
    simple = item.source is not None and item.source.index is not None and not item.steps
    if simple:
        writer.line(f"v = {raw}")
        _check(writer, item, raw)
        return
    writer.line("r = MISSING")
    writer.line("try:")
    writer.line(f"    v = r = {raw}")
    writer.line("    if v is MISSING:")
    writer.line("        v = None")
    writer.depth += 1
    _steps(writer, item)
    writer.depth -= 1
    writer.line("except Exception:")
    writer.line(f"    {writer.bind(item.broken)}(r, row, number, problems, lookups)")
    writer.line("    v = MISSING" if kept else "    v = None")
    writer.line("else:")
    writer.depth += 1
    if kept:
        writer.line("if v is None and r is MISSING:")
        writer.line("    v = MISSING")
        writer.line("else:")
        writer.depth += 1
    _check(writer, item, "r")
    writer.depth -= 2 if kept else 1


def _pipe_and_check(writer: _Writer, item: FieldPlan, raw: str) -> None:
    if not item.steps:
        _check(writer, item, raw)
        return
    writer.line("try:")
    writer.depth += 1
    _steps(writer, item)
    writer.depth -= 1
    writer.line("except Exception:")
    writer.line(f"    {writer.bind(item.broken)}({raw}, row, number, problems, lookups)")
    writer.line("    v = None")
    writer.line("else:")
    writer.depth += 1
    _check(writer, item, raw)
    writer.depth -= 1


def _steps(writer: _Writer, item: FieldPlan) -> None:
    for bound in item.steps:
        if bound.role is Role.LOOKUP:
            applied = f"v = lookups[{int(bound.lookup)}](v)"
        elif bound.role is Role.ROW:
            applied = f"v = {writer.bind(bound.apply)}(v, row)"
        else:
            applied = f"v = {writer.bind(bound.apply)}(v)"
        writer.line(applied if bound.takes_null else f"if v is not None: {applied}")


def _check(writer: _Writer, item: FieldPlan, raw: str) -> None:
    slow = f"v = {writer.bind(item.slow)}(v, {raw}, number, problems)"
    inline = FIELD_TYPES[item.field.type].fast(item.field, writer.bind)
    if inline is None:
        writer.line(slow)
    elif inline.convert:
        writer.line(f"if {inline.condition}:")
        writer.line(f"    v = {inline.convert}")
        writer.line("else:")
        writer.line(f"    {slow}")
    else:
        writer.line(f"if not ({inline.condition}):")
        writer.line(f"    {slow}")
    if item.checked is not None:
        writer.line("if v is not None:")
        writer.line(f"    {writer.bind(item.checked)}(v, {raw}, number, problems)")


def _constant(writer: _Writer, value: Any) -> str:
    """A value that is the same for all rows; what could be changed by its owner is copied for each."""
    if isinstance(value, dict | list):
        return f"{writer.bind(deepcopy)}({writer.bind(value)})"
    return writer.bind(value)
