"""Keeping what an export is under a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from apps.audit.services import entries
from apps.jobs.models import ExportTemplate
from apps.jobs.services import exports
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.records.models import Dataset
from apps.tenants.models import Organization
from apps.tenants.principals import Actor


def create(
    *, organization: Organization, dataset: Dataset, name: str, options: Mapping[str, Any], actor: Actor
) -> ExportTemplate:
    """Keep an export's settings, `filters` and `search` under a name. Raises InvalidInput with pointers."""
    template = ExportTemplate(
        organization=organization, dataset=dataset, name=name.strip(), created_by=actor.label[:200]
    )
    template.options = checked(dataset, options)
    _store(template, actor, "created", {"name": ["", template.name], "dataset": ["", dataset.slug]})
    return template


def update(
    *,
    template: ExportTemplate,
    actor: Actor,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> ExportTemplate:
    """Rename a template, or replace what it exports; schedules that use it do so from their next run on."""
    changes: dict[str, list[Any]] = {}
    if name is not None and name.strip() != template.name:
        changes["name"] = [template.name, name.strip()]
        template.name = name.strip()
    if options is not None:
        new = checked(template.dataset, options)
        if new != template.options:
            changes["options"] = [template.options, new]
            template.options = new
    if changes:
        _store(template, actor, "updated", changes)
    return template


def delete(*, template: ExportTemplate, actor: Actor) -> None:
    """Forget a template. Raises Conflict while schedules use it."""
    try:
        with transaction.atomic():
            entries.record(
                organization=template.organization,
                actor=actor,
                action="export_template.deleted",
                target=template,
                changes={"name": [template.name, ""]},
            )
            template.delete()
    except ProtectedError:
        raise Conflict(f"Schedules use the template “{template}”: give them another first.") from None


def checked(dataset: Dataset, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, complete, as they are kept. Raises InvalidInput or BadRequest for what cannot be done."""
    settings = dict(options)
    filters, search = dict(settings.pop("filters", None) or {}), str(settings.pop("search", "") or "")
    chosen = exports.checked(dataset, settings, filters, search=search)
    return {**chosen, "filters": filters, "search": search}


def _store(template: ExportTemplate, actor: Actor, verb: str, changes: Mapping[str, Any]) -> None:
    if not template.name:
        raise _wrong("Give the template a name.", "required")
    try:
        with transaction.atomic():
            template.save()
            entries.record(
                organization=template.organization,
                actor=actor,
                action=f"export_template.{verb}",
                target=template,
                changes=changes,
            )
    except IntegrityError:
        raise _wrong(f"There is another template “{template.name}” of this dataset.", "unique") from None


def _wrong(detail: str, code: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError("/name", code, detail)])
