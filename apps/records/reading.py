"""Reading many records at once, for those who send them out: any filter, any order, page by page.

What an index answers is left to `selectors.filtered`; conditions on other fields are tested on each record
that is read, with the same meaning: a list may ask for what is quick only, an export reads everything once.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from django.db import connections
from django.db.models import ExpressionWrapper, F, QuerySet, TextField
from django.utils.dateparse import parse_date, parse_datetime

from apps.kernel import ids
from apps.kernel.errors import BadRequest, FieldError
from apps.records import selectors
from apps.records.fields import FIELD_TYPES, Field, ValueProblem, display, sorter
from apps.records.models import Change, Dataset, Record
from apps.records.models.history import taken_back

PAGE = 4_000
LOOKUPS = (*selectors.LOOKUPS, "contains", "ne", "isnull")
"""Of any field. Texts compare without case; a list equals and contains each value that it holds."""
MOMENTS = ("created_since", "created_before", "updated_since", "updated_before")
TIMES = {"created_at": "id", "updated_at": "updated_at", "id": "id"}

Data = dict[str, Any]
Test = Callable[[Data], bool]


@dataclass(frozen=True)
class Selection:
    """Which records: the rows that the database finds, and what is tested on each of them besides."""

    rows: QuerySet[Record]
    tests: tuple[Test, ...] = ()

    def keeps(self, data: Data) -> bool:
        return all(test(data) for test in self.tests)


def select(
    dataset: Dataset,
    filters: Mapping[str, str] | None = None,
    *,
    search: str = "",
    ordering: str = "",
    include_deleted: bool = False,
) -> Selection:
    """The records that satisfy all filters, by several fields in order (`status,-name`).

    Filters are those of `selectors.filtered`, on every field, with more lookups, and `MOMENTS`: times, or
    days in the organization's time zone. Raises BadRequest that names what is wrong.
    """
    indexed: dict[str, str] = {}
    tests: list[Test] = []
    ranges: dict[str, Any] = {}
    for parameter, value in (filters or {}).items():
        name, _, lookup = parameter.partition("__")
        if parameter in MOMENTS:
            ranges |= _range(dataset, parameter, value)
        elif name in selectors.filterable(dataset) and (not lookup or lookup in selectors.LOOKUPS):
            indexed[parameter] = value
        else:
            tests.append(_test(dataset, parameter, value))
    rows = selectors.filtered(dataset, indexed, search=search, include_deleted=include_deleted)
    return Selection(rows.filter(**ranges).order_by(*_columns(dataset, ordering)), tuple(tests))


def orderable(dataset: Dataset) -> list[str]:
    """The names that `ordering` may hold."""
    return [*selectors.filterable(dataset), *TIMES]


def _columns(dataset: Dataset, ordering: str) -> list[str]:
    found: list[str] = []
    for part in ordering.split(","):
        sign, name = ("-", part.strip()[1:]) if part.strip().startswith("-") else ("", part.strip())
        if not name:
            continue
        column = {**selectors.filterable(dataset), **TIMES}.get(name)
        if column is None:
            raise BadRequest(
                f"“{dataset.slug}” cannot be ordered by “{name[:60]}”. "
                f"Possible: {', '.join(sorted(orderable(dataset)))}.",
                errors=[
                    FieldError("/ordering", "unknown_ordering", "Only indexed fields can be ordered by.")
                ],
            )
        found.append(sign + column)
    if not found:
        return ["-id"]
    if found[-1].lstrip("-") != "id":
        found.append("-id" if found[-1].startswith("-") else "id")
    return found


def _range(dataset: Dataset, parameter: str, value: str) -> dict[str, Any]:
    """The condition of one of MOMENTS: `since` includes its moment, `before` does not."""
    zone = ZoneInfo(dataset.organization.timezone)
    try:
        moment = parse_datetime(value) if "T" in value or " " in value else None
        day = parse_date(value) if moment is None else None
    except ValueError:
        moment = day = None
    if day is not None:
        moment = dt.datetime.combine(day, dt.time(), zone)
    if moment is None or moment.tzinfo is None:
        raise BadRequest(
            f"“{parameter}” must be a day such as 2026-03-01, or a time with a zone such as "
            "2026-03-01T00:00:00Z.",
            errors=[FieldError(f"/{parameter}", "not_a_datetime", "Neither a day nor an RFC 3339 time.")],
        )
    what, _, edge = parameter.partition("_")
    lookup = "gte" if edge == "since" else "lt"
    if what == "created":
        return {f"id__{lookup}": ids.floor_of(moment)}
    return {f"updated_at__{lookup}": moment}


def _test(dataset: Dataset, parameter: str, value: str) -> Test:
    name, _, lookup = parameter.partition("__")
    field = dataset.fields_by_name.get(name)
    if field is None or (lookup and lookup not in LOOKUPS):
        raise BadRequest(
            f"“{parameter[:80]}” is no filter of “{dataset.slug}”.",
            errors=[
                FieldError(f"/{parameter[:80]}", "unknown_filter", "A field's name, or name__lookup, with "
                f"one of {', '.join(LOOKUPS)}; or one of {', '.join(MOMENTS)}.")
            ],
        )  # fmt: skip
    if lookup == "isnull":
        if value.lower() not in ("true", "false"):
            raise _wrong(parameter, "not_a_boolean", "isnull is true or false.")
        wanted = value.lower() == "true"
        return lambda data: (data.get(name) in (None, "", [], {})) is wanted
    if field.type == "json":
        return _list_test(field, lookup, value)
    if lookup in ("contains", "startswith"):
        return _text_test(field, lookup, value.strip().casefold())
    return _order_test(field, lookup, value, parameter)


def _text_test(field: Field, lookup: str, part: str) -> Test:
    def text(data: Data) -> str:
        return display(data.get(field.name), field).casefold()

    if lookup == "contains":
        return lambda data: part in text(data)
    return lambda data: text(data).startswith(part)


def _list_test(field: Field, lookup: str, value: str) -> Test:
    """Of a list of words, such as tags: whether it holds the word, or with `in` one of several."""
    words = {part.strip().casefold() for part in (value.split(",") if lookup == "in" else [value])}
    if lookup not in ("", "in", "contains", "ne"):
        raise _wrong(f"{field.name}__{lookup}", "unknown_filter", "A list can be asked for what it contains.")

    def holds(data: Data) -> bool:
        found = data.get(field.name)
        items = found if isinstance(found, list) else [] if found is None else [found]
        return any(str(item).casefold() in words for item in items)

    return (lambda data: not holds(data)) if lookup == "ne" else holds


def _order_test(field: Field, lookup: str, value: str, parameter: str) -> Test:
    sort = sorter(field)

    def text_of(part: str) -> str:
        try:
            return sort(FIELD_TYPES[field.type].parse(part, field)) or ""
        except ValueProblem as problem:
            raise _wrong(parameter, problem.code, problem.message) from problem

    def own(data: Data) -> str:
        return sort(data.get(field.name)) or ""

    if lookup == "in":
        several = {text_of(part) for part in value.split(",") if part.strip()}
        return lambda data: own(data) in several
    bound = text_of(value) if value.strip() else ""
    tests: dict[str, Test] = {
        "": lambda data: own(data) == bound,
        "ne": lambda data: own(data) != bound,
        "gte": lambda data: own(data) >= bound,
        "lte": lambda data: "" < own(data) <= bound,
        "gt": lambda data: own(data) > bound,
        "lt": lambda data: "" < own(data) < bound,
    }
    return tests[lookup]


def _wrong(parameter: str, code: str, message: str) -> BadRequest:
    return BadRequest(
        f"The filter “{parameter[:80]}” has a wrong value: {message}",
        errors=[FieldError(f"/{parameter[:80]}", code, message)],
    )


@dataclass(slots=True)
class Page:
    """Some records: their values, and (only if asked for) id, version, created, changed, deleted."""

    read: int
    data: list[Data]
    meta: list[tuple[Any, ...]]


META = ("id", "version", "created_at", "updated_at", "deleted_at")


def pages(
    selection: Selection, *, using: str, meta: bool, size: int = PAGE, limit: int | None = None
) -> Iterator[Page]:
    """All records of the selection in order, or the first; no more than `size` of them are held at a time.

    `read` counts what the database gave; `data` holds what the tests kept of it.
    """
    raw = ExpressionWrapper(F("data"), output_field=TextField())
    rows = selection.rows.using(using).annotate(raw=raw)
    names = ("raw", *META) if meta else ("raw",)
    found: Iterator[tuple[Any, ...]] = rows.values_list(*names)[:limit].iterator(chunk_size=size)
    for part in _parts(found, size, ahead=connections[using].vendor == "postgresql"):
        data: list[Data] = orjson.loads("[" + ",".join([row[0] for row in part]) + "]")
        about = [row[1:] for row in part] if meta else []
        if selection.tests:
            kept = [n for n, values in enumerate(data) if selection.keeps(values)]
            data = [data[n] for n in kept]
            about = [about[n] for n in kept] if meta else []
        yield Page(len(part), data, about)


def _parts(found: Iterator[tuple[Any, ...]], size: int, *, ahead: bool) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in parts. `ahead`: a thread asks the server for the next part while one is worked on.

    The first is read here, for that opens the cursor: connections belong to the thread that asks for them.
    """
    part = list(islice(found, size))
    if not ahead or len(part) < size:
        while part:
            yield part
            part = list(islice(found, size))
        return
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader:
        while part:
            coming = reader.submit(lambda: list(islice(found, size)))
            yield part
            part = coming.result()


