"""Saved mappings."""

from __future__ import annotations

from collections.abc import Mapping as Map
from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from apps.audit.services import entries
from apps.kernel.errors import Conflict, InvalidInput
from apps.records.mapping import MappingSpec, check
from apps.records.models import Dataset, Mapping
from apps.tenants.models import Organization
from apps.tenants.principals import Actor


def save(
    *,
    organization: Organization,
    dataset: Dataset,
    name: str,
    spec: Map[str, Any],
    actor: Actor,
    mapping: Mapping | None = None,
    description: str = "",
    columns: Sequence[str] = (),
) -> Mapping:
    """Create a mapping, or change the given one.

    Raises InvalidInput with pointers into `spec` if it does not fit, Conflict if the name is taken.
    """
    if dataset.organization_id != organization.pk:
        raise InvalidInput("The dataset belongs to another organization.")
    parsed = MappingSpec.from_dict(spec)
    errors = check(parsed, dataset.fields)
    if errors:
        raise InvalidInput("The mapping does not fit the dataset.", errors=errors)
    before = _told(mapping) if mapping is not None else dict.fromkeys(_TOLD, "")
    made = mapping is None
    mapping = mapping or Mapping(organization=organization)
    mapping.dataset = dataset
    mapping.name = name.strip()
    mapping.description = description
    mapping.spec = parsed.to_dict()
    mapping.columns = list(columns)
    after = _told(mapping)
    changes = {
        name: [before[name], after[name]] for name in _TOLD if (before[name] or "") != (after[name] or "")
    }
    if not changes:
        return mapping
    try:
        with transaction.atomic():
            mapping.save()
            entries.record(
                organization=organization,
                actor=actor,
                action="mapping.created" if made else "mapping.changed",
                target=mapping,
                changes=changes,
            )
    except IntegrityError as error:
        raise Conflict(f"There is a mapping called “{mapping.name}” already.") from error
    return mapping


@transaction.atomic
def remove(*, mapping: Mapping, actor: Actor) -> None:
    """Delete a mapping. Raises django's ProtectedError if an integration uses it."""
    entries.record(
        organization=mapping.organization,
        actor=actor,
        action="mapping.deleted",
        target=mapping,
        changes={name: [value, ""] for name, value in _told(mapping).items() if value},
    )
    mapping.delete()


_TOLD = ("name", "description", "dataset", "spec", "columns")


def _told(mapping: Mapping) -> dict[str, Any]:
    """What the audit log tells of a mapping."""
    return {
        "name": mapping.name,
        "description": mapping.description,
        "dataset": mapping.dataset.slug,
        "spec": mapping.spec,
        "columns": list(mapping.columns),
    }
