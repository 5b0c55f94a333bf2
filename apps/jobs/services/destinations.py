"""Where exported files are brought: what may be named, and what is owed for a job because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from apps.jobs.models import FileLocation, Job, JobArtifact, JobDelivery
from apps.jobs.schedule_statuses import DeliveryKind
from apps.jobs.services import naming
from apps.kernel.errors import FieldError
from apps.tenants.models import Organization

MAX_RECIPIENTS = 20
MAX_DESTINATIONS = 10
Destinations = Sequence[Mapping[str, Any]]
"""Mappings with `kind`, and `location` and `path`, or `recipients`."""


def problems(organization: Organization, given: Destinations) -> list[FieldError]:
    """What is wrong with destinations, at `/destinations/n/…`."""
    found: list[FieldError] = []
    if len(given) > MAX_DESTINATIONS:
        found.append(FieldError("/destinations", "invalid", f"At most {MAX_DESTINATIONS} destinations."))
    for n, one in enumerate(given):
        at = f"/destinations/{n}"
        if one.get("kind") == DeliveryKind.LOCATION:
            found += _place_problems(organization, one, at)
        elif one.get("kind") == DeliveryKind.MAIL:
            recipients = one.get("recipients") or []
            if not recipients:
                found.append(FieldError(f"{at}/recipients", "required", "Enter at least one address."))
            found += recipient_problems(recipients, f"{at}/recipients")
        else:
            found.append(FieldError(f"{at}/kind", "invalid", "A destination is a location or a mail."))
    return found


def _place_problems(organization: Organization, given: Mapping[str, Any], at: str) -> list[FieldError]:
    found: list[FieldError] = []
    location: FileLocation | None = given.get("location")
    if location is None or location.organization_id != organization.pk:
        text = "Choose the place that the file is delivered to."
        found.append(FieldError(f"{at}/location", "required", text))
    elif not location.is_writable:
        text = "Files are not delivered to web addresses; use a webhook."
        found.append(FieldError(f"{at}/location", "invalid", text))
    try:
        naming.check(given.get("path") or "")
    except ValueError as error:
        found.append(FieldError(f"{at}/path", "invalid", str(error)))
    return found


def recipient_problems(addresses: Sequence[str], pointer: str) -> list[FieldError]:
    """What is wrong with the addresses of mails."""
    found: list[FieldError] = []
    if len(addresses) > MAX_RECIPIENTS:
        found.append(FieldError(pointer, "invalid", f"At most {MAX_RECIPIENTS} addresses."))
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            found.append(FieldError(pointer, "invalid", f"“{str(address)[:80]}” is no e-mail address."))
    return found


def promised(job: Job, given: Destinations) -> list[JobDelivery]:
    """Rows, not saved yet, of what is owed once the job's file is there; until then none has a time."""
    return [
        JobDelivery(
            organization=job.organization,
            job=job,
            kind=one["kind"],
            location=one.get("location"),
            path=str(one.get("path") or "").strip(),
            recipients=list(one.get("recipients") or []),
            next_attempt_at=None,
        )
        for one in given
    ]


def fall_due(row: JobDelivery, job: Job, output: JobArtifact) -> None:
    """The file is there: the delivery gets its path and is due now. The row is not saved."""
    if row.kind == DeliveryKind.LOCATION:
        row.path = naming.path_of(row.path, job, output)
    row.next_attempt_at = timezone.now()
