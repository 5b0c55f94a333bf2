"""Typed columns: how the values of a dataset's fields are shown in lists, pages and differences."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.kernel.admin import ago, badge, email_link, empty, json_block, link, muted, yes_no
from apps.kernel.admin.badges import tone_of
from apps.records.fields import Field, display
from apps.records.models import Dataset, Record

SHOWN = 7
CLIP = 120
LONG = 500
MASK = "••••••"

Column = Callable[[Record], Any]


def shown_fields(dataset: Dataset) -> list[Field]:
    """The fields that make a useful list: title, key, what is indexed, then what is short; seven at most."""
    fields = dataset.fields_by_name
    first = [fields[n] for n in dict.fromkeys((dataset.title_field, dataset.key_field)) if n in fields]
    indexed = [f for f in dataset.fields if f.name in dataset.slots]
    short = [f for f in dataset.fields if f.type != "json" and (f.max_length or 0) <= LONG]
    return list(dict.fromkeys([*first, *indexed, *short]))[:SHOWN]


def columns_of(dataset: Dataset) -> list[Column]:
    """What a list of the dataset's records shows, one callable per column."""
    zone = ZoneInfo(dataset.organization.timezone)
    columns = [
        _column(dataset, field, zone, first=position == 0)
        for position, field in enumerate(shown_fields(dataset))
    ]
    return [*columns, _updated]


def _updated(record: Record) -> SafeString:
    return ago(record.updated_at)


_updated.short_description = "Changed"  # type: ignore[attr-defined]


def _column(dataset: Dataset, field: Field, zone: dt.tzinfo, *, first: bool) -> Column:
    def column(record: Record) -> Any:
        value = record.data.get(field.name)
        if first:
            return display(value, field)[:CLIP] or str(record)
        return cell(value, field, zone)

    column.__name__ = f"value_{field.name}"
    column.short_description = field.title  # type: ignore[attr-defined]
    if field.name == dataset.key_field:
        column.admin_order_field = "key"  # type: ignore[attr-defined]
    elif field.name in dataset.slots:
        column.admin_order_field = dataset.slots[field.name]  # type: ignore[attr-defined]
    return column


def cell(value: Any, field: Field, zone: dt.tzinfo = dt.UTC) -> SafeString | str:
    """A value in one line, escaped."""
    if value is None or value == "":
        return empty()
    if field.sensitive:
        return muted(MASK)
    if field.type in ("integer", "decimal"):
        return format_html('<span class="hub-right">{}</span>', grouped(value))
    if field.type == "money" and isinstance(value, dict):
        return format_html(
            '<span class="hub-right">{} {}</span>',
            grouped(value.get("amount")),
            muted(value.get("currency", "")),
        )
    if field.type == "boolean":
        return yes_no(bool(value))
    if field.type == "date":
        return format_html('<span class="hub-nowrap">{}</span>', value)
    if field.type == "datetime":
        return format_html('<span class="hub-nowrap" title="{}">{}</span>', value, local(value, zone))
    if field.type == "email":
        return email_link(str(value))
    if field.type == "url":
        return link(str(value), _clip(str(value).split("://", 1)[-1], 40), new_tab=True)
    if field.type == "choice":
        return badge(display(value, field), tone_of(str(value)), dot=False)
    if field.type == "reference" and field.reference:
        address = reverse("admin:data_record", args=[field.reference, f"key:{value}"])
        return format_html('<a class="hub-link" href="{}">{}</a>', address, _clip(str(value)))
    return format_html('<span class="hub-clip" title="{0}">{0}</span>', _clip(display(value, field)))


def full(value: Any, field: Field, zone: dt.tzinfo = dt.UTC) -> SafeString | str:
    """A value as a page of its own shows it: whole."""
    if field.type == "json" and value is not None and not field.sensitive:
        return json_block(value, title=field.title)
    if field.type == "text" and isinstance(value, str) and not field.sensitive:
        return format_html('<span style="white-space:pre-wrap">{}</span>', value)
    return cell(value, field, zone)


def grouped(value: Any) -> str:
    """A number with thousands separators, its decimals as they are."""
    try:
        return f"{Decimal(str(value)):,f}"
    except (InvalidOperation, ValueError):
        return str(value)


def local(value: Any, zone: dt.tzinfo) -> str:
    """A canonical moment in the organization's zone, to the minute or, where it has them, seconds."""
    try:
        moment = dt.datetime.fromisoformat(str(value)).astimezone(zone)
    except (ValueError, OverflowError):
        return str(value)
    return f"{moment:%Y-%m-%d %H:%M}" if moment.second == 0 else f"{moment:%Y-%m-%d %H:%M:%S}"


def _clip(text: str, length: int = CLIP) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def title_of(record: Record, dataset: Dataset) -> str:
    """What a record is called: its title field, else its key, else its id."""
    field = dataset.fields_by_name.get(dataset.title_field)
    text = ""
    if field is not None and not field.sensitive:
        text = display(record.data.get(dataset.title_field), field)
    return _clip(text) or str(record)


def changed_values(
    fields: Sequence[Field], before: dict[str, Any] | None, after: dict[str, Any] | None
) -> dict[str, list[Any]]:
    """`{label: [before, after]}` of a change, readable; sensitive values only as changed."""
    known = {f.name: f for f in fields}
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys([*(before or {}), *(after or {})]):
        field = known.get(name)
        pair = [(before or {}).get(name), (after or {}).get(name)]
        if field is None:
            found[name] = pair
        elif field.sensitive:
            found[field.title] = [
                MASK if pair[0] is not None else None,
                MASK if pair[1] is not None else None,
            ]
        else:
            found[field.title] = [
                None if v is None else v if field.type == "json" else display(v, field) for v in pair
            ]
    return found
