"""The event types that an organization declares for what it publishes itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from apps.audit.services import entries
from apps.events.catalog import event_types, type_sources
from apps.events.models import OwnEventType, OwnEventTypeVersion
from apps.events.services.schemas import Unresolvable, problems_in
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.kernel.safejson import dumps_canonical
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

EDITABLE = ("description", "group", "schema", "sample", "is_active")
MAX_TYPES = 500
MAX_SCHEMA_BYTES = 64 * 1024
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}(\.[a-z0-9][a-z0-9_-]{0,39}){1,4}", re.ASCII)


def create(
    *,
    organization: Organization,
    actor: Actor,
    name: str,
    description: str = "",
    group: str = "Own",
    schema: Mapping[str, Any] | None = None,
    sample: Mapping[str, Any] | None = None,
    is_active: bool = True,
) -> OwnEventType:
    """Declare a type of event.

    Raises InvalidInput with a pointer per field, Conflict for a name that is taken.
    """
    row = OwnEventType(
        organization=organization,
        name=name,
        description=description,
        group=group,
        schema=dict(schema or {}),
        sample=dict(sample or {}),
        is_active=is_active,
    )
    found = [*_name_problems(organization, name), *_schema_problems(row.schema, row.sample)]
    if found:
        raise InvalidInput("The event type was not created.", errors=found)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        mine = OwnEventType.objects.filter(organization=organization)
        if mine.filter(name=name).exists():
            raise Conflict(f"The event type {name} exists already.", code="exists")
        if mine.count() >= MAX_TYPES:
            raise Conflict(f"An organization declares at most {MAX_TYPES} event types.")
        row.save(force_insert=True)
        _keep_version(row)
        entries.record(
            organization=organization,
            actor=actor,
            action="event_type.created",
            target=row,
            changes={"name": ["", name]},
        )
    return row


@transaction.atomic
def update(*, event_type: OwnEventType, actor: Actor, **values: Any) -> OwnEventType:
    """Change fields of EDITABLE; another schema is another version. Raises InvalidInput."""
    unknown = sorted(set(values) - set(EDITABLE))
    if unknown:
        raise InvalidInput(errors=[FieldError(f"/{n}", "unknown", f"There is no {n}.") for n in unknown])
    row = OwnEventType.objects.select_for_update(of=("self",)).get(pk=event_type.pk)
    changes = {
        name: [getattr(row, name), value] for name, value in values.items() if getattr(row, name) != value
    }
    for name, (_, value) in changes.items():
        setattr(row, name, value)
    found = _schema_problems(row.schema, row.sample)
    if found:
        raise InvalidInput("The event type was not changed.", errors=found)
    if not changes:
        return row
    if "schema" in changes:
        row.version += 1
        changes["version"] = [row.version - 1, row.version]
    row.save()
    if "schema" in changes:
        _keep_version(row)
    elif "sample" in changes:
        row.versions.filter(version=row.version).update(sample=row.sample)
    entries.record(
        organization=event_type.organization,
        actor=actor,
        action="event_type.updated",
        target=row,
        changes=changes,
    )
    return row


@transaction.atomic
def remove(*, event_type: OwnEventType, actor: Actor) -> None:
    """Forget a declaration with all its versions; events of the type stay as they are."""
    entries.record(
        organization=event_type.organization,
        actor=actor,
        action="event_type.deleted",
        target=event_type,
        changes={"name": [event_type.name, ""]},
    )
    event_type.delete()


def _keep_version(row: OwnEventType) -> None:
    OwnEventTypeVersion.objects.create(
        event_type=row, version=row.version, schema=row.schema, sample=row.sample
    )


def _name_problems(organization: Organization, name: Any) -> list[FieldError]:
    if not isinstance(name, str) or len(name) > 100 or not _NAME.fullmatch(name):
        return [
            FieldError(
                "/name",
                "event_type",
                "An event type is named in two to five parts of small letters, digits, - and _, "
                "such as order.shipped.",
            )
        ]
    family = name.partition(".")[0]
    taken = {declared.name.partition(".")[0] for declared in event_types}
    for source in type_sources:
        taken.update(declared.name.partition(".")[0] for declared in source.types_of(organization))
    if family in taken:
        return [
            FieldError(
                "/name",
                "reserved",
                f"Events named {family}.… are told by the hub itself; choose another first part.",
            )
        ]
    return []


def _schema_problems(schema: Any, sample: Any) -> list[FieldError]:
    for name, value in (("schema", schema), ("sample", sample)):
        if not isinstance(value, Mapping):
            return [FieldError(f"/{name}", "type", f"The {name} is a JSON object.")]
        if len(dumps_canonical(dict(value))) > MAX_SCHEMA_BYTES:
            return [
                FieldError(f"/{name}", "too_large", f"The {name} has at most {MAX_SCHEMA_BYTES:,} bytes.")
            ]
    if not schema:
        return []
    try:
        Draft202012Validator.check_schema(dict(schema))
        if not sample:
            problems_in(schema, {}, "/sample")
            return []
        return problems_in(schema, sample, "/sample")
    except SchemaError as error:
        where = "/schema" + "".join(f"/{part}" for part in error.absolute_path)
        return [FieldError(where, "schema", f"It is no JSON Schema (2020-12): {error.message[:300]}")]
    except (Unresolvable, RecursionError) as error:
        return [FieldError("/schema", "schema", str(error) or "The schema is nested too deep.")]
