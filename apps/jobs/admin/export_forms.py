"""The forms of an export: which records, which columns, in which form."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.http import QueryDict
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.jobs.formats.out_csv import ENCODINGS
from apps.jobs.models import ExportTemplate, Job
from apps.jobs.services.export_columns import choices_of
from apps.jobs.services.exports import DEFAULTS, MAX_PASSWORD
from apps.jobs.statuses import EXPORTABLE_CHOICES, Compression
from apps.kernel.admin import SecretInput
from apps.kernel.admin.widgets import NativeDate
from apps.records import reading, selectors
from apps.records.models import Dataset

CONDITIONS = 4
SORTS = 3
LOOKUPS = [
    ("", "is"),
    ("ne", "is not"),
    ("in", "is one of (with commas)"),
    ("contains", "contains"),
    ("startswith", "begins with"),
    ("gte", "is at least, from"),
    ("lte", "is at most, until"),
    ("gt", "is more than, after"),
    ("lt", "is less than, before"),
    ("isnull", "is empty (true or false)"),
]
DELIMITERS = [(",", "Comma"), (";", "Semicolon"), ("\t", "Tab"), ("|", "Vertical bar")]


def _select(label: str, choices: Any, **options: Any) -> forms.ChoiceField:
    return forms.ChoiceField(
        label=label, choices=choices, required=False, widget=UnfoldAdminSelectWidget, **options
    )


def _text(label: str, **options: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, widget=UnfoldAdminTextInputWidget, **options)


def _day(label: str) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=NativeDate())


def _switch(label: str, help_text: str = "") -> forms.BooleanField:
    return forms.BooleanField(
        label=label, required=False, help_text=help_text, widget=UnfoldBooleanSwitchWidget
    )


class WhichForm(forms.Form):
    """Which records: begin of a text, choices, days, and any further conditions."""

    search = _text("Begins with", max_length=200, help_text="The key, or an indexed text.")
    created_from, created_to = _day("Created from"), _day("Created until")
    updated_from, updated_to = _day("Changed from"), _day("Changed until")

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        for field in dataset.fields:
            options = [("true", "Yes"), ("false", "No")] if field.type == "boolean" else list(field.choices)
            if options:
                self.fields[f"where-{field.name}"] = _select(field.title, [("", "any"), *options])
        names = [("", "–"), *((field.name, field.title) for field in dataset.fields)]
        for n in range(CONDITIONS):
            self.fields[f"field-{n}"] = _select(f"Field of condition {n + 1}", names)
            self.fields[f"lookup-{n}"] = _select(f"How of condition {n + 1}", LOOKUPS)
            self.fields[f"value-{n}"] = _text(f"Value of condition {n + 1}", max_length=500)

    def simple(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name[-2:-1] != "-" or name.startswith("where-")]

    def conditions(self) -> list[tuple[forms.BoundField, forms.BoundField, forms.BoundField]]:
        return [(self[f"field-{n}"], self[f"lookup-{n}"], self[f"value-{n}"]) for n in range(CONDITIONS)]

    def filters(self) -> dict[str, str]:
        """As `apps.records.reading.select` takes them."""
        given = self.cleaned_data
        found = {
            name.removeprefix("where-"): value
            for name, value in given.items()
            if name.startswith("where-") and value
        }
        for what in ("created", "updated"):
            if given.get(f"{what}_from"):
                found[f"{what}_since"] = given[f"{what}_from"].isoformat()
            if given.get(f"{what}_to"):
                found[f"{what}_before"] = (given[f"{what}_to"] + dt.timedelta(days=1)).isoformat()
        for n in range(CONDITIONS):
            name, lookup = given.get(f"field-{n}"), given.get(f"lookup-{n}")
            if name:
                found[f"{name}__{lookup}" if lookup else name] = given.get(f"value-{n}", "")
        return found

    @staticmethod
    def initial_of(dataset: Dataset, filters: Mapping[str, str]) -> dict[str, Any]:
        """The inputs that say these filters."""
        found: dict[str, Any] = {}
        n = 0
        for parameter, value in filters.items():
            what, _, edge = parameter.partition("_")
            name, _, lookup = parameter.partition("__")
            field = dataset.fields_by_name.get(name)
            if parameter in reading.MOMENTS:
                day = value[:10]
                if edge == "before":
                    try:
                        day = (dt.date.fromisoformat(day) - dt.timedelta(days=1)).isoformat()
                    except (ValueError, OverflowError):
                        continue
                found[f"{what}_{'from' if edge == 'since' else 'to'}"] = day
            elif field is not None and not lookup and (field.choices or field.type == "boolean"):
                found[f"where-{name}"] = value
            elif field is not None and n < CONDITIONS:
                found |= {f"field-{n}": name, f"lookup-{n}": lookup, f"value-{n}": value}
                n += 1
        return found


class HowForm(forms.Form):
    """In which form: order, what goes along, the file."""

    name = _text("Name", max_length=200, help_text="To find this export again, and to repeat it.")
    format = forms.ChoiceField(label="Format", choices=EXPORTABLE_CHOICES, widget=UnfoldAdminSelectWidget)
    labels = _switch("Labels as headers", "Off: the fields' names, which an import recognizes for sure.")
    include_related = _switch("Names of related records", "Such as the client's name beside its id.")
    include_metadata = _switch("Ids, versions and times")
    include_audit_trail = _switch(
        "History", "Every change: a sheet, a file beside, or nested in JSON and XML."
    )
    include_attachments = _switch("Attachments", "The files that the hub holds for the records, as ZIP.")
    include_deleted = _switch("Deleted records too")
    delimiter = _select("Columns of CSV are separated by", DELIMITERS)
    encoding = _select("Letters of CSV", list(ENCODINGS.items()))
    bom = _switch("Mark UTF-8 for Excel", "A byte order mark in front of CSV.")
    quote_all = _switch("Quotes around every cell of CSV")
    compression = _select("Packed as", Compression.choices)
    password = forms.CharField(
        label="Password",
        required=False,
        strip=False,
        max_length=MAX_PASSWORD,
        widget=SecretInput({"placeholder": "none"}),
        help_text="Makes a ZIP with AES-256. Forgotten when the file is written: note it down.",
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        titles = {"created_at": "Created", "updated_at": "Changed"}
        names = [name for name in reading.orderable(dataset) if name != "id"]
        sorts = [("", "–")]
        for name in names:
            title = titles.get(name) or dataset.fields_by_name[name].title
            sorts += [(name, f"{title}, rising"), (f"-{name}", f"{title}, falling")]
        for n in range(SORTS):
            self.fields[f"sort-{n}"] = _select("Sorted by" if n == 0 else "then by", sorts)

    def part(self, *names: str) -> list[forms.BoundField]:
        return [self[name] for name in names]

    def main(self) -> list[forms.BoundField]:
        return self.part("format", "name", *(f"sort-{n}" for n in range(SORTS)))

    def along(self) -> list[forms.BoundField]:
        return self.part("labels", *(name for name in self.fields if name.startswith("include_")))

    def file(self) -> list[forms.BoundField]:
        return self.part("delimiter", "encoding", "bom", "quote_all", "compression", "password")

    def settings(self) -> dict[str, Any]:
        """As `exports.create` takes them, without the columns."""
        given = self.cleaned_data
        found = {name: given[name] for name in DEFAULTS if name in given}
        sorts = [given[f"sort-{n}"] for n in range(SORTS) if given.get(f"sort-{n}")]
        return {
            **found,
            "delimiter": "" if given["delimiter"] == "," else given["delimiter"],
            "encoding": given["encoding"] or "utf-8",
            "ordering": ",".join(sorts),
        }


@dataclass(frozen=True)
class ColumnRow:
    """One line of the table of columns."""

    name: str
    title: str
    chosen: bool
    place: int
    header: str
    is_own: bool


def column_rows(dataset: Dataset, chosen: list[str], headers: Mapping[str, str]) -> list[ColumnRow]:
    """All possible columns: the chosen ones first, in their order."""
    possible = dict(choices_of(dataset))
    order = [name for name in chosen if name in possible]
    rest = [name for name in possible if name not in order]
    return [
        ColumnRow(
            name, possible[name], name in order, n, headers.get(name, ""), name in dataset.fields_by_name
        )
        for n, name in enumerate([*order, *rest], start=1)
    ]


def columns_given(post: QueryDict) -> tuple[list[str], dict[str, str]]:
    """The chosen columns by their numbers, and what they are to be called."""

    def place(name: str) -> tuple[int, int]:
        text = post.get(f"place-{name}", "")
        return (int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 99_999, 0)

    names = sorted(dict.fromkeys(post.getlist("columns")), key=place)
    return names, {name: text for name in names if (text := post.get(f"header-{name}", "").strip()[:200])}


Begun = tuple[dict[str, Any], dict[str, str], list[str], dict[str, str]]
"""With what a form begins: inputs, filters, columns in order, headers."""


def initial_of_job(job: Job) -> Begun:
    """How an earlier export was ordered: settings, filters, columns, headers."""
    settings = {**DEFAULTS, **job.export_settings}
    sorts = {f"sort-{n}": part for n, part in enumerate(settings["ordering"].split(",")[:SORTS])}
    initial = {**settings, **sorts, "delimiter": settings["delimiter"] or ",", "name": job.name}
    initial["search"] = job.filters.get("search", "")
    return initial, dict(job.filters.get("fields", {})), list(settings["columns"]), dict(settings["headers"])


def initial_of_template(template: ExportTemplate) -> Begun:
    """How a saved export begins; its name is not that of the export."""
    options = {**DEFAULTS, **template.options}
    sorts = {f"sort-{n}": part for n, part in enumerate(options["ordering"].split(",")[:SORTS])}
    initial = {**options, **sorts, "delimiter": options["delimiter"] or ",", "name": template.name}
    return initial, dict(options["filters"]), list(options["columns"]), dict(options["headers"])


def initial_of_list(dataset: Dataset, query: QueryDict) -> Begun:
    """What a list shows: its filters, search, order and columns, out of its address."""
    known = selectors.filterable(dataset)
    filters = {
        name: str(value)
        for name, value in query.items()
        if value and name.partition("__")[0] in known and name not in ("dataset", "columns", "search")
    }
    columns = [name for name in query.get("columns", "").split(",") if name in dataset.fields_by_name]
    initial: dict[str, Any] = {**DEFAULTS, "delimiter": ",", "search": query.get("search", "")[:200]}
    initial["sort-0"] = query.get("ordering", "")[:80]
    return initial, filters, columns, {}
