"""The event types of the datasets that an organization has defined itself."""

from __future__ import annotations

from apps.events.catalog import EventType
from apps.records import selectors
from apps.records.catalog import DatasetSpec
from apps.records.events import types_of
from apps.records.models import Dataset
from apps.tenants.models import Organization


def types_of_own_datasets(organization: Organization) -> list[EventType]:
    """What can happen to the records of its custom datasets."""
    rows = selectors.datasets_of(organization).filter(kind=Dataset.Kind.CUSTOM)
    return [declared for dataset in rows for declared in types_of(_spec(dataset))]


def _spec(dataset: Dataset) -> DatasetSpec:
    return DatasetSpec(
        name=dataset.slug,
        label=dataset.name,
        singular=dataset.singular,
        fields=dataset.fields,
        key_field=dataset.key_field,
        title_field=dataset.title_field,
    )
