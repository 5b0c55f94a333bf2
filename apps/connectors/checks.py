"""System checks: every entry of the catalog is right, and fits the datasets it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register

from apps.connectors.registry import connectors, faults
from apps.kernel.errors import HubError
from apps.records.catalog import datasets
from apps.records.mapping import MappingSpec, compile_mapping


@register()
def catalog(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """E001: a folder cannot be read. E002: a stream names an unknown dataset. E003: its mapping is wrong."""
    found: list[CheckMessage] = [
        Error(fault.message, hint=f"Correct catalog/{fault.folder}.", id="connectors.E001")
        for fault in faults
    ]
    for connector in connectors:
        found.extend(_streams(connector.name))
    return found


def _streams(slug: str) -> Iterator[CheckMessage]:
    for stream in connectors[slug].manifest.streams:
        if not stream.dataset:
            continue
        place = f"{slug}: stream {stream.name}"
        spec = datasets.get(stream.dataset)
        if spec is None:
            yield Error(f"{place} names the unknown dataset “{stream.dataset}”.", id="connectors.E002")
        elif stream.mapping:
            try:
                compile_mapping(spec.fields, MappingSpec.from_dict(dict(stream.mapping)), columns=None)
            except HubError as error:
                details = " ".join(problem.detail for problem in getattr(error, "errors", ()))
                yield Error(
                    f"{place}: the mapping does not fit {stream.dataset}: {error.detail} {details}".strip(),
                    id="connectors.E003",
                )
