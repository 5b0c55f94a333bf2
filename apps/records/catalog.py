"""The dataset registry: built-in datasets, declared in code by the app whose business they are."""

from __future__ import annotations

from dataclasses import dataclass

from apps.kernel.registry import Registry
from apps.records.fields import Field


@dataclass(frozen=True)
class DatasetSpec:
    """A built-in dataset. `name` is its slug; every organization has it."""

    name: str
    label: str
    singular: str
    fields: tuple[Field, ...]
    key_field: str
    title_field: str
    description: str = ""
    icon: str = "database"


datasets: Registry[DatasetSpec] = Registry("Dataset")
