"""Columns that become fields of a custom dataset: what they probably are, and adding them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from apps.jobs.models import Job
from apps.kernel.errors import Conflict
from apps.records.fields import FIELD_TYPES, RESERVED_NAMES, Field, is_blank
from apps.records.mapping.suggest import fit
from apps.records.models import Dataset
from apps.records.services import datasets
from apps.tenants.principals import Actor

OFFERED = ("text", "integer", "decimal", "boolean", "date", "datetime", "email", "url", "phone")
"""Types that a column can have without being told more about it."""
LOOKED_AT = 30
"""Values of a column from which its type is proposed."""
_LONGEST = 60
_LETTERS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ł": "l", "æ": "ae"})
# A code's leading zeros and digits beyond a number's precision are lost in a number.
_CODE = re.compile(r"[+-]?(0\d+|\d{16,})")


@dataclass(frozen=True, slots=True)
class NewField:
    """A column that becomes a field. `label` is what it is called, `type` one of OFFERED."""

    label: str
    type: str


def is_possible(dataset: Dataset) -> bool:
    """Whether fields can be added: a built-in dataset has the same ones everywhere."""
    return dataset.kind == Dataset.Kind.CUSTOM


def type_of(values: Sequence[str]) -> str:
    """The narrowest type that all of a column's values have."""
    filled = [value for value in values if not is_blank(value)][:LOOKED_AT]
    if not filled or any(_CODE.fullmatch(value.strip()) for value in filled):
        return "text"
    if any(value.strip()[:1].isalpha() for value in filled) and _all(filled, "boolean"):
        return "boolean"
    plain = fit("", Field("x", "integer"), filled)
    if plain.fitting == 1.0 and not plain.transforms:
        return "integer"
    return next(
        (kind for kind in ("decimal", "date", "datetime", "email", "url") if _all(filled, kind)), "text"
    )


def _all(values: Sequence[str], kind: str) -> bool:
    return fit("", Field("x", kind), values).fitting == 1.0


def as_field(wanted: NewField, name: str = "new_field") -> Field:
    """The field as it would be."""
    kind = wanted.type if wanted.type in OFFERED else "text"
    return Field(name, kind, label=wanted.label)


def name_of(label: str, taken: Collection[str]) -> str:
    """An identifier for a field that people call so, which no other field has."""
    plain = unicodedata.normalize("NFKD", label.casefold().translate(_LETTERS))
    plain = re.sub(r"[^a-z0-9]+", "_", "".join(c for c in plain if not unicodedata.combining(c))).strip("_")
    base = plain if plain[:1].isalpha() else f"field_{plain}".rstrip("_")
    name, number = base[:_LONGEST], 1
    while name in taken or name in RESERVED_NAMES:
        number += 1
        name = f"{base[: _LONGEST - 5]}_{number}"
    return name


def add(*, job: Job, wanted: Sequence[NewField], actor: Actor) -> list[str]:
    """Add fields to the import's dataset; returns their names.

    Raises Conflict for a built-in dataset, InvalidInput with pointers `/fields/<position>/…`, counted from
    the first of `wanted`.
    """
    if not is_possible(job.dataset):
        raise Conflict(f"“{job.dataset.name}” is a built-in dataset; no field can be added to it.")
    taken = set(job.dataset.fields_by_name)
    definitions: list[dict[str, Any]] = []
    for one in wanted:
        name = name_of(one.label, taken)
        taken.add(name)
        definitions.append({"name": name, "label": one.label, "type": one.type})
    job.dataset = datasets.add_fields(dataset=job.dataset, fields=definitions, actor=actor)
    return [item["name"] for item in definitions]


def choices() -> list[tuple[str, str]]:
    """The types, for people."""
    return [(name, FIELD_TYPES[name].label) for name in OFFERED]
