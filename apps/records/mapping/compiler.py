"""From a dataset's fields and a mapping to a function that turns source rows into checked values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import lru_cache
from typing import Any

from apps.kernel.errors import FieldError, InvalidInput
from apps.records.fields import FIELD_TYPES, Field, ValueProblem, clean, is_blank, shown
from apps.records.mapping.batch import MappedBatch, RowProblem
from apps.records.mapping.codegen import FieldPlan, RowPlan, Slow, generate
from apps.records.mapping.expressions import CompiledRule, apply_rules
from apps.records.mapping.rules import Check, compile_rule
from apps.records.mapping.sources import COLUMN_PREFIX, Source, compile_source
from apps.records.mapping.spec import FieldMapping, MappingSpec, check
from apps.records.mapping.steps import BoundStep, LookupPlan, bind_pipe, explain, plan_lookups
from apps.records.mapping.transforms import zone_of

Lookup = Callable[[str, str, Collection[str]], Mapping[str, Any]]
"""(dataset, field, values) → record key by value, for the values that some record has. Called once per batch
for each dataset and field that the mapping looks up in."""


def compile_mapping(
    fields: Sequence[Field],
    spec: MappingSpec | None = None,
    *,
    columns: Sequence[str] | None = None,
    timezone: str | dt.tzinfo = "UTC",
    update_fields_only: bool = False,
) -> CompiledMapper:
    """Compile the mapping of source rows to a dataset's fields.

    Rows are sequences in the order of `columns`, or without it objects. Without `spec` names are the fields'
    names and others are refused. Dates and times without offset are taken in `timezone`. With
    `update_fields_only`, for a partial update, only what a row has is touched: the mapping's defaults do not
    stand in for what is absent, and nothing counts as missing.

    Raises InvalidInput if the mapping, the columns or the time zone do not fit.
    """
    options = (None if columns is None else tuple(columns), timezone, update_fields_only)
    if spec is None:
        kinds = tuple(type(field.default) for field in fields)  # 1 and true are equal, but not the same
        try:
            return _by_name(tuple(fields), kinds, *options)
        except TypeError:  # a default that is a list or an object has no hash
            pass
    return _Compilation(fields, spec, *options).mapper()


@lru_cache(maxsize=256)
def _by_name(
    fields: tuple[Field, ...],
    kinds: tuple[type, ...],
    columns: tuple[str, ...] | None,
    timezone: str | dt.tzinfo,
    partial: bool,
) -> CompiledMapper:
    """The mapper without a mapping, kept: single records are written through it again and again."""
    return _Compilation(fields, None, columns, timezone, partial).mapper()


class CompiledMapper:
    """Maps rows. Holds no state of a run: one mapper may serve many threads.

    `required` names the fields a new record must have (those without a default); `defaults` holds the
    canonical defaults of fields, for a new record whose source does not have them. `writes_in_order` tells
    that the values of each row have their keys in order, on every level. `source_code` is what was generated,
    to read.
    """

    def __init__(
        self,
        *,
        fields: Sequence[Field],
        spec: MappingSpec | None,
        columns: tuple[str, ...] | None,
        plan: RowPlan,
        lookups: Sequence[LookupPlan],
        steps: Sequence[BoundStep],
        defaults: Mapping[str, Any],
        rules: Sequence[CompiledRule] = (),
    ) -> None:
        self.fields = tuple(fields)
        self.spec = spec
        self.columns = columns
        self.defaults = dict(defaults)
        self.required = tuple(f.name for f in fields if f.required and f.name not in defaults)
        self.targets = tuple(item.field.name for item in plan.fields)
        self.writes_in_order = plan.width is not None and not any(
            FIELD_TYPES[item.field.type].is_free for item in plan.fields
        )
        self._lookups = lookups
        self._steps = steps
        self._rules = rules
        self._run, self.source_code = generate(plan)

    @property
    def needs_lookup(self) -> bool:
        """Whether `map_rows` needs the `lookup` callback."""
        return bool(self._lookups)

    @property
    def has_rules(self) -> bool:
        """Whether rules about whole rows apply, which may depend on the day."""
        return bool(self._rules)

    def map_rows(self, rows: Iterable[Any], start: int = 1, *, lookup: Lookup | None = None) -> MappedBatch:
        """Map a batch of rows, numbered from `start`. Every wrong value of every row is a problem; a row with
        problems gives no values. Raises ValueError if the mapping looks up and there is no `lookup`."""
        batch = MappedBatch()
        applied: list[Callable[[Any], Any]] = []
        if self._lookups:
            if not isinstance(rows, Sequence):
                rows = list(rows)
            applied = self._resolve(rows, lookup)
        self._run(
            rows, start, batch.rows, batch.values, batch.present, batch.missing, batch.problems, applied
        )
        if self._rules:
            apply_rules(self._rules, batch)
        return batch

    def map_row(
        self, row: Any, number: int = 1, *, lookup: Lookup | None = None
    ) -> tuple[dict[str, Any] | None, list[RowProblem]]:
        """Map one row: its canonical values, or None and its problems."""
        batch = self.map_rows([row], number, lookup=lookup)
        return (batch.values[0] if batch.values else None), batch.problems

    def _resolve(self, rows: Sequence[Any], lookup: Lookup | None) -> list[Callable[[Any], Any]]:
        """Ask for all values of the batch at once, stage by stage: a lookup may feed another."""
        if lookup is None:
            raise ValueError("This mapping looks up records of other datasets: pass `lookup`.")
        by_number = {bound.lookup: bound for bound in self._steps if bound.lookup >= 0}
        applied = [by_number[number].with_table({}) for number in range(len(self._lookups))]
        for stage in range(1 + max(plan.stage for plan in self._lookups)):
            plans = [plan for plan in self._lookups if plan.stage == stage]
            wanted: dict[tuple[str, str], set[str]] = {}
            needed: dict[tuple[str, str], set[str]] = {}
            for plan in plans:
                values = plan.wanted(rows, applied)
                wanted.setdefault((plan.dataset, plan.field), set()).update(values)
                if plan.creates:
                    needed.setdefault((plan.dataset, plan.field), set()).update(values)
            found = {
                place: dict(lookup(*place, values)) if values else {} for place, values in wanted.items()
            }
            for place, values in needed.items():
                if (missing := values - found[place].keys()) and (create := getattr(lookup, "create", None)):
                    found[place].update(create(*place, missing))
            for plan in plans:
                applied[plan.number] = by_number[plan.number].with_table(found[plan.dataset, plan.field])
        return applied


class _Compilation:
    """One call of `compile_mapping`."""

    def __init__(
        self,
        fields: Sequence[Field],
        spec: MappingSpec | None,
        columns: tuple[str, ...] | None,
        timezone: str | dt.tzinfo,
        partial: bool,
    ) -> None:
        self.fields = {field.name: field for field in fields}
        self.spec = spec
        self.columns = columns
        self.partial = partial
        self.read: list[Source] = []
        self.lookups: list[LookupPlan] = []
        self.steps: list[BoundStep] = []
        try:
            self.timezone = zone_of(timezone) if isinstance(timezone, str) else timezone
        except ValueError as problem:
            errors = [FieldError("/timezone", "unknown_timezone", str(problem))]
            raise InvalidInput(str(problem), errors=errors) from None
        self.defaults = self._defaults()

    def mapper(self) -> CompiledMapper:
        mappings = self._mappings()
        plans = tuple(self._field(item) for item in sorted(mappings, key=lambda item: item.target))
        mapped = {item.target for item in mappings}
        missing = tuple(
            name
            for name, field in self.fields.items()
            if field.required and name not in mapped and name not in self.defaults and not self.partial
        )
        plan = RowPlan(
            fields=plans,
            width=None if self.columns is None else len(self.columns),
            malformed=_not_an_object if self.columns is None else _wrong_cells(self.columns),
            always_missing=missing,
            **self._unknown(),
        )
        return CompiledMapper(
            fields=tuple(self.fields.values()),
            spec=self.spec,
            columns=self.columns,
            plan=plan,
            lookups=self.lookups,
            steps=self.steps,
            defaults=self.defaults,
            rules=[CompiledRule(rule, tuple(self.fields.values())) for rule in self.spec.rules]
            if self.spec is not None
            else (),
        )

    def _defaults(self) -> dict[str, Any]:
        """Canonical defaults by field. Raises InvalidInput for one that its own field refuses."""
        defaults: dict[str, Any] = {}
        for name, field in self.fields.items():
            if is_blank(field.default):
                continue
            try:
                defaults[name] = clean(field.default, field, timezone=self.timezone)
            except ValueProblem as problem:
                detail = f"The default of “{field.title}” does not fit: {problem.message}"
                raise InvalidInput(detail, errors=[FieldError(f"/{name}", problem.code, detail)]) from None
        return defaults

    def _mappings(self) -> Sequence[FieldMapping]:
        """The mapping of each target. Raises InvalidInput."""
        if self.spec is not None:
            errors = check(self.spec, tuple(self.fields.values()), self.columns)
        elif self.columns is not None:
            errors = self._column_errors()
        else:
            errors = []
        if errors:
            raise InvalidInput(errors[0].detail, errors=errors)
        if self.spec is not None:
            return self.spec.fields
        names = self.fields if self.columns is None else self.columns
        return [FieldMapping(name, f"{COLUMN_PREFIX}{name}") for name in names]

    def _column_errors(self) -> list[FieldError]:
        errors: list[FieldError] = []
        seen: set[str] = set()
        for number, column in enumerate(self.columns or ()):
            if column not in self.fields:
                detail = f"The dataset has no field “{shown(column)}”."
                errors.append(FieldError(f"/columns/{number}", "unknown_field", detail))
            elif column in seen:
                detail = f"There are two columns named “{column}”."
                errors.append(FieldError(f"/columns/{number}", "ambiguous_column", detail))
            seen.add(column)
        return errors

    def _unknown(self) -> dict[str, Any]:
        """What to do about source columns that no field uses. Raises InvalidInput for those of a header."""
        if self.spec is None:
            return {} if self.columns is not None else {"unknown": _unknown_field(frozenset(self.fields))}
        if self.spec.unmapped != "error" or any(not source.roots for source in self.read):
            return {}
        used = frozenset().union(*(source.roots for source in self.read))
        if self.columns is None:
            return {"unknown": _unmapped_key(used), "used": used}
        errors = [
            FieldError(
                f"/columns/{number}", "unmapped_column", f"No field uses the column “{shown(column)}”."
            )
            for number, column in enumerate(self.columns)
            if column not in used
        ]
        if errors:
            raise InvalidInput(errors[0].detail, errors=errors)
        return {}

    def _field(self, item: FieldMapping) -> FieldPlan:
        field = self.fields[item.target]
        source = compile_source(item.source, self.columns) if item.source else None
        if source is not None:
            self.read.append(source)
        steps = bind_pipe(item.transforms, self.columns, len(self.lookups), self.read)
        extract = source.extract if source is not None else _nothing
        self.lookups += plan_lookups(steps, extract)
        self.steps += steps
        default = None if item.default is None else clean(item.default, field, timezone=self.timezone)
        constant = None if item.constant is None else clean(item.constant, field, timezone=self.timezone)
        fallback = default if default is not None else self.defaults.get(field.name)
        label = source.label if source is not None else ""
        noted = field.required and fallback is None
        reads_row = any(bound.takes_null and (not self.partial or source is None) for bound in steps)
        return FieldPlan(
            field=field,
            source=source,
            steps=steps,
            slow=_slow(field, label, fallback, field.required or item.required, self.timezone),
            broken=_broken(field, label, steps, extract),
            checked=_checked(field, label, [compile_rule(rule, field) for rule in item.validation]),
            constant=constant,
            absent_value=None if self.partial else default,
            absent_refused=_refused(field, label) if item.required and not self.partial else None,
            absent_noted=noted and not self.partial,
            revives=source is None or reads_row,
        )


def _nothing(row: Any) -> Any:
    return None


def _slow(field: Field, label: str, default: Any, required: bool, timezone: dt.tzinfo) -> Slow:
    """What reads a value that the fast path left over: a blank, an unusual or a wrong one."""
    parse = FIELD_TYPES[field.type].parse
    name, sensitive = field.name, field.sensitive
    copied = isinstance(default, dict | list)

    def slow(value: Any, raw: Any, number: int, problems: list[RowProblem]) -> Any:
        if value is None or (value.__class__ is str and (not value or value.isspace())):
            if default is not None:
                return deepcopy(default) if copied else default
            if required:
                message = f"{field.title} is required."
                problems.append(RowProblem(number, name, label, _raw(raw, sensitive), "required", message))
            return None
        try:
            return parse(value, field, timezone=timezone)
        except ValueProblem as problem:
            problems.append(
                RowProblem(number, name, label, _raw(raw, sensitive), problem.code, problem.message)
            )
            return None

    return slow


def _raw(raw: Any, sensitive: bool) -> str:
    return "" if not raw and not isinstance(raw, bool | int | float) else shown(raw, sensitive=sensitive)


def _broken(
    field: Field, label: str, steps: Sequence[BoundStep], extract: Callable[[Any], Any]
) -> Callable[[Any, Any, int, list[RowProblem], Sequence[Any]], None]:
    """What reports a source or transform that failed."""

    def broken(raw: Any, row: Any, number: int, problems: list[RowProblem], lookups: Sequence[Any]) -> None:
        code, message = explain(steps, extract, row, lookups, field)
        problems.append(RowProblem(number, field.name, label, _raw(raw, field.sensitive), code, message))

    return broken


def _checked(
    field: Field, label: str, checks: Sequence[Check]
) -> Callable[[Any, Any, int, list[RowProblem]], None] | None:
    """What applies a mapping's own rules."""
    if not checks:
        return None

    def checked(value: Any, raw: Any, number: int, problems: list[RowProblem]) -> None:
        for rule in checks:
            try:
                rule(value)
            except ValueProblem as problem:
                problems.append(
                    RowProblem(
                        number, field.name, label, _raw(raw, field.sensitive), problem.code, problem.message
                    )
                )

    return checked


