"""The streams of an integration: rows for what its connector offers and its settings define."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from apps.connectors.engine.manifest import Stream
from apps.connectors.models import Integration, IntegrationStream
from apps.connectors.services.checking import StreamSettings, dataset_or_none, mapping_or_none
from apps.connectors.statuses import SyncMode
from apps.records.mapping import MappingSpec

# What a definition may say anew without rows having to be read again.
_HARMLESS = {"label", "description"}


def definitions_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """An integration's own stream definitions, less what does not change rows."""
    return {
        item["name"]: {key: value for key, value in item.items() if key not in _HARMLESS}
        for item in config.get("streams") or ()
    }


def apply(
    integration: Integration,
    known: Mapping[str, Stream],
    given: Sequence[StreamSettings] | None,
    config_before: Mapping[str, Any],
) -> None:
    """Make the rows agree with the definitions and with what the caller wants, in the caller's transaction.

    A stream whose definition, dataset or mapping changed is read from the beginning again. What an
    integration defines itself goes to the dataset that its definition names; a catalog's stream may go
    elsewhere.
    """
    rows = {row.name: row for row in integration.streams.all()}
    before, now = definitions_of(config_before), definitions_of(integration.config)
    wanted = {item.name: item for item in given or ()}
    for name in rows.keys() - known.keys():
        rows[name].delete()
    for name, stream in known.items():
        row, item = rows.get(name), wanted.get(name)
        slug = (item.dataset if item else "") or (stream.dataset if row is None or name in now else "")
        dataset = dataset_or_none(integration, slug) if slug else None
        if row is None:
            if dataset is None or (given is not None and item is None):
                continue
            row = IntegrationStream(integration=integration, name=name, dataset=dataset)
            row.mode = SyncMode.INCREMENTAL if stream.incremental else SyncMode.FULL
        old = (row.dataset_id, row.mapping_id)
        if dataset is not None:
            row.dataset = dataset
        if item is not None:
            row.mapping = mapping_or_none(integration, item.mapping) if item.mapping else None
            row.enabled, row.mode = item.enabled, item.mode
            row.delete_missing, row.delete_limit_percent = item.delete_missing, item.delete_limit_percent
        elif given is not None:
            row.enabled = False
        if (row.dataset_id, row.mapping_id) != old or before.get(name) != now.get(name):
            row.state = {}
            # A sync that is running now must not put the old cursor back.
            row.revision += 1
        row.save()


def mapping_of(row: IntegrationStream, stream: Stream) -> MappingSpec | None:
    """How the stream's rows become records: its saved mapping, else the definition's, else by name.

    Raises InvalidInput if the mapping cannot be read.
    """
    if row.mapping is not None:
        return MappingSpec.from_dict(row.mapping.spec)
    return MappingSpec.from_dict(stream.mapping) if stream.mapping else None
