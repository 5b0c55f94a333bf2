"""How one job's rows are mapped: the job's own settings put into the terms of `upsert`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from apps.jobs.errors import NotReady
from apps.jobs.formats import Cell, Row
from apps.jobs.models import Job
from apps.jobs.services.repeats import Places, Watch
from apps.jobs.statuses import ImportMode
from apps.records.mapping import FieldMapping, MappingSpec, RowRule
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.tenants.principals import Actor

ROW_ID = "hub:row-id"
"""The column that gives each row an identifier of its own, where those of the file are not kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `upsert` is told. `extra` makes the cell of the last of `columns`, if there is one more."""

    spec: MappingSpec
    columns: list[str]
    extra: Callable[[Row], Cell] | None

    @property
    def sources(self) -> dict[str, str]:
        """The dataset's field → the source that it comes from."""
        return {f.target: f.source.removeprefix(COLUMN_PREFIX) for f in self.spec.fields if f.source}


def plan(job: Job, columns: Sequence[str]) -> Plan:
    """The plan for a file with these columns. Raises NotReady while they are not matched."""
    if job.configured_at is None or not job.field_mapping:
        raise NotReady(f"The columns of {job.number} are not matched yet.")
    spec = MappingSpec.from_dict(job.field_mapping)
    required = set(job.validation_rules.get("required_fields", ()))
    fields = [replace(f, required=True) if f.target in required else f for f in spec.fields]
    spec = replace(spec, rules=spec.rules + custom_rules(job))
    if job.preserve_ids or not job.dataset.key_field:
        return Plan(replace(spec, fields=tuple(fields)), list(columns), None)
    key = job.dataset.key_field
    fields = [f for f in fields if f.target != key] + [FieldMapping(key, ROW_ID)]
    prefix = job.run_ref
    return Plan(replace(spec, fields=tuple(fields)), [*columns, ROW_ID], lambda row: f"{prefix}-{row.number}")


def custom_rules(job: Job) -> tuple[RowRule, ...]:
    """The job's own rules about whole rows, which come after those of its mapping."""
    return MappingSpec.from_dict({"rules": job.validation_rules.get("custom_rules", [])}).rules


def watch(job: Job, planned: Plan, places: Places) -> Watch | None:
    """What looks for rows that repeat earlier ones; None where none can."""
    mapped = {item.target for item in planned.spec.fields}
    names = [job.dataset.key_field] if job.dataset.key_field and planned.extra is None else []
    names += job.validation_rules.get("unique_fields", [])
    names = [name for name in dict.fromkeys(names) if name in mapped]
    if not names:
        return None
    return Watch(job.dataset, names, job.repeats, places, creating=job.mode == ImportMode.CREATE)


def actor_of(job: Job) -> Actor:
    """The job as the writer of records: what undo takes back."""
    by = f" ({job.actor_label})" if job.actor_label else ""
    return Actor("job", job.run_ref, f"{job.number} {job.name}{by}"[:200])
