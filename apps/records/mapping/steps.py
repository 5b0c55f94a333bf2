"""The steps of one pipe made ready to run, and what is said when one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from apps.records.fields import Field, ValueProblem
from apps.records.mapping.pipes import Pipe, Step
from apps.records.mapping.sources import MISSING, Source, compile_source
from apps.records.mapping.transforms import Role, lookup_key


def build_step(
    step: Step,
    columns: Sequence[str] | None,
    *,
    table: dict[str, Any] | None = None,
    read: list[Source] | None = None,
) -> Any:
    """What a step applies, with `table` for a lookup; sources that it reads are added to `read`.

    Raises SourceRefused or ValueError.
    """
    transform = step.transform
    arguments = transform.arguments(step.parameters)
    if transform.role is Role.ROW:

        def reader(text: str) -> Callable[[Any], Any]:
            source = compile_source(text, columns)
            if read is not None:
                read.append(source)

            def present(row: Any) -> Any:
                value = source.extract(row)
                return None if value is MISSING else value

            return present

        arguments["read"] = reader
    elif transform.role is Role.LOOKUP:
        arguments["table"] = {} if table is None else table
    return transform.build(**arguments)


@dataclass(frozen=True, slots=True)
class BoundStep:
    """One step of one field's pipe. `apply` takes the value, or value and row; a lookup is number `lookup` of
    its mapping and is built anew for each batch, by `with_table`."""

    step: Step
    role: Role
    takes_null: bool
    apply: Callable[..., Any]
    lookup: int = -1

    def with_table(self, table: dict[str, Any]) -> Callable[[Any], Any]:
        applied: Callable[[Any], Any] = build_step(self.step, None, table=table)
        return applied

    def run(self, value: Any, row: Any, lookups: Sequence[Callable[[Any], Any]]) -> Any:
        """One step, the slow way: for gathering lookups and explaining failures."""
        if value is None and not self.takes_null:
            return None
        if self.role is Role.LOOKUP:
            return lookups[self.lookup](value)
        return self.apply(value, row) if self.role is Role.ROW else self.apply(value)


def bind_pipe(
    pipe: Pipe, columns: Sequence[str] | None, first_lookup: int, read: list[Source]
) -> tuple[BoundStep, ...]:
    """The steps of a pipe, lookups numbered from `first_lookup`; sources they read are added to `read`."""
    bound: list[BoundStep] = []
    for step in pipe:
        transform = step.transform
        number = -1
        if transform.role is Role.LOOKUP:
            number, first_lookup = first_lookup, first_lookup + 1
        applied = build_step(step, columns, read=read)
        bound.append(BoundStep(step, transform.role, transform.takes_null, applied, number))
    return tuple(bound)


def explain(
    steps: Sequence[BoundStep],
    extract: Callable[[Any], Any],
    row: Any,
    lookups: Sequence[Callable[[Any], Any]],
    field: Field,
) -> tuple[str, str]:
    """Code and message of the failure that running this row again meets, naming the transform."""
    try:
        value = extract(row)
    except ValueProblem as problem:
        return problem.code, problem.message
    except Exception as problem:
        return "source_failed", f"The source could not be read: {type(problem).__name__}."
    value = None if value is MISSING else value
    for bound in steps:
        try:
            value = bound.run(value, row, lookups)
        except ValueProblem as problem:
            if field.sensitive:
                return problem.code, f"The value cannot be used by the transform {bound.step.name}."
            return problem.code, f"{problem.message.removesuffix('.')} (transform {bound.step.name})."
        except Exception as problem:
            return "transform_failed", (
                f"The transform {bound.step.name} could not use the value ({type(problem).__name__})."
            )
    return "transform_failed", "The transforms could not use the value."


@dataclass(frozen=True, slots=True)
class LookupPlan:
    """One lookup of a mapping: what to ask for, and how to learn the values to ask for."""

    number: int
    stage: int
    dataset: str
    field: str
    extract: Callable[[Any], Any]
    before: tuple[BoundStep, ...]
    creates: bool = False

    def wanted(self, rows: Sequence[Any], lookups: Sequence[Callable[[Any], Any]]) -> set[str]:
        """The values of all rows. Rows that fail on the way are left to the run itself."""
        found: set[str] = set()
        for row in rows:
            try:
                value = self.extract(row)
                value = None if value is MISSING else value
                for bound in self.before:
                    value = bound.run(value, row, lookups)
                key = lookup_key(value)
            except Exception:  # noqa: S112 - reported, with its reason, when the row is mapped
                continue
            if key is not None:
                found.add(key)
        return found


def plan_lookups(steps: Sequence[BoundStep], extract: Callable[[Any], Any]) -> list[LookupPlan]:
    """The lookups of one pipe; each waits for those before it."""
    plans: list[LookupPlan] = []
    for position, bound in enumerate(steps):
        if bound.role is Role.LOOKUP:
            parameters = bound.step.parameters
            plans.append(
                LookupPlan(
                    bound.lookup,
                    len(plans),
                    parameters["dataset"],
                    parameters["field"],
                    extract,
                    tuple(steps[:position]),
                    parameters.get("missing") == "create",
                )
            )
    return plans
