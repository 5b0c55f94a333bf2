"""Registries: built-in datasets, and who wants to know that an origin was taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Undone:
    """Told in the transaction that ends the undo of an origin of the kind `name`: (origin, actor, result)."""

    name: str
    tell: Callable[[Any, Any, Any], None]


undone: Registry[Undone] = Registry("Listener to undo")


@dataclass(frozen=True)
class Attachment:
    """A file that the hub holds for a record: its name for people, and its path in the file storage."""

    name: str
    path: str
    size: int
    record: str = ""


@dataclass(frozen=True)
class Attachments:
    """Who holds files for records, under the name of the app: (dataset, [(primary key, values)], alias of the
    database to read from) → files of the dataset's organization."""

    name: str
    find: Callable[[Any, Sequence[tuple[Any, dict[str, Any]]], str], Iterable[Attachment]]


attachments: Registry[Attachments] = Registry("Holder of attachments")
