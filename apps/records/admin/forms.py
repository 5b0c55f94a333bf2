"""A form made of a dataset's fields. It carries texts; the service checks them, as for every other door."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldAdminURLInputWidget,
)

from apps.kernel.admin import JSONFormField, SecretInput
from apps.kernel.admin.widgets import NativeDate, NativeDateTime
from apps.records.fields import Field
from apps.records.models import Dataset, Record

LONG = 250
PREFIX = "value"
_BOOLEANS = {"true": True, "false": False}


class RecordForm(forms.Form):
    """`values()` is what the user gave: everything of a new record, of an existing one what differs."""

    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, dataset: Dataset, *, record: Record | None = None, data: Any = None) -> None:
        self.dataset = dataset
        self.zone = ZoneInfo(dataset.organization.timezone)
        self.record = record
        stored: Mapping[str, Any] = record.data if record is not None else {}
        initial = {f.name: written(stored.get(f.name), f, self.zone) for f in dataset.fields}
        if record is None:
            initial |= {
                f.name: written(f.default, f, self.zone) for f in dataset.fields if f.default is not None
            }
        super().__init__(
            data, prefix=PREFIX, initial={**initial, "version": record.version if record else None}
        )
        for field in dataset.fields:
            self.fields[field.name] = form_field(field, is_new=record is None, zone=self.zone)

    def values(self) -> dict[str, Any]:
        """Field → value, with None for one that was emptied. Call it on a valid form."""
        found: dict[str, Any] = {}
        for field in self.dataset.fields:
            given = self.cleaned_data.get(field.name)
            if field.sensitive and not given:
                continue  # written, never shown: empty means “leave it”
            value = (
                None
                if given in ("", None)
                else _BOOLEANS.get(given, given)
                if field.type == "boolean"
                else given
            )
            if self.record is None:
                if value is not None:
                    found[field.name] = value
            elif field.name in self.changed_data:
                found[field.name] = value
        return found

    def refuse(self, errors: Mapping[str, list[str]]) -> None:
        """Show messages at fields; those of no field on top."""
        for name, messages in errors.items():
            for message in messages:
                self.add_error(name if name in self.fields else None, message)


def written(value: Any, field: Field, zone: dt.tzinfo) -> Any:
    """A canonical value as its input holds it."""
    if field.type == "json" and not field.sensitive:
        return value
    if value is None or field.sensitive:
        return ""
    if field.type == "money" and isinstance(value, dict):
        return f"{value.get('amount', '')} {value.get('currency', '')}".strip()
    if field.type == "boolean":
        return "true" if value else "false"
    if field.type == "datetime":
        try:
            moment = dt.datetime.fromisoformat(str(value)).astimezone(zone)
        except (ValueError, OverflowError):
            return str(value)
        return moment.replace(tzinfo=None).isoformat(timespec="auto")
    return str(value)


def form_field(field: Field, *, is_new: bool, zone: dt.tzinfo) -> forms.Field:
    """The input for one field. What is required and what is valid is the service's to say."""
    shared: dict[str, Any] = {"label": field.title, "required": False, "help_text": _help(field, zone)}
    if field.sensitive:
        return forms.CharField(widget=SecretInput({"placeholder": "" if is_new else "unchanged"}), **shared)
    if field.type == "choice":
        return forms.ChoiceField(
            choices=[("", "–"), *field.choices], widget=UnfoldAdminSelectWidget, **shared
        )
    if field.type == "boolean":
        options = [("", "–"), ("true", "Yes"), ("false", "No")]
        return forms.ChoiceField(choices=options, widget=UnfoldAdminSelectWidget, **shared)
    if field.type == "json":
        return _JSON(**shared)
    kind = _Moment if field.type == "datetime" else _Text
    return kind(widget=_widget(field), strip=False, **shared)


class _Text(forms.CharField):
    """Browsers send line ends as CR LF; what is kept has LF."""

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if isinstance(text, str) else text


class _Moment(forms.CharField):
    """Browsers leave out seconds that are zero."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return dt.datetime.fromisoformat(initial) != dt.datetime.fromisoformat(data)
        except (TypeError, ValueError):
            return bool(super().has_changed(initial, data))


class _JSON(JSONFormField):
    def has_changed(self, initial: Any, data: Any) -> bool:
        if not data:
            return initial not in ("", None)
        try:
            return bool(json.loads(data) != initial)
        except ValueError:
            return True


def _widget(field: Field) -> forms.Widget:
    if field.type == "date":
        return NativeDate()
    if field.type == "datetime":
        return NativeDateTime()
    if field.type == "email":
        return UnfoldAdminEmailInputWidget()
    if field.type == "url":
        return UnfoldAdminURLInputWidget()
    if field.type == "phone":
        return UnfoldAdminTextInputWidget({"type": "tel", "autocomplete": "off"})
    if field.type in ("integer", "decimal"):
        mode = "numeric" if field.type == "integer" else "decimal"
        return UnfoldAdminTextInputWidget({"inputmode": mode, "autocomplete": "off"})
    if field.type == "money":
        return UnfoldAdminTextInputWidget(
            {"placeholder": f"0.00 {field.currency or 'EUR'}", "autocomplete": "off"}
        )
    if field.type == "reference":
        return UnfoldAdminTextInputWidget({"autocomplete": "off", "data-options": field.reference or ""})
    if field.max_length is None or field.max_length > LONG:
        return UnfoldAdminTextareaWidget({"rows": 4})
    return UnfoldAdminTextInputWidget({"autocomplete": "off"})


def _help(field: Field, zone: dt.tzinfo) -> str:
    parts = [field.help.rstrip(".") + "." if field.help else ""]
    if field.required:
        parts.append("Required.")
    if field.unique:
        parts.append("Unique.")
    if field.type == "reference":
        parts.append(f"The key of a record in “{field.reference}”.")
    if field.type == "datetime":
        parts.append(f"In the time zone {zone}.")
    if field.type == "money" and not field.currency:
        parts.append("Amount and currency, such as 12.30 EUR.")
    return " ".join(part for part in parts if part)