def by_keys(dataset: Dataset, keys: Iterable[str], *, using: str) -> dict[str, Data]:
    """The values of the live records with these keys, in a few statements."""
    wanted = sorted(set(keys))
    found: dict[str, Data] = {}
    for start in range(0, len(wanted), 500):
        rows = Record.objects.using(using).filter(
            dataset_id=dataset.pk, deleted_at=None, key__in=wanted[start : start + 500]
        )
        found.update((key, data) for key, data in rows.values_list("key", "data") if key)
    return found


def changes_of(records: Iterable[tuple[UUID, Data]], *, using: str) -> dict[UUID, list[dict[str, Any]]]:
    """The history of each of these records, oldest first, with who did it; in a few statements."""
    now = dict(records)
    found: dict[UUID, list[dict[str, Any]]] = {pk: [] for pk in now}
    keys = list(now)
    names = (
        "id", "record_id", "operation", "version", "before", "written", "created_at", "undone_by",
        "origin__kind", "origin__ref", "origin__label",
    )  # fmt: skip
    for start in range(0, len(keys), 500):
        part = keys[start : start + 500]
        rows = Change.objects.using(using).filter(record__in=part).order_by("-id").values_list(*names)
        for pk, record, operation, version, before, after, at, undone, kind, ref, label in rows:
            if operation == Change.Operation.CREATED and after is None:
                after = now[record]  # what it is now, less all later changes, which were met before this
            elif operation in (Change.Operation.UPDATED, Change.Operation.RESTORED):
                now[record] = taken_back(now[record], before, after)
            found[record].append(
                {
                    "id": ids.public(Change.PREFIX, pk),
                    "operation": operation,
                    "version": version,
                    "at": at,
                    "by": label or f"{kind} {ref}",
                    "before": before,
                    "after": after,
                    "undone": undone is not None,
                }
            )
    for several in found.values():
        several.reverse()
    return found
