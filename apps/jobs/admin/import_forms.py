"""The forms of the import's steps: how the file is read, and how the import runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.jobs.formats.encodings import CHOICES
from apps.jobs.models import Job
from apps.jobs.services.imports import MAX_BATCH, Settings
from apps.jobs.statuses import WORKBOOKS, ImportMode, Repeats

DELIMITERS = ((",", "Comma  ,"), (";", "Semicolon  ;"), ("\t", "Tab"), ("|", "Pipe  |"))


_CHIPS = frozenset(
    {"encoding", "delimiter", "sheet", "header_row", "record_path", "pad_short_rows", "fill_merged"}
)
_CHIPS_OF = {
    "csv": frozenset({"encoding", "delimiter", "header_row", "pad_short_rows"}),
    **{kind.value: frozenset({"sheet", "header_row", "fill_merged"}) for kind in WORKBOOKS},
    "json": frozenset({"encoding", "record_path"}),
    "ndjson": frozenset({"encoding"}),
    "xml": frozenset({"record_path"}),
    "pdf": frozenset({"header_row"}),
}
"""What can be decided about a file, by its type."""


class FileOptionsForm(forms.Form):
    """Step 2: how the file is read."""

    encoding = forms.ChoiceField(
        choices=[("", "Found by itself"), *CHOICES], required=False, widget=UnfoldAdminSelectWidget
    )
    delimiter = forms.CharField(
        max_length=1,
        required=False,
        strip=False,
        widget=UnfoldAdminTextInputWidget({"list": "delimiters", "size": 2}),
    )
    sheet = forms.ChoiceField(required=False, widget=UnfoldAdminSelectWidget)
    record_path = forms.ChoiceField(label="Records are at", required=False, widget=UnfoldAdminSelectWidget)
    member = forms.ChoiceField(label="File of the archive", required=False, widget=UnfoldAdminSelectWidget)
    header_row = forms.IntegerField(
        label="Header in line",
        min_value=0,
        max_value=1_048_576,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )
    fill_merged = forms.BooleanField(
        label="Fill merged cells with their value", required=False, widget=UnfoldBooleanSwitchWidget
    )
    pad_short_rows = forms.BooleanField(
        label="Fill up rows that end too early", required=False, widget=UnfoldBooleanSwitchWidget
    )

    def __init__(self, *args: Any, job: Job, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_now = {"sheet": job.sheet, "member": job.member, "header_row": job.header_row}
        for name in _CHIPS - _CHIPS_OF.get(job.file_type, _CHIPS):
            del self.fields[name]
        for name, found in (("record_path", "record_paths"), ("member", "members")):
            offered = list(job.preview.get(found, []))
            if name not in self.fields:
                continue
            if len(offered) < 2:
                del self.fields[name]
            else:
                now = getattr(job, name)
                chooser = self.fields[name]
                assert isinstance(chooser, forms.ChoiceField)
                chooser.choices = [(text, text) for text in dict.fromkeys([now, *offered]) if text]
        if job.file_type in WORKBOOKS:
            sheets = job.preview.get("sheets", [])
            chooser = self.fields["sheet"]
            assert isinstance(chooser, forms.ChoiceField)
            chooser.choices = [(s["name"], s["name"] + ("" if s["visible"] else " (hidden)")) for s in sheets]
            self.fields["header_row"].label = "Header in row"
        elif "delimiter" in self.fields:
            choices = list(DELIMITERS)
            if job.delimiter and job.delimiter not in dict(DELIMITERS):
                choices.append((job.delimiter, job.delimiter))
            self.fields["delimiter"] = forms.ChoiceField(
                choices=[*choices, ("", "Found by itself")], required=False, widget=UnfoldAdminSelectWidget
            )

    def options(self) -> dict[str, Any]:
        """For `uploads.reread`. Header row 0 says that there is none."""
        given = self.cleaned_data
        row = given.get("header_row")
        if self._is_elsewhere() and row == self._read_now["header_row"]:
            row = None  # it was that of the other sheet
        return {
            "encoding": given.get("encoding") or None,
            "delimiter": given.get("delimiter") or None,
            "sheet": given.get("sheet") or None,
            "record_path": given.get("record_path") or None,
            "member": given.get("member") or None,
            "has_header": None if row is None else row > 0,
            "header_row": row or None,
            "pad_short_rows": given.get("pad_short_rows", False),
            "fill_merged": given.get("fill_merged", False),
        }

    def _is_elsewhere(self) -> bool:
        """Whether another sheet, or another file of the archive, was chosen."""
        return any(
            name in self.cleaned_data and self.cleaned_data[name] != self._read_now[name]
            for name in ("sheet", "member")
        )


class SettingsForm(forms.Form):
    """Step 3, below the columns: how the import runs."""

    mode = forms.ChoiceField(
        choices=ImportMode.choices,
        widget=UnfoldAdminSelectWidget,
        help_text="“Replace all” deletes, in the end, what the file does not name, if no row is wrong.",
    )
    on_error = forms.ChoiceField(
        label="Wrong rows",
        choices=[
            ("skip", "are left out, the others are imported"),
            ("stop", "stop everything: all or nothing"),
            ("limit", "are left out, until there are too many"),
        ],
        widget=UnfoldAdminSelectWidget,
    )
    max_errors = forms.IntegerField(
        label="Stop after wrong rows",
        min_value=1,
        max_value=1_000_000,
        required=False,
        help_text="With “until there are too many”: how many. What was imported before stays.",
        widget=UnfoldAdminTextInputWidget,
    )
    repeats = forms.ChoiceField(
        label="Rows that repeat an earlier one",
        choices=Repeats.choices,
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text="Rows of the file that name the same record. Each is told with both lines.",
    )
    unique_fields = forms.MultipleChoiceField(
        label="Once in the file",
        required=False,
        help_text="Fields, beside the one that tells records apart, whose values may occur once.",
        widget=UnfoldAdminSelectMultipleWidget,
    )
    custom_rules = forms.CharField(
        label="Rules",
        required=False,
        max_length=20_000,
        help_text="One a line, true of every right row: amount > 0 and due >= issued  # What is wrong else. "
        "With “warning:” in front, rows that break it are imported and listed.",
        widget=UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"}),
    )
    deletion_limit = forms.IntegerField(
        label="Ask before deleting more than",
        min_value=0,
        max_value=2_000_000_000,
        required=False,
        help_text="Records, with “Replace all”. Empty: what the organization says.",
        widget=UnfoldAdminTextInputWidget,
    )
    deletion_percent = forms.IntegerField(
        label="Ask before deleting more than, in percent",
        min_value=0,
        max_value=100,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )
    overwrite_existing = forms.BooleanField(
        label="Overwrite what is there",
        required=False,
        help_text="Off: only blank fields of existing records are filled.",
        widget=UnfoldBooleanSwitchWidget,
    )
    preserve_ids = forms.BooleanField(
        label="Keep the file's identifiers",
        required=False,
        help_text="Off: every row becomes a new record with an identifier of its own.",
        widget=UnfoldBooleanSwitchWidget,
    )
    timezone = forms.CharField(
        label="Time zone",
        max_length=64,
        required=False,
        help_text="Of times in the file that name none.",
        widget=UnfoldAdminTextInputWidget,
    )
    batch_size = forms.IntegerField(
        label="Rows per batch", min_value=1, max_value=MAX_BATCH, widget=UnfoldAdminTextInputWidget
    )
    name = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    description = forms.CharField(
        label="Note", required=False, max_length=2000, widget=UnfoldAdminTextareaWidget({"rows": 2})
    )
    save_as = forms.CharField(
        label="Save the mapping as",
        max_length=120,
        required=False,
        help_text="A name, to use it for other files too. Files with the same header are recognized anyway.",
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, *args: Any, job: Job, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chooser = self.fields["unique_fields"]
        assert isinstance(chooser, forms.MultipleChoiceField)
        chooser.choices = [(f.name, f.title) for f in job.dataset.fields if f.name != job.dataset.key_field]

    def clean_custom_rules(self) -> list[dict[str, str]]:
        return rules_of(self.cleaned_data["custom_rules"])

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = self.cleaned_data
        if (
            given.get("on_error") == "limit"
            and not given.get("max_errors")
            and "max_errors" not in self.errors
        ):
            self.add_error("max_errors", "Say after how many wrong rows the import stops.")
        return given

    @staticmethod
    def initial_of(job: Job) -> dict[str, Any]:
        return {
            "mode": job.mode,
            "on_error": "stop" if job.stop_on_error else "limit" if job.max_errors else "skip",
            "max_errors": job.max_errors or None,
            "repeats": job.repeats,
            "unique_fields": job.validation_rules.get("unique_fields", []),
            "custom_rules": text_of_rules(job.validation_rules.get("custom_rules", [])),
            "deletion_limit": job.deletion_limit,
            "deletion_percent": job.deletion_percent,
            "overwrite_existing": job.overwrite_existing,
            "preserve_ids": job.preserve_ids,
            "timezone": job.timezone,
            "batch_size": job.batch_size,
            "name": job.name,
            "description": job.description,
        }

    def settings(self) -> Settings:
        given = self.cleaned_data
        return Settings(
            mode=given["mode"],
            batch_size=given["batch_size"],
            skip_errors=given["on_error"] != "stop",
            stop_on_error=given["on_error"] == "stop",
            max_errors=given["max_errors"] if given["on_error"] == "limit" else 0,
            repeats=given["repeats"] or None,
            unique_fields=given["unique_fields"],
            custom_rules=given["custom_rules"],
            deletion_limit=given["deletion_limit"],
            deletion_percent=given["deletion_percent"],
            overwrite_existing=given["overwrite_existing"],
            preserve_ids=given["preserve_ids"],
            timezone=given["timezone"],
            name=given["name"] or None,
            description=given["description"],
        )


_WARNING = "warning:"


def rules_of(text: str) -> list[dict[str, str]]:
    """Rules as typed, one a line: `warning: amount < 100  # Unusually much.`"""
    rules = []
    for line in filter(None, map(str.strip, text.splitlines())):
        check, message = _split_comment(line)
        rule = {"check": check.removeprefix(_WARNING).strip()}
        if message:
            rule["message"] = message
        if check.startswith(_WARNING):
            rule["severity"] = "warning"
        rules.append(rule)
    return rules


def _split_comment(line: str) -> tuple[str, str]:
    """The expression, and what follows a # outside quotes."""
    quote = ""
    for at, character in enumerate(line):
        if quote:
            quote = "" if character == quote and line[at - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        elif character == "#":
            return line[:at].strip(), line[at + 1 :].strip()
    return line, ""


def text_of_rules(rules: Sequence[Mapping[str, str]]) -> str:
    """The rules as `rules_of` reads them."""
    return "\n".join(
        (f"{_WARNING} " if rule.get("severity") == "warning" else "")
        + rule["check"]
        + (f"  # {rule['message']}" if rule.get("message") else "")
        for rule in rules
    )
