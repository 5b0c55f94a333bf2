"""The forms in which a custom dataset is defined: its names, and one row for each typed field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from apps.kernel.admin import MonoTextInput
from apps.kernel.errors import FieldError
from apps.records.fields import FIELD_TYPES, Field

ICONS = (
    "database", "domain", "contacts", "group", "work", "description", "task", "event", "inventory_2",
    "shopping_cart", "receipt_long", "local_shipping", "location_on", "school", "medical_services", "gavel",
    "account_balance", "payments", "construction", "directions_car", "home_work", "pets", "restaurant",
    "science", "sell", "support_agent", "devices", "campaign", "folder", "star",
)  # fmt: skip

_TEXTS = frozenset({"text", "email", "url", "phone", "reference"})
_NUMBERS = frozenset({"integer", "decimal", "money"})
_TIMES = frozenset({"date", "datetime"})
# Which options each type has; the form shows only these and sends only these.
APPLIES: dict[str, frozenset[str]] = {
    "max_length": _TEXTS,
    "min_length": _TEXTS,
    "pattern": _TEXTS,
    "minimum": _NUMBERS | _TIMES,
    "maximum": _NUMBERS | _TIMES,
    "max_digits": frozenset({"decimal", "money"}),
    "decimal_places": frozenset({"decimal", "money"}),
    "currency": frozenset({"money"}),
    "format": _TIMES | {"phone"},
    "choices": frozenset({"choice"}),
    "reference": frozenset({"reference"}),
    "indexed": frozenset(FIELD_TYPES) - {"json"},
    "unique": frozenset(FIELD_TYPES) - {"json"},
    "default": frozenset(FIELD_TYPES) - {"json"},
}
_NUMBER_OPTIONS = ("max_length", "min_length", "max_digits", "decimal_places")
_TEXT_OPTIONS = (
    "label",
    "help",
    "pattern",
    "minimum",
    "maximum",
    "currency",
    "format",
    "reference",
    "default",
)
_FLAGS = ("required", "unique", "indexed", "sensitive")


def _applying(option: str, widget: forms.Widget) -> forms.Widget:
    widget.attrs["data-types"] = " ".join(sorted(APPLIES[option]))
    return widget


def _text(option: str = "", **attrs: Any) -> forms.Widget:
    widget = UnfoldAdminTextInputWidget({"autocomplete": "off", **attrs})
    return _applying(option, widget) if option in APPLIES else widget


class DatasetForm(forms.Form):
    """The dataset's own names."""

    name = forms.CharField(
        max_length=120, widget=_text(placeholder="Vehicles"), help_text="What one calls many of them."
    )
    singular = forms.CharField(
        max_length=120, required=False, widget=_text(placeholder="Vehicle"), help_text="One of them."
    )
    slug = forms.CharField(
        label="Identifier",
        max_length=60,
        widget=MonoTextInput({"placeholder": "vehicles"}),
        help_text="In addresses, the API and event names. Small letters, digits and underscores; for good.",
    )
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget({"rows": 2}))
    icon = forms.ChoiceField(
        choices=[(name, name.replace("_", " ")) for name in ICONS],
        required=False,
        widget=UnfoldAdminSelectWidget({"data-icons": "1"}),
    )

    def __init__(self, *args: Any, fixed: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        icon = self.initial.get("icon")
        if icon and icon not in ICONS:  # chosen elsewhere: saving the form must not change it
            self.fields["icon"].choices = [(icon, icon.replace("_", " ")), *self.fields["icon"].choices]  # type: ignore[attr-defined]
        if fixed:
            del self.fields["slug"]


class FieldForm(forms.Form):
    """One field of the dataset."""

    label = forms.CharField(max_length=120, required=False, widget=_text())
    name = forms.CharField(
        max_length=60, required=False, widget=MonoTextInput({"placeholder": "number_plate"})
    )
    type = forms.ChoiceField(
        choices=[(t.name, t.label) for t in FIELD_TYPES.values()],
        initial="text",
        widget=UnfoldAdminSelectWidget,
    )
    required = forms.BooleanField(required=False, widget=UnfoldBooleanWidget)
    unique = forms.BooleanField(required=False, widget=_applying("unique", UnfoldBooleanWidget()))
    indexed = forms.BooleanField(
        label="Filter and sort", required=False, widget=_applying("indexed", UnfoldBooleanWidget())
    )
    sensitive = forms.BooleanField(
        required=False, widget=UnfoldBooleanWidget, help_text="Never shown in lists, messages and histories."
    )
    help = forms.CharField(label="Help text", max_length=300, required=False, widget=_text())
    choices = forms.CharField(
        required=False,
        widget=_applying(
            "choices", UnfoldAdminTextareaWidget({"rows": 4, "placeholder": "new | Brand new\nused | Used"})
        ),
        help_text="One a line: the value that is stored, a bar, and what people read.",
    )
    reference = forms.ChoiceField(
        label="Dataset referred to", required=False, widget=_applying("reference", UnfoldAdminSelectWidget())
    )
    currency = forms.CharField(
        max_length=3,
        required=False,
        widget=_text("currency", placeholder="EUR"),
        help_text="Empty: any currency.",
    )
    min_length = forms.IntegerField(
        label="Shortest", required=False, widget=_applying("min_length", UnfoldAdminIntegerFieldWidget())
    )
    max_length = forms.IntegerField(
        label="Longest", required=False, widget=_applying("max_length", UnfoldAdminIntegerFieldWidget())
    )
    pattern = forms.CharField(
        required=False,
        widget=_applying("pattern", MonoTextInput({"placeholder": "[A-Z]{2}-[0-9]+"})),
        help_text="A regular expression that the whole value matches.",
    )
    minimum = forms.CharField(required=False, widget=_text("minimum"))
    maximum = forms.CharField(required=False, widget=_text("maximum"))
    max_digits = forms.IntegerField(
        label="Digits in all", required=False, widget=_applying("max_digits", UnfoldAdminIntegerFieldWidget())
    )
    decimal_places = forms.IntegerField(
        label="Decimals", required=False, widget=_applying("decimal_places", UnfoldAdminIntegerFieldWidget())
    )
    format = forms.CharField(
        required=False,
        widget=_applying("format", MonoTextInput({"placeholder": "%d.%m.%Y"})),
        help_text="One more way of writing that is understood; for phone numbers the country, such as +49.",
    )
    default = forms.CharField(required=False, widget=_text("default"))

    def __init__(self, *args: Any, references: Sequence[tuple[str, str]] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chooser = self.fields["reference"]
        assert isinstance(chooser, forms.ChoiceField)
        chooser.choices = [("", "–"), *references]

    def definition(self, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The field as the service takes it; `kept` are options that the form does not show."""
        given = self.cleaned_data
        kind = str(given.get("type") or "text")
        found: dict[str, Any] = {
            k: v for k, v in (kept or {}).items() if k in ("synonyms", "reference_field")
        }
        found |= {"name": str(given.get("name") or "").strip(), "type": kind}
        for option in (*_TEXT_OPTIONS, *_NUMBER_OPTIONS, *_FLAGS):
            value = given.get(option)
            value = value.strip() if isinstance(value, str) else value
            if value in ("", None, False) or kind not in APPLIES.get(option, {kind}):
                continue
            found[option] = value
        if kind == "choice":
            found["choices"] = choices_of(str(given.get("choices") or ""))
        if kind != "reference":
            found.pop("reference_field", None)
        return found


def choices_of(text: str) -> list[list[str]]:
    """`value | label` lines as pairs; a line without a bar is both."""
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        value, bar, label = line.partition("|")
        found.append([value.strip(), label.strip() if bar and label.strip() else value.strip()])
    return found


class OrderedRows(forms.BaseFormSet):
    """The rows in the order in which they stand on the page, without those that were removed."""

    deletion_widget = forms.HiddenInput
    ordering_widget = forms.HiddenInput

    def standing(self) -> list[tuple[int, Any]]:
        """(number on the page, form) of each row that counts, in order."""
        rows = []
        for number, form in enumerate(self.forms):
            data = form.cleaned_data
            if data.get("DELETE") or not (data.get("name") or data.get("label")):
                continue
            order = data.get("ORDER")
            rows.append((order if order is not None else number, number, form))
        return [(number, form) for _, number, form in sorted(rows, key=lambda row: row[:2])]


FieldRows = forms.formset_factory(
    FieldForm, formset=OrderedRows, extra=0, can_delete=True, can_order=True, max_num=250, validate_max=True
)


def rows_of(fields: Iterable[Field]) -> list[dict[str, Any]]:
    """The initial values of the rows for existing fields."""
    rows = []
    for field in fields:
        row: dict[str, Any] = {option: getattr(field, option) for option in (*_NUMBER_OPTIONS, *_FLAGS)}
        for option in _TEXT_OPTIONS:
            value = getattr(field, option)
            row[option] = (
                format(value, "f") if isinstance(value, Decimal) else "" if value is None else str(value)
            )
        row |= {"name": field.name, "type": field.type}
        row["choices"] = "\n".join(v if v == label else f"{v} | {label}" for v, label in field.choices)
        rows.append(row)
    return rows


def place_errors(
    form: DatasetForm, rows: Any, standing: Sequence[tuple[int, Any]], errors: Sequence[FieldError]
) -> None:
    """Put the service's errors where they belong: `/fields/3/name` at the name of the fourth row."""
    for error in errors:
        parts = [part for part in error.pointer.split("/") if part]
        if len(parts) >= 2 and parts[0] == "fields" and parts[1].isdigit() and int(parts[1]) < len(standing):
            row = standing[int(parts[1])][1]
            name = parts[2] if len(parts) > 2 and parts[2] in row.fields else None
            row.add_error(name, error.detail)
        else:
            form.add_error(parts[0] if parts and parts[0] in form.fields else None, error.detail)
