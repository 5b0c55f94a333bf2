"""Ordering exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.audit.services import entries
from apps.jobs.formats.out_csv import ENCODINGS
from apps.jobs.formats.outputs_by_format import OUTPUTS
from apps.jobs.models import Job, JobDelivery
from apps.jobs.services.control import set_off
from apps.jobs.services.destinations import Destinations, problems, promised
from apps.jobs.services.export_columns import problems_of
from apps.jobs.statuses import EXPORTABLE, Compression, FileType, JobType
from apps.kernel.errors import FieldError, InvalidInput
from apps.records import reading
from apps.records.models import Dataset
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

MIN_PASSWORD, MAX_PASSWORD = 8, 128
MAX_COLUMNS = 500
DEFAULTS: dict[str, Any] = {
    "format": FileType.CSV.value,
    "columns": [],
    "headers": {},
    "ordering": "",
    "labels": False,
    "include_related": False,
    "include_metadata": False,
    "include_audit_trail": False,
    "include_attachments": False,
    "include_deleted": False,
    "delimiter": "",
    "encoding": "utf-8",
    "bom": True,
    "quote_all": False,
    "compression": "",
}
"""The settings of an export and what they are when nothing is said."""


def create(
    *,
    organization: Organization,
    dataset: Dataset,
    actor: Actor,
    user: User | None = None,
    filters: Mapping[str, str] | None = None,
    search: str = "",
    password: str = "",
    name: str = "",
    description: str = "",
    notifications: Mapping[str, Any] | None = None,
    destinations: Destinations = (),
    **settings: Any,
) -> Job:
    """Order an export and ring a worker.

    `settings` are those of DEFAULTS, `filters` those of `apps.records.reading.select`. A password makes the
    file an AES-256 encrypted ZIP; it is kept, encrypted, until the file is written. `destinations` say where
    the file is brought when it is there. Raises InvalidInput
    (BadRequest for filters) that names what is wrong; nothing is ordered then.
    """
    if dataset.organization_id != organization.pk:
        raise InvalidInput("The dataset belongs to another organization.")
    chosen = checked(dataset, settings, filters, search=search, password=password)
    if wrong := problems(organization, destinations):
        raise InvalidInput(wrong[0].detail, errors=wrong)
    with transaction.atomic():
        job = Job(
            organization=organization,
            dataset=dataset,
            name=(name.strip() or f"{dataset.name} as {FileType(chosen['format']).label}")[:200],
            description=description.strip(),
            job_type=JobType.EXPORT,
            file_type=chosen["format"],
            filters={"fields": dict(filters or {}), "search": search},
            export_settings={**chosen, "has_password": bool(password)},
            export_password=password or None,
            notifications=dict(notifications or {}),
            created_by=user,
            actor_kind=actor.kind,
            actor_ref=actor.ref,
            actor_label=actor.label[:200],
            number=numbers.assign(organization=organization, prefix="JOB"),
        )
        job.save(force_insert=True)
        owed = JobDelivery.objects.bulk_create(promised(job, destinations))
        entries.record(
            organization=organization,
            actor=actor,
            action="job.created",
            target=job,
            changes={
                "dataset": [None, dataset.slug],
                "filters": [None, job.filters],
                "columns": [None, chosen["columns"] or "all"],
                "with": [None, [key for key, value in chosen.items() if value is True and "include" in key]],
                "protected": [None, bool(password)],
                **({"delivered_to": [None, [row.to for row in owed]]} if owed else {}),
            },
        )
        set_off(job)
    return job


def checked(
    dataset: Dataset,
    settings: Mapping[str, Any],
    filters: Mapping[str, str] | None = None,
    *,
    search: str = "",
    password: str = "",
) -> dict[str, Any]:
    """The settings, complete. Raises InvalidInput or BadRequest for what cannot be done."""
    unknown = sorted(settings.keys() - DEFAULTS.keys())
    if unknown:
        raise TypeError(f"{', '.join(unknown)}: no settings of an export")
    chosen = {**DEFAULTS, **settings}
    chosen["columns"] = list(dict.fromkeys(chosen["columns"]))
    chosen["headers"] = {str(key): str(value)[:200] for key, value in (chosen["headers"] or {}).items()}
    errors = [
        *problems_of(dataset, chosen["columns"]),
        *_format_problems(chosen),
        *_password_problems(password),
    ]
    if len(chosen["columns"]) > MAX_COLUMNS:
        errors.append(FieldError("/columns", "too_many", f"An export has at most {MAX_COLUMNS} columns."))
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    reading.select(
        dataset, filters, search=search, ordering=chosen["ordering"]
    )  # raises for what it knows not
    return chosen


def _format_problems(chosen: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []

    def refuse(name: str, code: str, text: str) -> None:
        errors.append(FieldError(f"/{name}", code, text))

    if chosen["format"] not in EXPORTABLE:
        known = ", ".join(kind.value for kind in EXPORTABLE)
        refuse(
            "format", "invalid_choice", f"“{str(chosen['format'])[:20]}” is no format; use one of {known}."
        )
        return errors
    delimiter = chosen["delimiter"]
    if delimiter and (len(delimiter) != 1 or delimiter in "\"\r\n\0'=+-@" or delimiter.isalnum()):
        refuse("delimiter", "invalid", "A delimiter is one character, such as ; or a tab.")
    if chosen["encoding"] not in ENCODINGS:
        refuse("encoding", "invalid_choice", f"Encodings are {', '.join(ENCODINGS)}.")
    if chosen["compression"] not in Compression.values:
        refuse("compression", "invalid_choice", "A file is packed as gzip or zip.")
    if chosen["compression"] == Compression.GZIP and chosen["include_attachments"]:
        refuse("compression", "invalid", "Attachments are files of their own: gzip packs one. Choose zip.")
    if chosen["include_audit_trail"] and chosen["format"] == FileType.PDF:
        refuse(
            "include_audit_trail",
            "invalid",
            "A PDF shows one table. Choose Excel, CSV or JSON for the history.",
        )
    beside = not OUTPUTS[chosen["format"]].nested and chosen["format"] != FileType.XLSX
    if chosen["include_audit_trail"] and beside and chosen["compression"] == Compression.GZIP:
        refuse("compression", "invalid", "The history is a second file: gzip packs one. Choose zip.")
    return errors


def _password_problems(password: str) -> list[FieldError]:
    if password and not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        text = f"A password has {MIN_PASSWORD} to {MAX_PASSWORD} characters."
        return [FieldError("/password", "password_length", text)]
    if password and not password.isprintable():
        return [FieldError("/password", "invalid", "A password consists of printable characters.")]
    return []
