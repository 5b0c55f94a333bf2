"""The import's third step: what each column of the file becomes, and what no column fills."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.jobs.models import Job
from apps.jobs.services import imports, new_fields
from apps.jobs.services.new_fields import NewField
from apps.jobs.services.samples import WITH_WAYS
from apps.jobs.services.ways import words_of
from apps.kernel.errors import FieldError
from apps.records.fields import Field
from apps.records.mapping import MappingSpec, pipe_to_text
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.mapping.spec import FieldMapping
from apps.records.mapping.suggest import fit, pipe_of

SHOWN_COLUMNS = 100
"""Columns that the page lists at most, those that are matched always among them."""
NEW = "+"
"""The target of a column that becomes a field of its own."""
SHOWN_OPTIONS = 1_200
"""Columns times fields up to which each column has a drop-down of its own; above, one shared list."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a column's dates or numbers can be read."""

    transforms: str
    words: str


@dataclass(slots=True)
class ColumnRow:
    """One column of the file and what becomes of it."""

    index: int
    name: str
    samples: list[str]
    repeated: bool = False
    target: str = ""
    transforms: str = ""
    default: str = ""
    required: bool = False
    rules: str = ""
    confidence: float = 0.0
    how: str = "none"
    fitting: float = 1.0
    ambiguous: tuple[str, ...] = ()
    ways: tuple[Way, ...] = ()
    empty: int = 0
    error: str = ""
    new: NewField | None = None

    @property
    def is_undecided(self) -> bool:
        """Whether its values can be read in several ways, and nobody has said in which."""
        return bool(self.ways) and self.how not in ("remembered", "saved", "decided")

    @property
    def percent(self) -> int:
        return round(self.confidence * 100)

    @property
    def fitting_percent(self) -> int:
        return round(self.fitting * 100)


@dataclass(slots=True)
class FixedRow:
    """A field that no column fills: a fixed value, or an expression that a saved mapping brought along."""

    field: Field
    value: str = ""
    kept: str = ""
    error: str = ""


