"""Ordering exports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from apps.audit.services import entries
from apps.jobs.models import Job
from apps.jobs.services.control import set_off
from apps.jobs.statuses import WRITABLE, FileType, JobType
from apps.kernel.errors import FieldError, InvalidInput
from apps.records import selectors
from apps.records.models import Dataset
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor
from apps.tenants.services import numbers


def create(
    *,
    organization: Organization,
    dataset: Dataset,
    actor: Actor,
    user: User | None = None,
    format: str = FileType.CSV,
    filters: Mapping[str, str] | None = None,
    search: str = "",
    ordering: str = "",
    columns: Sequence[str] = (),
    delimiter: str = "",
    include_metadata: bool = False,
    labels: bool = False,
    name: str = "",
    notifications: Mapping[str, Any] | None = None,
) -> Job:
    """Order an export and ring a worker. `filters` are those of `apps.records.selectors.filtered`.

    Raises InvalidInput (BadRequest for filters) that names what is wrong.
    """
    errors = []
    if dataset.organization_id != organization.pk:
        raise InvalidInput("The dataset belongs to another organization.")
    if format not in WRITABLE:
        errors.append(
            FieldError("/format", "invalid_choice", f"“{format[:20]}” is no format; use csv or xlsx.")
        )
    if delimiter and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        errors.append(FieldError("/delimiter", "invalid", "A delimiter is one character."))
    for n, column in enumerate(columns):
        if column not in dataset.fields_by_name:
            errors.append(
                FieldError(
                    f"/columns/{n}", "unknown_field", f"“{column[:60]}” is no field of “{dataset.slug}”."
                )
            )
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    selectors.filtered(dataset, filters, search=search, ordering=ordering)  # raises for what it does not know
    with transaction.atomic():
        job = Job(
            organization=organization,
            dataset=dataset,
            name=(name.strip() or f"{dataset.name} as {FileType(format).label}")[:200],
            job_type=JobType.EXPORT,
            file_type=format,
            filters={"fields": dict(filters or {}), "search": search},
            export_settings={
                "format": format,
                "columns": list(dict.fromkeys(columns)),
                "ordering": ordering,
                "delimiter": delimiter,
                "include_metadata": include_metadata,
                "labels": labels,
            },
            notifications=dict(notifications or {}),
            created_by=user,
            actor_kind=actor.kind,
            actor_ref=actor.ref,
            actor_label=actor.label[:200],
            number=numbers.assign(organization=organization, prefix="JOB"),
        )
        job.save(force_insert=True)
        entries.record(
            organization=organization,
            actor=actor,
            action="job.created",
            target=job,
            changes={
                "dataset": [None, dataset.slug],
                "filters": [None, job.filters],
                "columns": [None, list(columns) or "all"],
            },
        )
        set_off(job)
    return job
