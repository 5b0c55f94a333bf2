"""Reads of records: everything that goes out goes through here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Q, QuerySet, Sum
from django.utils.dateparse import parse_datetime

from apps.kernel import ids
from apps.kernel.errors import BadRequest, FieldError, NotFound
from apps.records.fields import FIELD_TYPES, Field, ValueProblem, json_schema
from apps.records.models import Change, Dataset, DatasetCount, Origin, Record
from apps.tenants.models import Organization

LOOKUPS = ("gte", "lte", "gt", "lt", "in", "startswith")
FEW_HITS = 10_000


def datasets_of(organization: Organization) -> QuerySet[Dataset]:
    """The datasets in use, by name."""
    return Dataset.objects.filter(organization=organization, archived_at=None).order_by("name")


def dataset_of(organization: Organization, slug: str) -> Dataset:
    """One dataset. Raises NotFound."""
    dataset = (
        Dataset.objects.select_related("organization")
        .filter(organization=organization, slug=slug, archived_at=None)
        .first()
    )
    if dataset is None:
        raise NotFound(f"There is no dataset “{slug[:60]}”.")
    return dataset


def json_schema_of(dataset: Dataset) -> dict[str, Any]:
    """JSON Schema 2020-12 of one record's values."""
    return json_schema(dataset.slug, dataset.fields)


def live(dataset: Dataset) -> QuerySet[Record]:
    """The records that are not deleted."""
    return Record.objects.filter(dataset=dataset, deleted_at=None)


def count(dataset: Dataset) -> int:
    """How many live records there are: the sum of a few rows, whatever the number."""
    total = DatasetCount.objects.filter(dataset=dataset).aggregate(total=Sum("delta"))["total"]
    return int(total or 0)


def counts(organization: Organization) -> dict[Any, int]:
    """Live records of every dataset of the organization, by the dataset's primary key."""
    rows = (
        DatasetCount.objects.filter(dataset__organization=organization)
        .values_list("dataset_id")
        .annotate(total=Sum("delta"))
        .order_by()
    )
    return dict(rows)


def record_of(dataset: Dataset, ref: str) -> Record:
    """One live record by its public id, or by `key:<value of the key field>`. Raises NotFound."""
    rows = live(dataset).select_related("dataset__organization")
    record = None
    if ref.startswith("key:"):
        record = rows.filter(key=ref[4:]).first()
    else:
        pk = Record.parse_public_id(ref)
        if pk is not None:
            record = rows.filter(pk=pk).first()
    if record is None:
        raise NotFound(f"There is no record “{ref[:120]}” in “{dataset.slug}”.")
    return record


def latest_changes(datasets: Sequence[UUID], each: int) -> list[UUID]:
    """The newest changes of each dataset, put together, newest first.

    The parts of the view are asked by themselves, each answered in order by an index: SQLite would sort the
    view where it stands in a subquery.
    """
    if not datasets:
        return []
    created = "records_record WHERE origin_id IS NOT NULL AND deleted_at IS {} AND"
    sources = ("records_change WHERE", created.format("NULL"), created.format("NOT NULL"))
    newest = "SELECT {} AS place, id FROM {} dataset_id = %s ORDER BY id DESC LIMIT %s"
    parts = [
        f"SELECT * FROM ({newest.format(place, source)}) AS part"  # noqa: S608
        for place in range(len(datasets))
        for source in sources
    ]
    as_stored = Change._meta.get_field("dataset").get_db_prep_value
    values = [value for pk in datasets for value in (as_stored(pk, connection), each) * len(sources)]
    found: dict[int, list[UUID]] = {}
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts), values)
        for place, pk in cursor.fetchall():
            found.setdefault(place, []).append(UUID(str(pk)))
    return sorted((pk for some in found.values() for pk in nlargest(each, some)), reverse=True)


def history_of(record: Record) -> QuerySet[Change]:
    """The record's changes, newest first."""
    return Change.objects.filter(record=record).select_related("origin").order_by("-id")


def origin_of(organization: Organization, ref: str) -> Origin:
    """An origin by its public id. Raises NotFound."""
    pk = Origin.parse_public_id(ref)
    origin = (
        Origin.objects.select_related("organization").filter(organization=organization, pk=pk).first()
        if pk
        else None
    )
    if origin is None:
        raise NotFound(f"There is no origin “{ref[:60]}”.")
    return origin


def filterable(dataset: Dataset) -> dict[str, str]:
    """Field → the column that answers filters and sorts on it."""
    columns = dict(dataset.slots)
    if dataset.key_field:
        columns[dataset.key_field] = "key"
    return columns


def _sort_text(field: Field, value: str, parameter: str, column: str) -> str:
    kind = FIELD_TYPES[field.type]
    try:
        canonical = kind.parse(value, field)
    except ValueProblem as problem:
        raise BadRequest(
            f"The filter “{parameter}” has a wrong value: {problem.message}",
            errors=[FieldError(f"/{parameter}", problem.code, problem.message)],
        ) from problem
    return str(canonical) if column == "key" else kind.sort_text(canonical, field)


