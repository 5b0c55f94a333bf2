"""The specification of a mapping: which source goes to which field, through which transforms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.kernel.errors import FieldError, InvalidInput
from apps.records.fields import Field
from apps.records.fields.definition import escape
from apps.records.mapping.expressions import MAX_RULES, CompiledRule, ExpressionRefused, RowRule
from apps.records.mapping.pipes import Pipe, PipeRefused, Step, pipe_to_list, read_pipe
from apps.records.mapping.rules import Rule, compile_rule, constant_value
from apps.records.mapping.sources import SourceRefused, compile_source
from apps.records.mapping.steps import build_step
from apps.records.mapping.transforms import Role

UNMAPPED = ("ignore", "error")


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """How one target field gets its value.

    `source` is a column or JMESPath expression (see `sources`); without it the value comes from `constant`
    or from transforms that read the row. `default` stands in where the source is absent or blank. `required`
    refuses rows where nothing is left, also when they only update. `validation` holds further rules.
    """

    target: str
    source: str = ""
    transforms: Pipe = ()
    default: Any = None
    required: bool = False
    validation: tuple[Rule, ...] = ()
    constant: Any = None

    def __post_init__(self) -> None:
        if any(not isinstance(step, Step) for step in self.transforms) or isinstance(self.transforms, str):
            object.__setattr__(self, "transforms", read_pipe(self.transforms))


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """A whole mapping. `unmapped` says what becomes of source columns that no field uses; `rules` are about
    whole rows."""

    fields: tuple[FieldMapping, ...] = ()
    unmapped: str = "ignore"
    rules: tuple[RowRule, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON data, without what is left at its default."""
        data: dict[str, Any] = {
            "fields": [_field_to_dict(item) for item in self.fields],
            "unmapped": self.unmapped,
        }
        if self.rules:
            data["rules"] = [rule.to_dict() for rule in self.rules]
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> MappingSpec:
        """What `to_dict` wrote or a person typed; pipes may be texts. Raises InvalidInput."""
        return _Reading().spec(data)


def _field_to_dict(item: FieldMapping) -> dict[str, Any]:
    data: dict[str, Any] = {"target": item.target}
    if item.source:
        data["source"] = item.source
    if item.transforms:
        data["transforms"] = pipe_to_list(item.transforms)
    for name in ("default", "constant"):
        if getattr(item, name) is not None:
            data[name] = getattr(item, name)
    if item.required:
        data["required"] = True
    if item.validation:
        data["validation"] = [{"rule": rule.name, "value": rule.value} for rule in item.validation]
    return data


_KEYS = {"target", "source", "transforms", "default", "required", "validation", "constant"}


@dataclass(slots=True)
class _Reading:
    """Reads a specification and gathers what is wrong with its shape."""

    errors: list[FieldError] = field(default_factory=list)

    def wrong(self, pointer: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(pointer, code, detail))

    def spec(self, data: Any) -> MappingSpec:
        items: Any = data.get("fields", []) if isinstance(data, Mapping) else None
        if not isinstance(items, list | tuple):
            self.wrong("/fields", "invalid_mapping", "A mapping is an object with a list of fields.")
            items = []
        fields = tuple(self.one(item, f"/fields/{number}") for number, item in enumerate(items))
        unmapped = data.get("unmapped", "ignore") if isinstance(data, Mapping) else "ignore"
        if unmapped not in UNMAPPED:
            self.wrong("/unmapped", "invalid_option", "“unmapped” must be ignore or error.")
        if isinstance(data, Mapping):
            for key in data.keys() - {"fields", "unmapped", "rules"}:
                self.wrong(f"/{escape(str(key))}", "unknown_option", f"“{key}” is no option of a mapping.")
        rules = self.row_rules(data.get("rules") if isinstance(data, Mapping) else None)
        if self.errors:
            raise InvalidInput(self.errors[0].detail, errors=self.errors)
        return MappingSpec(fields, unmapped, rules)

    def row_rules(self, given: Any) -> tuple[RowRule, ...]:
        """Rules about whole rows: objects with `check`, `message`, `severity` and `field`, or texts."""
        if given is None:
            return ()
        if not isinstance(given, list | tuple) or len(given) > MAX_RULES:
            self.wrong("/rules", "invalid_rules", f"Rules are a list of at most {MAX_RULES} objects.")
            return ()
        rules = []
        for number, item in enumerate(given):
            entry = {"check": item} if isinstance(item, str) else item
            if (
                not isinstance(entry, Mapping)
                or not isinstance(entry.get("check"), str)
                or entry.keys() - {"check", "message", "severity", "field"}
                or not all(isinstance(value, str) for value in entry.values())
            ):
                detail = "A rule is an object with the texts check, message, severity and field."
                self.wrong(f"/rules/{number}", "invalid_rule", detail)
                continue
            rules.append(
                RowRule(
                    entry["check"].strip(),
                    entry.get("message", "").strip()[:300],
                    entry.get("severity") or "error",
                    entry.get("field", ""),
                )
            )
        return tuple(rules)

    def one(self, item: Any, pointer: str) -> FieldMapping:
        if not isinstance(item, Mapping):
            self.wrong(pointer, "not_an_object", "Each field of a mapping is an object with a target.")
            return FieldMapping("")
        for key in item.keys() - _KEYS:
            self.wrong(f"{pointer}/{escape(str(key))}", "unknown_option", f"“{key}” is no option here.")
        target, source, required = (
            item.get("target", ""),
            item.get("source") or "",
            item.get("required", False),
        )
        if not isinstance(target, str) or not target:
            self.wrong(f"{pointer}/target", "required", "A field of a mapping needs a target.")
            target = ""
        if not isinstance(source, str):
            self.wrong(f"{pointer}/source", "invalid_source", "A source is a text.")
            source = ""
        if not isinstance(required, bool):
            self.wrong(f"{pointer}/required", "invalid_option", "“required” must be true or false.")
        return FieldMapping(
            target,
            source,
            self.pipe(item.get("transforms"), pointer),
            item.get("default"),
            bool(required),
            tuple(self.rules(item.get("validation"), f"{pointer}/validation")),
            item.get("constant"),
        )

    def pipe(self, given: Any, pointer: str) -> Pipe:
        if given is not None and not isinstance(given, str | list | tuple):
            self.wrong(f"{pointer}/transforms", "invalid_pipe", "Transforms are a list or a text.")
            return ()
        try:
            return read_pipe(given)
        except PipeRefused as problem:
            self.wrong(f"{pointer}/transforms/{problem.step}", problem.code, str(problem))
            return ()

    def rules(self, given: Any, pointer: str) -> list[Rule]:
        if given is None:
            return []
        if isinstance(given, Mapping):
            return [Rule(str(name), value) for name, value in given.items()]
        rules: list[Rule] = []
        for number, item in enumerate(given if isinstance(given, list | tuple) else [None]):
            if not isinstance(item, Mapping) or not isinstance(item.get("rule"), str) or "value" not in item:
                self.wrong(f"{pointer}/{number}", "invalid_rule", "A rule is an object with rule and value.")
                continue
            rules.append(Rule(item["rule"], item["value"]))
        return rules


