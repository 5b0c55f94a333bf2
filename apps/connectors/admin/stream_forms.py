"""Streams in the connection form: one row each, either defined here or offered by the catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.connectors.engine import times
from apps.connectors.engine.paginate import PAGINATORS
from apps.connectors.models import Integration, IntegrationStream
from apps.connectors.services.checking import StreamSettings
from apps.connectors.statuses import SyncMode
from apps.kernel.admin import JSONFormField, JSONTextarea, MonoTextarea, MonoTextInput

Choices = Sequence[tuple[str, str]]

KINDS = (
    ("none", "One answer holds everything"),
    ("page", "Page numbers"),
    ("offset", "Offset"),
    ("cursor", "Cursor in the answer, or last row"),
    ("link_header", "Link header (RFC 8288)"),
    ("link_body", "Link in the answer"),
)
_PARAMETERS = {
    "param": ("Parameter", "Such as page, offset or cursor."),
    "start": ("First value", "Empty: 1 for pages, 0 for offsets."),
    "size_param": ("Parameter of the page size", "Such as limit or per_page."),
    "size": ("Page size", ""),
    "next_path": ("Where the next one is", "In the answer (JMESPath), such as paging.next.after."),
    "last_row_path": ("Or the last row's", "Field that the next page starts after, such as id."),
    "more_path": ("Whether there is more", "In the answer, such as has_more."),
    "pages_path": ("Number of pages", "In the answer, such as meta.pages."),
    "total_path": ("Number of rows", "In the answer, such as meta.total."),
    "in": ("Sent in", ""),
}
_NUMBERS = ("start", "size")


def _kinds_with(option: str) -> str:
    return " ".join(kind for kind, paginator in PAGINATORS.items() if option in paginator.schema)


def _text(**attrs: Any) -> forms.Widget:
    return MonoTextInput(attrs)


class LinesField(forms.CharField):
    """Names and values, one pair a line: `name: value`."""

    widget = MonoTextarea

    def prepare_value(self, value: Any) -> Any:
        return (
            "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else value
        )

    def to_python(self, value: Any) -> Any:
        found: dict[str, str] = {}
        for line in (value or "").splitlines():
            if not line.strip():
                continue
            name, colon, text = line.partition(":")
            if not colon or not name.strip():
                raise forms.ValidationError(f"“{line[:40]}” has no colon: a line reads like name: value.")
            found[name.strip()] = text.strip()
        return found


class _UseForm(forms.Form):
    """How a stream is used: what every stream has."""

    enabled = forms.BooleanField(label="On", required=False, initial=True, widget=UnfoldBooleanSwitchWidget)
    dataset = forms.ChoiceField(label="Becomes", required=False, widget=UnfoldAdminSelectWidget)
    mapping = forms.ChoiceField(label="Mapping", required=False, widget=UnfoldAdminSelectWidget)
    mode = forms.ChoiceField(
        label="Reads", choices=SyncMode.choices, required=False, widget=UnfoldAdminSelectWidget
    )
    delete_missing = forms.BooleanField(
        label="Delete what is missing",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="After reading everything, records that the provider no longer has are deleted here.",
    )
    delete_limit_percent = forms.IntegerField(
        label="At most, in %",
        required=False,
        min_value=0,
        max_value=100,
        initial=20,
        widget=UnfoldAdminTextInputWidget,
        help_text="If more would go, nothing is deleted and the sync says so.",
    )

    def __init__(self, *args: Any, datasets: Choices = (), mappings: Choices = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dataset, mapping = self.fields["dataset"], self.fields["mapping"]
        dataset.choices = [("", "– choose a dataset –"), *datasets]  # type: ignore[attr-defined]
        mapping.choices = [("", "By name, or as defined below"), *mappings]  # type: ignore[attr-defined]

    def use(self, name: str) -> StreamSettings:
        data = self.cleaned_data
        limit = data.get("delete_limit_percent")
        return StreamSettings(
            name=name,
            dataset=data.get("dataset") or "",
            mapping=data.get("mapping") or "",
            enabled=bool(data.get("enabled")),
            mode=data.get("mode") or SyncMode.INCREMENTAL,
            delete_missing=bool(data.get("delete_missing")),
            delete_limit_percent=20 if limit is None else limit,
        )


class CatalogStreamForm(_UseForm):
    """A stream that the catalog offers."""

    name = forms.CharField(widget=forms.HiddenInput)


class StreamForm(_UseForm):
    """A stream that the integration defines itself."""

    name = forms.CharField(
        label="Name", max_length=60, required=False, widget=_text(placeholder="customers"),
        help_text="Small letters, digits and underscores.",
    )  # fmt: skip
    path = forms.CharField(
        label="Path", max_length=500, required=False, widget=_text(placeholder="/customers"),
        help_text="Below the base URL.",
    )  # fmt: skip
    records_path = forms.CharField(
        label="Path to the records", required=False, max_length=500, widget=_text(placeholder="data.items"),
        help_text="Where in the answer the list is (JMESPath). Empty: the answer is the list.",
    )  # fmt: skip
    remote_id = forms.CharField(
        label="Remote id", max_length=500, required=False, initial="id", widget=_text(),
        help_text="Field that tells the provider's records apart.",
    )  # fmt: skip
    kind = forms.ChoiceField(
        label="Pages", choices=KINDS, required=False, widget=UnfoldAdminSelectWidget({"data-switch": "kind"})
    )
    cursor_path = forms.CharField(
        label="Changed at", required=False, max_length=500, widget=_text(placeholder="updated_at"),
        help_text="Field that says when a record changed. Empty: every sync reads everything.",
    )  # fmt: skip
    since_name = forms.CharField(
        label="Parameter for “changed since”", required=False, max_length=100,
        widget=_text(placeholder="updated_since"),
    )  # fmt: skip
    since_in = forms.ChoiceField(
        label="Sent in",
        required=False,
        choices=[("query", "the address"), ("header", "a header"), ("body", "the body")],
        widget=UnfoldAdminSelectWidget,
    )
    since_format = forms.ChoiceField(
        label="Written as",
        required=False,
        choices=[
            (name, label)
            for name, label in zip(
                times.FORMATS,
                (
                    "2026-01-31T10:00:00Z",
                    "Seconds since 1970",
                    "Milliseconds since 1970",
                    "2026-01-31",
                    "HTTP date",
                ),
                strict=True,
            )
        ],
        widget=UnfoldAdminSelectWidget,
    )
    since_op = forms.ChoiceField(
        label="The provider answers with what changed",
        required=False,
        choices=[("gte", "at or after that time"), ("gt", "after that time")],
        widget=UnfoldAdminSelectWidget,
    )
    lookback = forms.IntegerField(
        label="Overlap in seconds", required=False, min_value=0, max_value=31 * 86400,
        widget=UnfoldAdminTextInputWidget, help_text="Read again each time, for records that appear late.",
    )  # fmt: skip
    method = forms.ChoiceField(
        label="Method",
        choices=[("GET", "GET"), ("POST", "POST")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    query = LinesField(
        label="More parameters", required=False, widget=MonoTextarea({"rows": 2}),
        help_text="One a line, such as status: open.",
    )  # fmt: skip
    headers = LinesField(
        label="More headers", required=False, widget=MonoTextarea({"rows": 2}), help_text="One a line."
    )
    body = JSONFormField(
        label="Body", required=False, widget=JSONTextarea({"rows": 3}), help_text="For POST."
    )
    remote_version = forms.CharField(label="Remote version", required=False, max_length=500, widget=_text())
    deleted_when = forms.CharField(
        label="Deleted when", required=False, max_length=500, widget=_text(placeholder="archived"),
        help_text="True for records that the provider has deleted (JMESPath).",
    )  # fmt: skip
    inline_mapping = JSONFormField(
        label="Mapping written here",
        required=False,
        widget=JSONTextarea({"rows": 4}),
        help_text='Instead of a saved one: {"fields": [{"target": "name", "source": "full_name"}]}.',
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for option, (label, help_text) in _PARAMETERS.items():
            self.fields[f"p_{option}"] = _parameter(option, label, help_text)

    def parameters(self) -> list[forms.BoundField]:
        """The fields of the pagination, for the template."""
        return [self[f"p_{option}"] for option in _PARAMETERS]

    def definition(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        """The stream's definition as it is stored; what the form does not show is kept."""
        data = self.cleaned_data
        request = {"path": data["path"], "method": data.get("method") or "GET"}
        for name, key in (("query", "query"), ("headers", "headers"), ("body", "json")):
            if data.get(name):
                request[key] = data[name]
        found: dict[str, Any] = {
            **{name: kept[name] for name in ("label", "description") if name in kept},
            "name": data["name"],
            "request": request,
            "remote_id": data["remote_id"],
            "paginate": self._paginate(kept),
        }
        for name in ("records_path", "remote_version", "deleted_when", "dataset"):
            if data.get(name):
                found[name] = data[name]
        if data.get("inline_mapping"):
            found["mapping"] = data["inline_mapping"]
        if data.get("cursor_path") or data.get("since_name"):
            found["incremental"] = self._incremental(kept)
        return found

    def _paginate(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        kind = self.cleaned_data.get("kind") or "none"
        known = PAGINATORS[kind].schema
        before = kept.get("paginate", {})
        found = {name: before[name] for name in ("stop", "rel") if name in before and name in known}
        for option in _PARAMETERS:
            value = self.cleaned_data.get(f"p_{option}")
            if option in known and value not in (None, ""):
                found[option] = value
        return {"kind": kind, **found}

    def _incremental(self, kept: Mapping[str, Any]) -> dict[str, Any]:
        data = self.cleaned_data
        found = {
            "cursor_path": data.get("cursor_path") or "",
            "name": data.get("since_name") or "",
            "in": data.get("since_in") or "query",
            "format": data.get("since_format") or "iso",
            "op": data.get("since_op") or "gte",
            "lookback": data.get("lookback") or 0,
        }
        start = kept.get("incremental", {}).get("start")
        return {**found, "start": start} if start else found


def _parameter(option: str, label: str, help_text: str) -> forms.Field:
    attrs = {"data-for": _kinds_with(option)}
    if option == "in":
        return forms.ChoiceField(
            label=label,
            required=False,
            choices=[("query", "the address"), ("body", "the body")],
            widget=UnfoldAdminSelectWidget(attrs),
        )
    if option in _NUMBERS:
        return forms.IntegerField(
            label=label,
            required=False,
            min_value=0,
            help_text=help_text,
            widget=UnfoldAdminTextInputWidget(attrs),
        )
    return forms.CharField(
        label=label, required=False, max_length=500, help_text=help_text, widget=MonoTextInput(attrs)
    )


class _Rows(forms.BaseFormSet):
    deletion_widget = forms.HiddenInput

    def standing(self) -> list[tuple[int, Any]]:
        """(number on the page, form) of each row that counts."""
        return [
            (number, form)
            for number, form in enumerate(self.forms)
            if not form.cleaned_data.get("DELETE")
            and (form.cleaned_data.get("name") or form.cleaned_data.get("path"))
        ]


StreamRows = forms.formset_factory(
    StreamForm, formset=_Rows, extra=0, can_delete=True, max_num=200, validate_max=True
)
CatalogStreamRows = forms.formset_factory(CatalogStreamForm, formset=_Rows, extra=0, max_num=200)

# Where the form shows what the services say about a stream's definition.
_PLACES = {
    "request/path": "path",
    "request/method": "method",
    "request/query": "query",
    "request/headers": "headers",
    "request/json": "body",
    "paginate/kind": "kind",
    "incremental/cursor_path": "cursor_path",
    "incremental/name": "since_name",
    "incremental/lookback": "lookback",
    "mapping": "inline_mapping",
}


def place(row: forms.Form, path: str, detail: str) -> None:
    """Show a refusal at the row's field, or at its top."""
    for prefix, name in _PLACES.items():
        if path == prefix or path.startswith(f"{prefix}/"):
            row.add_error(name if name in row.fields else None, detail)
            return
    head, _, rest = path.partition("/")
    name = f"p_{rest.partition('/')[0]}" if head == "paginate" else head
    row.add_error(name if name in row.fields else None, detail)


def initial_of(integration: Integration) -> list[dict[str, Any]]:
    """The rows of an integration's own streams."""
    uses = {row.name: row for row in integration.streams.select_related("dataset", "mapping")}
    return [_initial(item, uses.get(item["name"])) for item in integration.config.get("streams") or ()]


def use_of(row: IntegrationStream | None) -> dict[str, Any]:
    if row is None:
        return {"enabled": False}
    return {
        "enabled": row.enabled,
        "dataset": row.dataset.slug,
        "mapping": row.mapping.public_id if row.mapping else "",
        "mode": row.mode,
        "delete_missing": row.delete_missing,
        "delete_limit_percent": row.delete_limit_percent,
    }


def _initial(item: Mapping[str, Any], row: IntegrationStream | None) -> dict[str, Any]:
    request, paginate = item["request"], item.get("paginate", {"kind": "none"})
    since = item.get("incremental", {})
    return {
        **use_of(row),
        "name": item["name"],
        "path": request["path"],
        "method": request.get("method", "GET"),
        "query": request.get("query", {}),
        "headers": request.get("headers", {}),
        "body": request.get("json"),
        "dataset": item.get("dataset", row.dataset.slug if row else ""),
        "inline_mapping": item.get("mapping"),
        "kind": paginate["kind"],
        "cursor_path": since.get("cursor_path", ""),
        "since_name": since.get("name", ""),
        "since_in": since.get("in", "query"),
        "since_format": since.get("format", "iso"),
        "since_op": since.get("op", "gte"),
        "lookback": since.get("lookback", 0) or None,
        **{
            name: item.get(name, "")
            for name in ("records_path", "remote_id", "remote_version", "deleted_when")
        },
        **{f"p_{option}": paginate.get(option) for option in _PARAMETERS},
    }
