"""What a mapping makes of a column's first values, shown while a person decides."""

from __future__ import annotations

from typing import Any

from apps.jobs.models import Job
from apps.jobs.services.problems import MASK
from apps.kernel.errors import InvalidInput
from apps.records.fields import display
from apps.records.mapping import MappingSpec, check, compile_mapping
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.services.lookups import Finder

SHOWN = 5


def of_column(job: Job, *, column: str, target: str, transforms: str, default: str) -> dict[str, Any]:
    """`values`, each with what was given and what it becomes or why it is refused; or one `error`."""
    names = [item["name"] for item in job.preview.get("columns", [])]
    if column not in names or target not in job.dataset.fields_by_name:
        return {"values": []}
    field = job.dataset.fields_by_name[target]
    samples = job.preview.get("samples", [])
    index = names.index(column)
    given = list(dict.fromkeys(samples[index] if index < len(samples) else []))[:SHOWN]
    entry: dict[str, Any] = {"target": target, "source": COLUMN_PREFIX + column}
    if transforms.strip():
        entry["transforms"] = transforms
    if default:
        entry["default"] = default
    try:
        spec = MappingSpec.from_dict({"fields": [entry]})
        wrong = check(spec, [field], names)
        if wrong:
            return {"error": wrong[0].detail}
        mapper = compile_mapping([field], spec, columns=names, timezone=job.timezone or "UTC")
        rows = _rows(job, index, given)
        finder = Finder(job.organization)
        values = []
        for text, row in zip(given, rows, strict=True):
            mapped, problems = mapper.map_row(row, lookup=finder)
            if problems:
                values.append({"given": text, "problem": problems[0].message})
            else:
                value = (mapped or {}).get(target)
                values.append({"given": text, "becomes": MASK if field.sensitive else display(value, field)})
    except InvalidInput as error:
        return {"error": error.errors[0].detail if error.errors else error.detail}
    return {"values": values}


def _rows(job: Job, index: int, given: list[str]) -> list[list[Any]]:
    """For each value the sample's row in which it stands, so that transforms that look at the row see one."""
    samples = job.preview["samples"]
    return [
        [values[at] if at < len(values) else None for values in samples]
        for at in (samples[index].index(text) for text in given)
    ]
