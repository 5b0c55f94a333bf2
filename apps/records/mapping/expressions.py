"""Rules about whole rows, written as expressions over a dataset's fields: `amount > 0 and due >= issued`.

`simpleeval` evaluates them on Python's syntax tree; nothing is ever compiled or executed. What may stand in
an expression is a list of our own that leaves out whatever could reach beyond the row's values or grow
without bounds: no attributes, subscripts, powers, loops or texts made by formatting. An expression has at
most 500 characters and 100 nodes, so that one evaluation is a bounded number of steps.

Decimals are exact, dates and times are ISO 8601 texts (which compare as the times do), money is its amount,
with the currency under `<field>_currency`. A rule about a blank value does not apply, as a CHECK of SQL; say
`filled(name)` to demand one.
"""

from __future__ import annotations

import ast
import datetime as dt
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from simpleeval import InvalidExpression, SimpleEval, safe_add, safe_mult

from apps.kernel.patterns import PatternRefused, compile_pattern
from apps.records.fields import FIELD_TYPES, Field, is_blank, shown
from apps.records.mapping.batch import MappedBatch, RowProblem

MAX_LENGTH = 500
MAX_NODES = 100
MAX_DEPTH = 25
MAX_RULES = 50
SEVERITIES = ("error", "warning")
FAILED = "rule_failed"
BROKEN = "rule_broken"

Names = Mapping[str, Any]


class ExpressionRefused(ValueError):
    """The expression is not valid or not allowed; the text says why, as a sentence."""


@dataclass(frozen=True, slots=True)
class RowRule:
    """`check` must be true of every row; else the row is wrong or, with the severity “warning”, warned of.

    `message` may name fields in braces. `field` is where the problem is shown.
    """

    check: str
    message: str = ""
    severity: str = "error"
    field: str = ""

    def to_dict(self) -> dict[str, str]:
        data = {"check": self.check}
        for name in ("message", "field"):
            if getattr(self, name):
                data[name] = getattr(self, name)
        if self.severity != "error":
            data["severity"] = self.severity
        return data


# --- what may stand in an expression


def _matches(text: Any, pattern: str) -> bool:
    safe = compile_pattern(pattern)
    if len(text) > safe.max_input:
        raise ValueError("the text is too long for the pattern")
    return safe.regex.fullmatch(text) is not None


def _rounded(value: Any, places: Any = 0) -> Any:
    if not isinstance(places, int) or not 0 <= places <= 12:
        raise ValueError("round takes 0 to 12 decimals")
    return round(value, places)


def _number(text: Any) -> Decimal:
    try:
        return Decimal(str(text).strip())
    except InvalidOperation:
        raise ValueError(f"“{str(text)[:40]}” is no number") from None


def _days(first: Any, second: Any) -> int:
    def day(value: Any) -> dt.date:
        return dt.date.fromisoformat(value[:10])

    return (day(second) - day(first)).days


def _number_only(apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """An operator that texts would use for something else (`%` formats them, which has no bounds)."""

    def applied(left: Any, right: Any) -> Any:
        if isinstance(left, str) or isinstance(right, str):
            raise TypeError("texts are not calculated with")
        return apply(left, right)

    return applied


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "filled": lambda value: not is_blank(value),
    "blank": is_blank,
    "len": len,
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "contains": lambda text, part: part in text,
    "starts_with": lambda text, part: text.startswith(part),
    "ends_with": lambda text, part: text.endswith(part),
    "matches": _matches,
    "abs": abs,
    "round": _rounded,
    "min": min,
    "max": max,
    "number": _number,
    "days": _days,
    "today": lambda: dt.datetime.now(dt.UTC).date().isoformat(),
}
"""What an expression may call."""

_OPERATORS: dict[type, Callable[..., Any]] = {
    ast.Add: safe_add,
    ast.Sub: operator.sub,
    ast.Mult: _number_only(safe_mult),
    ast.Div: lambda a, b: Decimal(a) / Decimal(b),
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _number_only(operator.mod),
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
    ast.Is: lambda a, b: a is b,
    ast.IsNot: lambda a, b: a is not b,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
_NODES = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.And, ast.Or,
    ast.Compare, ast.IfExp, ast.Call, ast.Tuple, ast.List, *_OPERATORS,
)  # fmt: skip


