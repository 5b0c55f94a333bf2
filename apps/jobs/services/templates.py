"""Files to fill in: a dataset's columns with an example, and in Excel with notes and drop-downs."""

from __future__ import annotations

import io
from typing import Any

import xlsxwriter

from apps.jobs.formats.writers import CsvWriter
from apps.jobs.statuses import FileType
from apps.records.fields import FIELD_TYPES, Field
from apps.records.models import Dataset, Record

ROWS_WITH_CHOICES = 10_000
OFFERED_REFERENCES = 1_000
_LIST_LIMIT = 250
"""Characters of a drop-down's choices within Excel's own limit of 255; longer lists go to a sheet."""

_SAMPLES: dict[str, Any] = {
    "text": "Example",
    "integer": 12,
    "decimal": "12.50",
    "money": "1250.75 EUR",
    "date": "2026-03-31",
    "datetime": "2026-03-31T14:30:00Z",
    "boolean": "yes",
    "email": "ada@example.com",
    "url": "https://example.com",
    "phone": "+49 30 1234567",
    "json": "{}",
}


def make(dataset: Dataset, format: str) -> bytes:
    """The template of a dataset as a file's bytes; `format` is csv or xlsx."""
    return _workbook(dataset) if format == FileType.XLSX else _csv(dataset)


def sample_of(field: Field) -> Any:
    """A value that the field accepts."""
    if field.choices:
        return field.choices[0][0]
    if field.type == "reference":
        return "" if not field.required else "A1"
    value = _SAMPLES.get(field.type, "")
    if field.type == "money":
        return f"1250.75 {field.currency or 'EUR'}"
    if field.type == "text":
        value = (
            "EUR" if field.pattern == "[A-Z]{3}" else "" if field.pattern and not field.required else value
        )
        return value[: field.max_length] if field.max_length else value
    if field.type in ("integer", "decimal") and field.minimum is not None:
        return str(field.minimum)
    return value


def note_of(field: Field, *, is_key: bool) -> str:
    """What to know before filling in the column."""
    kind = FIELD_TYPES[field.type].label
    parts = [f"{field.title}: {kind}."]
    if is_key:
        parts.append("Tells the records apart: the same value means the same record.")
    elif field.required:
        parts.append("Required.")
    if field.unique and not is_key:
        parts.append("No two records may have the same.")
    if field.choices:
        parts.append("One of " + ", ".join(value for value, _ in field.choices) + ".")
    if field.reference:
        parts.append(f"The key of a record in “{field.reference}”.")
    if field.minimum is not None or field.maximum is not None:
        low = f"at least {field.minimum}" if field.minimum is not None else ""
        high = f"at most {field.maximum}" if field.maximum is not None else ""
        parts.append(f"Must be {' and '.join(filter(None, (low, high)))}.")
    if field.max_length:
        parts.append(f"At most {field.max_length:,} characters.")
    if field.help:
        parts.append(field.help)
    return " ".join(parts)


def _csv(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    writer = CsvWriter(file, [field.name for field in dataset.fields])
    writer.write([[sample_of(field) for field in dataset.fields]])
    writer.close()
    return file.getvalue()


def _workbook(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"strings_to_formulas": False, "strings_to_urls": False})
    sheet = book.add_worksheet(dataset.slug[:31])
    usual = book.add_format({"bold": True, "bg_color": "#E2E8F0", "bottom": 1})
    needed = book.add_format({"bold": True, "bg_color": "#FDE68A", "bottom": 1})
    example = book.add_format({"italic": True, "font_color": "#64748B"})
    as_text = book.add_format({"num_format": "@"})
    lists = None
    sheet.freeze_panes(1, 0)
    for index, field in enumerate(dataset.fields):
        is_key = field.name == dataset.key_field
        keeps_text = field.type not in ("integer", "decimal")
        sheet.set_column(index, index, min(40, max(14, len(field.name) + 4)), as_text if keeps_text else None)
        sheet.write_string(0, index, field.name, needed if field.required or is_key else usual)
        sheet.write_comment(0, index, note_of(field, is_key=is_key), {"x_scale": 2})
        sheet.write_string(1, index, str(sample_of(field)), example)
        choices = _choices(dataset, field)
        if not choices:
            continue
        source: Any = choices
        if len(",".join(choices)) > _LIST_LIMIT or any("," in choice for choice in choices):
            if lists is None:
                lists = book.add_worksheet("Choices")
                lists.hide()
            lists.write_column(0, index, choices)
            column = xlsxwriter.utility.xl_col_to_name(index)
            source = f"=Choices!${column}$1:${column}${len(choices)}"
        # Records may have come since: what is not in their list is checked by the import.
        rule = {"validate": "list", "source": source, "show_error": field.type != "reference"}
        sheet.data_validation(1, index, ROWS_WITH_CHOICES, index, rule)
    _instructions(book, dataset)
    book.close()
    return file.getvalue()


def _choices(dataset: Dataset, field: Field) -> list[str]:
    """What the column's drop-down offers: for a reference the first keys of the other dataset."""
    if field.type == "boolean":
        return ["yes", "no"]
    if field.type == "reference" and field.reference:
        others = Record.objects.filter(
            dataset__organization_id=dataset.organization_id,
            dataset__slug=field.reference,
            deleted_at=None,
            key__isnull=False,
        )
        keys = others.order_by("key").values_list("key", flat=True)[:OFFERED_REFERENCES]
        return [str(key) for key in keys]
    return [value for value, _ in field.choices]


def _instructions(book: Any, dataset: Dataset) -> None:
    sheet = book.add_worksheet("Instructions")
    bold = book.add_format({"bold": True})
    wrap = book.add_format({"text_wrap": True, "valign": "top"})
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 90)
    sheet.write_string(0, 0, f"How to fill in “{dataset.name}”", bold)
    lines = [
        "Write one record per row on the first sheet, and overwrite the example in its second row "
        "(left as it is, it is passed over).",
        "Keep the first row: it names the columns. Those that you do not need may be deleted or left empty.",
        "Columns with a yellow header must be filled in.",
        "Write dates as 2026-03-31 and numbers with a point before the decimals.",
    ]
    for row, line in enumerate(lines, start=1):
        sheet.write_string(row, 1, line, wrap)
    for row, field in enumerate(dataset.fields, start=len(lines) + 2):
        sheet.write_string(row, 0, field.name, bold)
        sheet.write_string(row, 1, note_of(field, is_key=field.name == dataset.key_field), wrap)
