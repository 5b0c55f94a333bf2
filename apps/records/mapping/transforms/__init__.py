"""Named transforms for the pipes of a mapping: pure functions, declared with parameters and an example."""

from __future__ import annotations

from apps.records.mapping.transforms import numbers, text, times, values  # noqa: F401 - they register
from apps.records.mapping.transforms.base import TRANSFORMS, Parameter, Role, Transform
from apps.records.mapping.transforms.times import zone_of
from apps.records.mapping.transforms.values import lookup_key

__all__ = ["TRANSFORMS", "Parameter", "Role", "Transform", "lookup_key", "zone_of"]