class _Evaluator(SimpleEval):
    """simpleeval with our list of nodes and operators, and no other."""

    def __init__(self) -> None:
        super().__init__(operators=_OPERATORS, functions=FUNCTIONS, names={})
        known: tuple[type, ...] = (
            ast.Name, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call, ast.Constant,
        )  # fmt: skip
        handlers: dict[type, Callable[[Any], Any]] = vars(self)["nodes"]
        listed = {ast.Tuple: self._elements, ast.List: self._elements}
        self.nodes = {kind: handlers[kind] for kind in known} | listed

    def _elements(self, node: ast.Tuple | ast.List) -> tuple[Any, ...]:
        return tuple(map(self._eval, node.elts))


class Expression:
    """A checked expression. Holds no state of a run: threads may share it."""

    def __init__(self, text: str, known: Names) -> None:
        """`known` are the names that it may use. Raises ExpressionRefused."""
        self.text = text.strip()
        self.tree = _Exact(self.text).visit(_parsed(self.text)).body
        called: set[int] = set()
        names: set[str] = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                _check_call(node)
                called.add(id(node.func))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and id(node) not in called:
                if node.id not in known:
                    raise ExpressionRefused(f"There is no field “{node.id[:60]}”.")
                names.add(node.id)
        self.names = frozenset(names)

    def value(self, names: Names, evaluator: _Evaluator | None = None) -> Any:
        """The value for a row; many may share an evaluator. Raises whatever the row's values make of it."""
        evaluator = evaluator or _Evaluator()
        evaluator.names = names
        return evaluator.eval(self.text, previously_parsed=self.tree)


def _parsed(text: str) -> ast.Expression:
    if not text:
        raise ExpressionRefused("A rule needs an expression such as “amount > 0”.")
    if len(text) > MAX_LENGTH:
        raise ExpressionRefused(f"An expression has at most {MAX_LENGTH} characters.")
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError as problem:
        hint = " Equality is written ==." if re.search(r"[^=<>!]=[^=]", text) else ""
        raise ExpressionRefused(
            f"The expression cannot be read at character {problem.offset}.{hint}"
        ) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionRefused("The expression cannot be read.") from None
    nodes = 0
    level: list[ast.AST] = [tree]
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        for node in level:
            if not isinstance(node, _NODES):
                raise ExpressionRefused(
                    f"An expression may not contain {_LABELS.get(type(node).__name__, 'this')}: it compares, "
                    f"calculates and calls {', '.join(FUNCTIONS)}."
                )
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level or nodes > MAX_NODES:
        raise ExpressionRefused("The expression is too long. Write several rules instead.")
    return tree


_LABELS = {
    "Attribute": "a point after a name",
    "Subscript": "brackets after a name",
    "Pow": "powers",
    "Lambda": "functions of its own",
    "ListComp": "loops",
    "GeneratorExp": "loops",
    "SetComp": "loops",
    "DictComp": "loops",
    "JoinedStr": "f-texts",
    "NamedExpr": "assignments",
    "Starred": "stars",
    "keyword": "named arguments",
}


def _check_call(node: ast.Call) -> None:
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        called = node.func.id if isinstance(node.func, ast.Name) else "this"
        raise ExpressionRefused(f"There is no function “{called[:40]}”; there are {', '.join(FUNCTIONS)}.")
    if node.func.id == "matches":
        pattern = node.args[1] if len(node.args) == 2 else None
        if not isinstance(pattern, ast.Constant) or not isinstance(pattern.value, str):
            raise ExpressionRefused("matches takes a field and a pattern in quotes.")
        try:
            compile_pattern(pattern.value)
        except PatternRefused as problem:
            raise ExpressionRefused(str(problem)) from None


class _Exact(ast.NodeTransformer):
    """Numbers with decimals as they are written, not as binary fractions near them."""

    def __init__(self, text: str) -> None:
        self._text = text

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, float):
            written = ast.get_source_segment(self._text, node) or repr(node.value)
            node.value = Decimal(written.replace("_", ""))  # type: ignore[assignment]
        elif isinstance(node.value, bytes | complex) or node.value is Ellipsis:
            raise ExpressionRefused("An expression contains numbers, texts, True, False and None.")
        return node


# --- rules over the rows of a dataset


def _plain(value: Any) -> Any:
    return value