@dataclass(slots=True)
class Matching:
    """The whole of step 3: every column, and every field that no column fills."""

    columns: list[ColumnRow]
    fixed: list[FixedRow]
    left_out: int = 0
    how: str = "suggested"
    all_columns: list[ColumnRow] = field(default_factory=list)
    entries: list[tuple[ColumnRow | FixedRow, dict[str, Any]]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def proposed(cls, job: Job) -> Matching:
        """As proposed, remembered or decided before."""
        proposal = imports.propose(job=job)
        by_target = {item.target: item for item in proposal.spec.fields}
        known = {column["name"] for column in job.preview["columns"]}
        rows = _rows(job)
        for row, suggestion in zip(rows, proposal.columns, strict=True):
            decided = by_target.get(suggestion.target)
            row.target, row.confidence, row.how = suggestion.target, suggestion.confidence, suggestion.how
            row.fitting, row.ambiguous = suggestion.fitting, suggestion.ambiguous
            if decided is not None:
                row.transforms = pipe_to_text(decided.transforms)
                row.default = _text(decided.default)
                row.required = decided.required
                row.rules = _rules(decided)
            row.ways = _ways(job, row)
        filled = {row.target for row in rows if row.target}
        fixed = [_fixed(f, by_target.get(f.name), known) for f in job.dataset.fields if f.name not in filled]
        shown, left_out = _shown(rows)
        return cls(shown, fixed, left_out, proposal.how)

    @classmethod
    def posted(cls, job: Job, data: Mapping[str, str]) -> Matching:
        """As the person sent it."""
        rows = _rows(job)
        fields = job.dataset.fields_by_name
        for row in rows:
            row.target = data.get(f"c{row.index}-target", "").strip()
            row.transforms = data.get(f"c{row.index}-transforms", "").strip()
            row.default = data.get(f"c{row.index}-default", "")
            row.required = bool(data.get(f"c{row.index}-required"))
            row.rules = data.get(f"c{row.index}-rules", "")
            row.how = "decided" if data.get(f"c{row.index}-sure") else "configured"
            row.confidence = 1.0 if row.target else 0.0
            if row.target == NEW:
                label = " ".join(data.get(f"c{row.index}-label", "").split())[:120]
                row.new = NewField(label or row.name[:120], data.get(f"c{row.index}-type", "text"))
                row.transforms = row.transforms or _needed(job, row)
            row.ways = _ways(job, row)
        filled = {row.target for row in rows if row.target}
        fixed = []
        for spec in fields.values():
            if spec.name not in filled:
                value, kept = data.get(f"f-{spec.name}-value", ""), data.get(f"f-{spec.name}-kept", "")
                fixed.append(FixedRow(spec, value, kept))
        shown, left_out = _shown(rows)
        return cls(shown, fixed, left_out, "configured", rows)

    def offer_fields(self, job: Job) -> None:
        """Propose for each column the field that it could be added as."""
        samples = job.preview.get("samples", [])
        for row in self.columns:
            values = samples[row.index] if row.index < len(samples) else []
            row.new = row.new or NewField(row.name[:120], new_fields.type_of(values))

    def wanted(self) -> list[ColumnRow]:
        """The columns that become fields of their own."""
        return [row for row in self.all_columns if row.target == NEW and row.new is not None]

    def spec(self) -> dict[str, Any]:
        """As `imports.configure` takes it."""
        self.entries = [*_column_entries(self.all_columns), *_fixed_entries(self.fixed)]
        return {"fields": [entry for _, entry in self.entries]}

    def undecided(self) -> bool:
        """Mark the columns about which somebody has to say how they are read; whether there are any."""
        rows = [row for row in self.columns if row.is_undecided]
        for row in rows:
            row.error = f"Say how the values are written: {' or '.join(way.words for way in row.ways)}?"
        return bool(rows)

    def place(self, errors: Sequence[FieldError]) -> dict[str, str]:
        """Put the service's errors at their rows; returns those of the settings, by name."""
        rest: dict[str, str] = {}
        for error in errors:
            parts = [part for part in error.pointer.split("/") if part]
            if parts[:1] == ["fields"] and len(parts) > 1 and parts[1].isdigit():
                wanted = self.wanted()
                if int(parts[1]) < len(wanted):
                    wanted[int(parts[1])].error = error.detail
                    continue
            if parts[:2] == ["mapping", "fields"] and len(parts) > 2 and parts[2].isdigit():
                number = int(parts[2])
                if number < len(self.entries):
                    row = self.entries[number][0]
                    row.error = f"{row.error} {error.detail}".strip()
                    continue
            if parts and parts[0] != "mapping":
                rest[parts[0]] = error.detail
            else:
                self.errors.append(error.detail)
        return rest


def _rows(job: Job) -> list[ColumnRow]:
    samples = job.preview.get("samples", [])
    rows = []
    for index, column in enumerate(job.preview["columns"]):
        values = list(dict.fromkeys(v for v in (samples[index] if index < len(samples) else []) if v))[:3]
        cells = samples[index] if index < len(samples) else []
        empty = round(100 * sum(not cell for cell in cells) / len(cells)) if cells else 100
        rows.append(ColumnRow(index, column["name"], values, repeated=column["repeated"], empty=empty))
    return rows


def _ways(job: Job, row: ColumnRow) -> tuple[Way, ...]:
    """The ways in which the column's values can be read as its field, where they mean different things."""
    field = _field(job, row)
    samples = job.preview.get("samples", [])
    if field is None or field.type not in WITH_WAYS or row.index >= len(samples):
        return ()
    found = fit(row.name, field, samples[row.index])
    ways = tuple(Way(pipe_to_text(pipe_of(field, way)), words_of(way)) for way in found.ambiguous)
    known = {way.transforms for way in ways} | {""}
    return ways if row.transforms in known else ()


def _field(job: Job, row: ColumnRow) -> Field | None:
    """What the column goes to, or would become."""
    if row.target == NEW and row.new is not None:
        return new_fields.as_field(row.new)
    return job.dataset.fields_by_name.get(row.target)


def _needed(job: Job, row: ColumnRow) -> str:
    """The transforms that the column's values need to become the new field."""
    found = _field(job, row)
    samples = job.preview.get("samples", [])
    if found is None or found.type not in WITH_WAYS or row.index >= len(samples):
        return ""
    suggestion = fit(row.name, found, samples[row.index])
    return "" if suggestion.ambiguous else pipe_to_text(suggestion.transforms)


def _shown(rows: list[ColumnRow]) -> tuple[list[ColumnRow], int]:
    """The first columns, and every matched one; then how many are left out."""
    if len(rows) <= SHOWN_COLUMNS:
        return rows, 0
    matched = sum(bool(row.target) for row in rows)
    free = max(0, SHOWN_COLUMNS - matched)
    shown = []
    for row in rows:
        if row.target:
            shown.append(row)
        elif free:
            shown.append(row)
            free -= 1
    return shown, len(rows) - len(shown)


def _fixed(spec: Field, decided: FieldMapping | None, columns: set[str]) -> FixedRow:
    if decided is None:
        return FixedRow(spec)
    if decided.constant is not None:
        return FixedRow(spec, value=_text(decided.constant))
    if decided.source.removeprefix(COLUMN_PREFIX) in columns:
        return FixedRow(spec)
    data = MappingSpec((decided,)).to_dict()["fields"][0]
    return FixedRow(spec, kept=json.dumps(data, ensure_ascii=False))


def _column_entries(rows: Sequence[ColumnRow]) -> list[tuple[ColumnRow | FixedRow, dict[str, Any]]]:
    entries: list[tuple[ColumnRow | FixedRow, dict[str, Any]]] = []
    for row in rows:
        if not row.target:
            continue
        entry: dict[str, Any] = {"target": row.target, "source": COLUMN_PREFIX + row.name}
        if row.transforms:
            entry["transforms"] = row.transforms
        if row.default:
            entry["default"] = row.default
        if row.required:
            entry["required"] = True
        if rules := _json(row.rules):
            entry["validation"] = rules
        entries.append((row, entry))
    return entries


def _fixed_entries(rows: Sequence[FixedRow]) -> list[tuple[ColumnRow | FixedRow, dict[str, Any]]]:
    entries: list[tuple[ColumnRow | FixedRow, dict[str, Any]]] = []
    for row in rows:
        kept = _json(row.kept)
        if row.value:
            entries.append((row, {"target": row.field.name, "constant": row.value}))
        elif isinstance(kept, dict):
            entries.append((row, {**kept, "target": row.field.name}))
    return entries


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rules(item: FieldMapping) -> str:
    if not item.validation:
        return ""
    return json.dumps(
        [{"rule": rule.name, "value": rule.value} for rule in item.validation], ensure_ascii=False
    )