def check(
    spec: MappingSpec, dataset_fields: Sequence[Field], columns: Sequence[str] | None = None
) -> list[FieldError]:
    """Everything that keeps the mapping from working with these fields and, if given, these columns."""
    errors: list[FieldError] = []
    known = {item.name: item for item in dataset_fields}
    seen: set[str] = set()
    if not spec.fields:
        errors.append(FieldError("/fields", "required", "The mapping has no fields yet."))
    for number, item in enumerate(spec.fields):
        pointer = f"/fields/{number}"
        target = known.get(item.target)
        if target is None:
            detail = f"The dataset has no field “{item.target[:80]}”."
            errors.append(FieldError(f"{pointer}/target", "unknown_field", detail))
        if item.target in seen:
            detail = f"The field “{item.target[:80]}” is mapped twice."
            errors.append(FieldError(f"{pointer}/target", "duplicate_target", detail))
        seen.add(item.target)
        errors += _check_sources(item, pointer, columns)
        if target is not None:
            errors += _check_values(item, pointer, target)
    if spec.unmapped not in UNMAPPED:
        errors.append(FieldError("/unmapped", "invalid_option", "“unmapped” must be ignore or error."))
    return errors + check_row_rules(spec.rules, dataset_fields)


def check_row_rules(rules: Sequence[RowRule], dataset_fields: Sequence[Field]) -> list[FieldError]:
    """What keeps rules about whole rows from working with these fields."""
    errors: list[FieldError] = []
    for number, rule in enumerate(rules):
        try:
            CompiledRule(rule, dataset_fields)
        except ExpressionRefused as problem:
            errors.append(FieldError(f"/rules/{number}", "invalid_rule", f"Rule {number + 1}: {problem}"))
    return errors


def _check_sources(item: FieldMapping, pointer: str, columns: Sequence[str] | None) -> list[FieldError]:
    errors: list[FieldError] = []
    if item.source and item.constant is not None:
        detail = "A field gets its value from a source or from a constant, not from both."
        errors.append(FieldError(f"{pointer}/constant", "ambiguous_value", detail))
    if not item.source and item.constant is None:
        reads_row = any(step.transform.role is Role.ROW for step in item.transforms)
        if not reads_row and item.default is None:
            detail = "The field needs a source, a constant, a default, or a transform that reads the row."
            errors.append(FieldError(f"{pointer}/source", "required", detail))
    if item.source:
        try:
            compile_source(item.source, columns)
        except SourceRefused as problem:
            errors.append(FieldError(f"{pointer}/source", problem.code, str(problem)))
    for position, step in enumerate(item.transforms):
        try:
            build_step(step, columns)
        except SourceRefused as problem:
            errors.append(FieldError(f"{pointer}/transforms/{position}", problem.code, str(problem)))
        except ValueError as problem:
            errors.append(FieldError(f"{pointer}/transforms/{position}", "invalid_parameter", str(problem)))
    return errors


def _check_values(item: FieldMapping, pointer: str, target: Field) -> list[FieldError]:
    errors: list[FieldError] = []
    for name in ("default", "constant"):
        value = getattr(item, name)
        if value is None:
            continue
        try:
            constant_value(value, target)
        except ValueError as problem:
            errors.append(FieldError(f"{pointer}/{name}", "invalid_value", f"The {name}: {problem}"))
    for position, rule in enumerate(item.validation):
        try:
            compile_rule(rule, target)
        except ValueError as problem:
            errors.append(FieldError(f"{pointer}/validation/{position}", "invalid_rule", str(problem)))
    return errors