def _decimal(value: Any) -> Any:
    return None if value is None else Decimal(value)


def _amount(value: Any) -> Any:
    return None if value is None else Decimal(value["amount"])


def _currency(value: Any) -> Any:
    return None if value is None else value["currency"]


def _readers(fields: Sequence[Field]) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """Name in expressions → the field that it comes from, and how its canonical value is read."""
    readers: dict[str, tuple[str, Callable[[Any], Any]]] = {}
    for field in fields:
        how = {"decimal": _decimal, "money": _amount}.get(field.type, _plain)
        readers[field.name] = (field.name, how)
        if field.type == "money":
            readers.setdefault(f"{field.name}_currency", (field.name, _currency))
    return readers


_SAMPLES = {
    "integer": 1,
    "decimal": Decimal("1.5"),
    "money": Decimal("1.5"),
    "boolean": True,
    "date": "2026-03-31",
    "datetime": "2026-03-31T14:30:00Z",
}


class CompiledRule:
    """One rule, ready to be asked about rows."""

    def __init__(self, rule: RowRule, fields: Sequence[Field]) -> None:
        """Raises ExpressionRefused, also for what would never work with values of the fields' types."""
        by_name = {field.name: field for field in fields}
        if rule.severity not in SEVERITIES:
            raise ExpressionRefused("The severity of a rule is error or warning.")
        if rule.field and rule.field not in by_name:
            raise ExpressionRefused(f"There is no field “{rule.field[:60]}”.")
        readers = _readers(fields)
        self.rule = rule
        self.expression = Expression(rule.check, readers)
        self._used = [(name, *readers[name]) for name in sorted(self.expression.names)]
        about = [source for _, source, _ in self._used]
        self.field = rule.field or (about[0] if len(set(about)) == 1 else "")
        self._fields = by_name
        self._try(by_name)

    def _try(self, fields: Mapping[str, Field]) -> None:
        kinds = {name: fields[source].type for name, source, _ in self._used}
        if "json" in kinds.values():
            return
        samples = {
            name: "EUR" if name.endswith("_currency") and name not in fields else _SAMPLES.get(kind, "A")
            for name, kind in kinds.items()
        }
        try:
            self.expression.value(samples)
        except TypeError:
            raise ExpressionRefused(
                "The expression mixes kinds that cannot be compared or calculated with, such as a number "
                "with a text."
            ) from None
        except Exception:  # noqa: S110 - it depends on the values; rows are told
            pass

    def problem(self, number: int, values: Names, evaluator: _Evaluator | None = None) -> RowProblem | None:
        """What the rule has against a row, if anything."""
        names = {name: read(values.get(source)) for name, source, read in self._used}
        try:
            if self.expression.value(names, evaluator):
                return None
            code, message = FAILED, self._message(values)
        except Exception as problem:
            if any(is_blank(value) for value in names.values()):
                return None
            why = problem if isinstance(problem, ValueError | InvalidExpression) else type(problem).__name__
            code, message = BROKEN, f"The rule “{self.rule.check[:120]}” could not be applied: {why}."
        return RowProblem(number, self.field, self.field, self._shown(values, self.field), code, message)

    def _message(self, values: Names) -> str:
        if not self.rule.message:
            return f"The row breaks the rule “{self.rule.check}”."

        def filled(found: re.Match[str]) -> str:
            return self._shown(values, found[1]) if found[1] in self._fields else found[0]

        return re.sub(r"\{([a-z_0-9]{1,60})\}", filled, self.rule.message)[:500]

    def _shown(self, values: Names, name: str) -> str:
        value, field = values.get(name), self._fields.get(name)
        if value is None or field is None:
            return ""
        return shown(FIELD_TYPES[field.type].display(value, field), sensitive=field.sensitive)


def apply_rules(rules: Sequence[CompiledRule], batch: MappedBatch) -> None:
    """Move the rows that break a rule from the good ones to the problems; warnings leave them there."""
    wrong: set[int] = set()
    evaluator = _Evaluator()
    for number, values in zip(batch.rows, batch.values, strict=True):
        for rule in rules:
            problem = rule.problem(number, values, evaluator)
            if problem is None:
                continue
            if rule.rule.severity == "warning":
                batch.warnings.append(problem)
            else:
                batch.problems.append(problem)
                wrong.add(number)
    batch.leave_out(wrong)
