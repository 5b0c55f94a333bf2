"""Datasets: the built-in ones of each organization, and those that it defines itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.records.catalog import datasets
from apps.records.fields import from_dict, to_dict, validate_definition
from apps.records.models import Dataset, DatasetCount
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

_ATTRIBUTES = ("name", "singular", "description", "key_field", "title_field", "icon")


def provision(organization: Organization) -> None:
    """Give the organization every built-in dataset that it does not have yet."""
    have = set(
        Dataset.objects.filter(organization=organization, kind=Dataset.Kind.BUILTIN).values_list(
            "slug", flat=True
        )
    )
    Dataset.objects.bulk_create(
        [
            Dataset(
                organization=organization,
                slug=spec.name,
                name=spec.label,
                singular=spec.singular,
                description=spec.description,
                kind=Dataset.Kind.BUILTIN,
                key_field=spec.key_field,
                title_field=spec.title_field,
                icon=spec.icon,
            )
            for spec in datasets
            if spec.name not in have
        ],
        ignore_conflicts=True,
    )


def _checked(
    organization: Organization,
    fields: Sequence[Mapping[str, Any]],
    key_field: str,
    title_field: str,
    slug: str,
) -> list[dict[str, Any]]:
    errors: list[FieldError] = []
    parsed = []
    for n, item in enumerate(fields):
        try:
            parsed.append(from_dict(item))
        except InvalidInput as error:
            errors += [FieldError(f"/fields/{n}{e.pointer}", e.code, e.detail) for e in error.errors]
        except (TypeError, ValueError, KeyError) as error:
            errors.append(FieldError(f"/fields/{n}", "invalid", f"This is not a field definition: {error}."))
    if not errors:
        errors += validate_definition(parsed)
    names = {f.name: f for f in parsed}
    for attribute, value in (("key_field", key_field), ("title_field", title_field)):
        if value and value not in names:
            errors.append(FieldError(f"/{attribute}", "unknown_field", f"There is no field “{value}”."))
    key = names.get(key_field)
    if key is not None and key.type not in (
        "text",
        "integer",
        "email",
        "choice",
        "reference",
        "phone",
        "url",
    ):
        errors.append(
            FieldError("/key_field", "not_a_key", f"A field of type {key.type} cannot tell records apart.")
        )
    known = set(Dataset.objects.filter(organization=organization).values_list("slug", flat=True)) | {slug}
    for n, field in enumerate(parsed):
        if field.reference and field.reference not in known:
            errors.append(
                FieldError(
                    f"/fields/{n}/reference", "unknown_dataset", f"There is no dataset “{field.reference}”."
                )
            )
    if errors:
        raise InvalidInput("The dataset's definition is not valid.", errors=errors)
    return [to_dict(f) for f in parsed]


def _exists(organization: Organization, slug: str) -> bool:
    return Dataset.objects.filter(organization=organization, slug=slug).exists()


@transaction.atomic
def define(
    *,
    organization: Organization,
    slug: str,
    name: str,
    fields: Sequence[Mapping[str, Any]],
    actor: Actor,
    key_field: str = "",
    title_field: str = "",
    singular: str = "",
    description: str = "",
    icon: str = "database",
) -> Dataset:
    """Define a custom dataset.

    Raises InvalidInput with pointers (`/slug`, `/fields/0/name`, …) for whatever is wrong with it.
    """
    import re

    errors = []
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", slug):
        errors.append(
            FieldError("/slug", "invalid", "Use small letters, digits and underscores; begin with a letter.")
        )
    elif slug == "origins" or slug in datasets or _exists(organization, slug):
        errors.append(FieldError("/slug", "not_unique", f"There is a dataset “{slug}” already."))
    if not name.strip():
        errors.append(FieldError("/name", "required", "Give the dataset a name."))
    if not fields:
        errors.append(FieldError("/fields", "required", "A dataset needs at least one field."))
    if errors:
        raise InvalidInput("The dataset's definition is not valid.", errors=errors)
    definition = _checked(organization, fields, key_field, title_field, slug)
    dataset = Dataset.objects.create(
        organization=organization,
        slug=slug,
        name=name.strip(),
        singular=singular.strip() or name.strip(),
        description=description,
        kind=Dataset.Kind.CUSTOM,
        key_field=key_field,
        title_field=title_field or key_field or definition[0]["name"],
        icon=icon,
        definition=definition,
    )
    entries.record(
        organization=organization,
        actor=actor,
        action="dataset.created",
        target=dataset,
        changes={"fields": [None, [f["name"] for f in definition]]},
    )
    return dataset


@transaction.atomic
def change(
    *, dataset: Dataset, actor: Actor, fields: Sequence[Mapping[str, Any]] | None = None, **attributes: Any
) -> Dataset:
    """Change a custom dataset's names or fields.

    While it holds records its key, and the type and uniqueness of its fields, stay as they are, and no
    field is indexed anew: what is stored was checked against them. Raises Conflict or InvalidInput.
    """
    dataset = Dataset.objects.select_for_update().get(pk=dataset.pk)
    if dataset.kind == Dataset.Kind.BUILTIN:
        raise Conflict(f"“{dataset.name}” is a built-in dataset; its fields cannot be changed.")
    unknown = set(attributes) - set(_ATTRIBUTES)
    if unknown:
        raise InvalidInput(
            errors=[FieldError(f"/{n}", "unknown", "This cannot be changed.") for n in sorted(unknown)]
        )
    before = {name: getattr(dataset, name) for name in _ATTRIBUTES}
    before_fields = dataset.definition
    for name, value in attributes.items():
        setattr(dataset, name, value)
    if not dataset.name.strip():
        raise InvalidInput(errors=[FieldError("/name", "required", "Give the dataset a name.")])
    definition = _checked(
        dataset.organization,
        fields if fields is not None else before_fields,
        dataset.key_field,
        dataset.title_field,
        dataset.slug,
    )
    if fields is not None or dataset.key_field != before["key_field"]:
        _refuse_breaking(dataset, before["key_field"], before_fields, definition)
        dataset.definition = definition
        dataset.version += 1
    dataset.save()
    for cached in ("fields", "fields_by_name", "slots"):
        dataset.__dict__.pop(cached, None)
    changes = {n: [before[n], getattr(dataset, n)] for n in _ATTRIBUTES if before[n] != getattr(dataset, n)}
    if before_fields != dataset.definition:
        changes["fields"] = [before_fields, dataset.definition]
    if changes:
        entries.record(
            organization=dataset.organization,
            actor=actor,
            action="dataset.changed",
            target=dataset,
            changes=changes,
        )
    return dataset


@transaction.atomic
def add_fields(*, dataset: Dataset, actor: Actor, fields: Sequence[Mapping[str, Any]]) -> Dataset:
    """Append fields to a custom dataset, whatever others change about it meanwhile.

    Raises as `change` does; the pointers count from the first of `fields`.
    """
    now = Dataset.objects.select_for_update().get(pk=dataset.pk)
    try:
        return change(dataset=now, actor=actor, fields=[*now.definition, *fields])
    except InvalidInput as error:
        error.errors = [_counted_from(e, len(now.definition)) for e in error.errors]
        raise


def _counted_from(error: FieldError, first: int) -> FieldError:
    """The error with the position in its pointer counted from a later field."""
    parts = error.pointer.split("/")
    if len(parts) < 3 or not parts[2].isdigit() or int(parts[2]) < first:
        return error
    parts[2] = str(int(parts[2]) - first)
    return FieldError("/".join(parts), error.code, error.detail)


def _refuse_breaking(
    dataset: Dataset, key_before: str, before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]
) -> None:
    from apps.records.models import Record

    if not Record.objects.filter(dataset=dataset).exists():
        return
    if dataset.key_field != key_before:
        raise Conflict("The key cannot be changed while the dataset holds records.")
    old = {f["name"]: from_dict(f) for f in before}
    errors = []
    order_before = [f.name for f in old.values() if f.indexed]
    order_after = [from_dict(f).name for f in after if from_dict(f).indexed]
    for n, item in enumerate(after):
        field = from_dict(item)
        was = old.get(field.name)
        if was is None and (field.unique or field.required):
            errors.append((n, "A new field of a dataset with records can be neither required nor unique."))
        elif was is not None and was.type != field.type:
            errors.append(
                (n, f"“{field.name}” holds {was.type} values; its type cannot become {field.type}.")
            )
        elif was is not None and was.unique != field.unique:
            errors.append((n, f"Whether “{field.name}” is unique cannot change while there are records."))
    if order_before != order_after:
        errors.append((0, "Which fields are indexed cannot change while the dataset holds records."))
    if errors:
        raise InvalidInput(
            "The dataset holds records that were checked against the present fields.",
            errors=[FieldError(f"/fields/{n}", "in_use", text) for n, text in errors],
        )


@transaction.atomic
def archive(*, dataset: Dataset, actor: Actor) -> None:
    """Take a custom dataset out of use; its records stay. Raises Conflict for a built-in one."""
    if dataset.kind == Dataset.Kind.BUILTIN:
        raise Conflict(f"“{dataset.name}” is a built-in dataset and cannot be archived.")
    if Dataset.objects.filter(pk=dataset.pk, archived_at=None).update(archived_at=timezone.now()):
        entries.record(
            organization=dataset.organization, actor=actor, action="dataset.archived", target=dataset
        )


def fold_counts() -> int:
    """Fold each dataset's count deltas into one row; returns how many rows were folded away."""
    from django.db.models import Count, Sum

    folded = 0
    crowded = (
        DatasetCount.objects.values("dataset_id")
        .annotate(rows=Count("id"))
        .filter(rows__gt=20)
        .values_list("dataset_id")
    )
    for (dataset_id,) in list(crowded):
        with transaction.atomic():
            rows = list(
                DatasetCount.objects.select_for_update(skip_locked=True)
                .filter(dataset_id=dataset_id)
                .values_list("id", flat=True)[:5000]
            )
            total = DatasetCount.objects.filter(id__in=rows).aggregate(total=Sum("delta"))["total"] or 0
            DatasetCount.objects.filter(id__in=rows).delete()
            DatasetCount.objects.create(dataset_id=dataset_id, delta=total)
            folded += len(rows)
    return folded