def prefix_range(column: str, text: str) -> Q:
    """Values that begin with `text`, as a range that an index answers (order is by code point)."""
    return Q(**{f"{column}__gte": text, f"{column}__lt": text + "\U0010ffff"})


def _condition(dataset: Dataset, parameter: str, value: str) -> Q:
    name, _, lookup = parameter.partition("__")
    columns = filterable(dataset)
    if name not in columns or (lookup and lookup not in LOOKUPS):
        allowed = ", ".join(sorted(columns)) or "none"
        raise BadRequest(
            f"“{parameter}” is no filter of “{dataset.slug}”. Fields that can be filtered: {allowed}.",
            errors=[FieldError(f"/{parameter}", "unknown_filter", "Only indexed fields can be filtered.")],
        )
    column, field = columns[name], dataset.fields_by_name[name]
    if lookup == "startswith":
        return prefix_range(column, value if column == "key" else value.strip().casefold()[:190])
    if lookup == "in":
        parts = [part for part in value.split(",") if part]
        return Q(**{f"{column}__in": [_sort_text(field, part, parameter, column) for part in parts]})
    if not value.strip() and column != "key":
        return Q(**{column: ""})
    suffix = f"__{lookup}" if lookup else ""
    return Q(**{column + suffix: _sort_text(field, value, parameter, column)})


def search_condition(dataset: Dataset, text: str) -> Q:
    """Records whose key, or an indexed text, begins with `text`.

    Neither database combines the indexes of several columns by itself well enough. Where each column has few
    hits their keys are gathered index by index; where one has many, walking the records in order soon meets
    enough of them.
    """
    text = text.strip()
    folded = text.casefold()[:190]
    parts = [prefix_range("key", text)]
    for name, column in dataset.slots.items():
        if dataset.fields_by_name[name].type in ("text", "email", "choice", "reference", "phone", "url"):
            parts.append(prefix_range(column, folded))
    rows = Record.objects.filter(dataset=dataset).order_by()
    found = [rows.filter(part).values("pk") for part in parts]
    if all(hits[: FEW_HITS + 1].count() <= FEW_HITS for hits in found):
        return Q(pk__in=found[0].union(*found[1:]) if len(found) > 1 else found[0])
    condition = parts[0]
    for part in parts[1:]:
        condition |= part
    return condition


def order_columns(dataset: Dataset, ordering: str) -> str:
    """The column of an ordering such as `-name`; `id` (time of creation) by default. Raises BadRequest."""
    if not ordering:
        return "-id"
    sign, name = ("-", ordering[1:]) if ordering.startswith("-") else ("", ordering)
    columns = {**filterable(dataset), "id": "id", "created_at": "id"}
    if name not in columns:
        raise BadRequest(
            f"“{dataset.slug}” cannot be ordered by “{name}”. Possible: {', '.join(sorted(columns))}.",
            errors=[FieldError("/ordering", "unknown_ordering", "Only indexed fields can be ordered by.")],
        )
    return sign + columns[name]


def filtered(
    dataset: Dataset,
    filters: Mapping[str, str] | None = None,
    *,
    search: str = "",
    ordering: str = "",
    include_deleted: bool = False,
) -> QuerySet[Record]:
    """The records that satisfy the filters, in order; every condition is answered by an index.

    Filters name indexed fields, with the lookups gte, lte, gt, lt, in and startswith, and `updated_since`,
    `created_since`. Texts compare without case. Raises BadRequest for any other name or a value of the
    wrong type.
    """
    rows = Record.objects.filter(dataset=dataset) if include_deleted else live(dataset)
    for parameter, value in (filters or {}).items():
        if parameter in ("updated_since", "created_since"):
            moment = parse_datetime(value)
            if moment is None or moment.tzinfo is None:
                raise BadRequest(
                    f"“{parameter}” must be an RFC 3339 time with a zone, such as 2026-03-01T00:00:00Z.",
                    errors=[FieldError(f"/{parameter}", "not_a_datetime", "Not an RFC 3339 time.")],
                )
            floor = ids.floor_of(moment)
            if parameter == "created_since":
                rows = rows.filter(id__gte=floor)
            else:
                changed = Change.objects.filter(dataset=dataset, id__gte=floor).values("record_id")
                rows = rows.filter(id__in=changed)
        else:
            rows = rows.filter(_condition(dataset, parameter, value))
    if search.strip():
        rows = rows.filter(search_condition(dataset, search))
    column = order_columns(dataset, ordering)
    if column.lstrip("-") == "id":
        return rows.order_by(column)
    return rows.order_by(column, "-id" if column.startswith("-") else "id")