def _refused(field: Field, label: str) -> Callable[[int, list[RowProblem]], None]:
    def refused(number: int, problems: list[RowProblem]) -> None:
        message = f"{field.title} is required, and the row does not have it."
        problems.append(RowProblem(number, field.name, label, "", "required", message))

    return refused


def _not_an_object(row: Any, number: int, problems: list[RowProblem]) -> bool:
    if isinstance(row, Mapping):
        return False
    message = "The row is not an object with named values."
    problems.append(RowProblem(number, "", "", "", "not_an_object", message))
    return True


def _wrong_cells(columns: Sequence[str]) -> Callable[[Any, int, list[RowProblem]], bool]:
    width = len(columns)

    def wrong(row: Any, number: int, problems: list[RowProblem]) -> bool:
        if not isinstance(row, Sequence) or isinstance(row, str | bytes):
            message = "The row is not a list of cells."
            problems.append(RowProblem(number, "", "", "", "not_a_row", message))
            return True
        if len(row) == width:
            return False
        short = len(row) < width
        column = columns[len(row)] if short else ""
        counted = f"The row has {len(row)} cell{'' if len(row) == 1 else 's'}, the header has {width}"
        message = f"{counted}; from “{shown(column)}” on they are missing." if short else f"{counted}."
        code = "missing_cell" if short else "extra_cell"
        problems.append(RowProblem(number, "", column, "", code, message))
        return True

    return wrong


def _unknown_field(known: frozenset[str]) -> Callable[[Mapping[Any, Any], int, list[RowProblem]], None]:
    def unknown(row: Mapping[Any, Any], number: int, problems: list[RowProblem]) -> None:
        for key in row:
            if key not in known:
                name = shown(key)
                message = f"The dataset has no field “{name}”."
                problems.append(RowProblem(number, "", name, "", "unknown_field", message))

    return unknown


def _unmapped_key(used: frozenset[str]) -> Callable[[Mapping[Any, Any], int, list[RowProblem]], None]:
    def unmapped(row: Mapping[Any, Any], number: int, problems: list[RowProblem]) -> None:
        for key in row:
            if key not in used:
                name = shown(key)
                message = f"No field of the mapping uses “{name}”."
                problems.append(RowProblem(number, "", name, "", "unmapped_column", message))

    return unmapped
