"""What a mapping makes of a column's first values, shown while a person decides."""

from __future__ import annotations

from typing import Any

from apps.jobs.models import Job
from apps.jobs.services.problems import MASK
from apps.jobs.services.ways import in_words, words_of
from apps.kernel.errors import InvalidInput
from apps.records.fields import Field, display
from apps.records.mapping import MappingSpec, check, compile_mapping, pipe_to_text
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.mapping.suggest import fit, pipe_of
from apps.records.services.lookups import Finder

SHOWN = 5
CANDIDATES = 20
WITH_WAYS = frozenset({"date", "datetime", "decimal", "integer", "money"})
"""Field types whose values are written in several ways."""


def of_column(
    job: Job,
    *,
    column: str,
    target: str,
    transforms: str,
    default: str,
    propose: bool = False,
    new: Field | None = None,
) -> dict[str, Any]:
    """What a column's first values become as a field: the `target`, or the `new` one that it would be.

    `values`, each with what was given and what it becomes or why it is refused; `fitting`, `filled` and
    `rows` count the sample's rows; `rule` says in words how dates or numbers are read; `ways` are those
    between which a person must choose. With `propose` and no transforms, those that the values need are
    found, and told. Or one `error`.
    """
    names = [item["name"] for item in job.preview.get("columns", [])]
    field = new or job.dataset.fields_by_name.get(target)
    if column not in names or field is None:
        return {"values": []}
    samples = job.preview.get("samples", [])
    index = names.index(column)
    cells: list[str] = samples[index] if index < len(samples) else []
    suggestion = fit(column, field, cells) if field.type in WITH_WAYS else None
    told: dict[str, Any] = {"ways": []}
    if suggestion is not None:
        told["ways"] = [
            {"transforms": pipe_to_text(pipe_of(field, way)), "words": words_of(way)}
            for way in suggestion.ambiguous
        ]
        if propose and not transforms.strip() and suggestion.transforms:
            transforms = told["transforms"] = pipe_to_text(suggestion.transforms)
    entry: dict[str, Any] = {"target": field.name, "source": COLUMN_PREFIX + column}
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
        rows = _rows(job, len(cells))
        mapped = mapper.map_rows(rows, lookup=Finder(job.organization))
    except InvalidInput as error:
        return {"error": error.errors[0].detail if error.errors else error.detail}
    problems = {problem.row: problem.message for problem in reversed(mapped.problems)}
    becomes = dict(zip(mapped.rows, mapped.values, strict=True))
    shown: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(cells, 1):
        if text in shown or len(shown) >= CANDIDATES:
            continue
        if number in problems:
            shown[text] = {"given": text, "problem": problems[number]}
        else:
            value = (becomes.get(number) or {}).get(field.name)
            shown[text] = {"given": text, "becomes": MASK if field.sensitive else display(value, field)}
    wrong_first = sorted(shown.values(), key=lambda item: "problem" not in item)
    some = list(shown.values())[:SHOWN]
    if not any("problem" in item for item in some) and "problem" in (wrong_first or [{}])[0]:
        some = [*some[:-1], wrong_first[0]]
    filled = sum(bool(cell) for cell in cells)
    return told | {
        "values": some,
        "rows": len(cells),
        "filled": filled,
        "fitting": sum(bool(cell) and number not in problems for number, cell in enumerate(cells, 1)),
        "rule": in_words(spec.fields[0].transforms),
    }


def _rows(job: Job, depth: int) -> list[list[Any]]:
    """The sample as rows, so that transforms that look at the row see one."""
    samples = job.preview["samples"]
    return [[values[n] if n < len(values) else None for values in samples] for n in range(depth)]
