"""The form of a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.jobs.admin.delivery_forms import DeliveryFields, split_words
from apps.jobs.models import ExportTemplate, JobSchedule
from apps.jobs.schedule_statuses import DeliveryKind
from apps.jobs.services import schedules
from apps.jobs.statuses import EXPORTABLE_CHOICES, ImportMode
from apps.kernel.admin import JSONFormField, MonoTextInput
from apps.records.models import Dataset

UNITS = ((1, "minutes"), (60, "hours"), (1440, "days"))
ON_ERROR = (("skip", "Leave wrong rows out, import the others"), ("stop", "Import nothing if a row is wrong"))


class TemplateChoice(forms.ModelChoiceField):
    """Export templates, which belong to datasets."""

    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.dataset.name}: {obj.name}"


class ScheduleForm(DeliveryFields, forms.ModelForm):
    """When, what, from where or to where, and who hears of it."""

    # Not `dataset`: forms that send a field of this name are taken for another thing by the theme.
    into = forms.ModelChoiceField(
        label="Dataset", queryset=Dataset.objects.none(), widget=UnfoldAdminSelectWidget
    )
    interval_count = forms.IntegerField(
        label="Every", min_value=1, required=False, initial=1, widget=UnfoldAdminIntegerFieldWidget
    )
    interval_unit = forms.TypedChoiceField(
        label="Unit", coerce=int, choices=UNITS, initial=1440, required=False, widget=UnfoldAdminSelectWidget
    )
    mode = forms.ChoiceField(
        choices=[c for c in ImportMode.choices if c[0] != ImportMode.REPLACE],
        initial=ImportMode.UPSERT,
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    on_error = forms.ChoiceField(
        label="Wrong rows", choices=ON_ERROR, required=False, widget=UnfoldAdminSelectWidget
    )
    export_template = TemplateChoice(
        label="As the template",
        queryset=ExportTemplate.objects.none(),
        required=False,
        empty_label="none",
        widget=UnfoldAdminSelectWidget,
        help_text="Saved on the page of an export. Empty: what is chosen below.",
    )
    format = forms.ChoiceField(choices=EXPORTABLE_CHOICES, required=False, widget=UnfoldAdminSelectWidget)
    columns = forms.CharField(
        required=False,
        max_length=4000,
        widget=MonoTextInput,
        help_text="Names of fields, with commas between them. Empty: all.",
    )
    filters = JSONFormField(
        required=False, help_text='Only records that fit, such as {"status": "active"}. Empty: all.'
    )
    labels = forms.BooleanField(label="Labels as headers", required=False, widget=UnfoldBooleanSwitchWidget)
    notify_on_error = forms.BooleanField(
        label="Mail when it fails", required=False, initial=True, widget=UnfoldBooleanSwitchWidget
    )
    notify_on_completion = forms.BooleanField(
        label="Mail when it is done", required=False, widget=UnfoldBooleanSwitchWidget
    )
    notify_emails = forms.CharField(
        label="Mail to",
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextInputWidget,
        help_text="Addresses with commas between them.",
    )
    webhook_url = forms.CharField(
        label="Tell an address",
        required=False,
        max_length=2000,
        widget=MonoTextInput({"placeholder": "https://…"}),
        help_text="Signed, and tried again, as all webhooks are; it is then listed among the webhooks.",
    )

    class Meta:
        model = JobSchedule
        fields = (
            "name", "description", "job_type", "schedule_type", "run_at", "crontab",
            "max_failures", "source", "source_path", "pattern", "after_import", "move_to", "mapping",
            "export_template",
        )  # fmt: skip
        widgets = {
            "description": UnfoldAdminTextareaWidget({"rows": 2}),
            "crontab": MonoTextInput({"placeholder": "30 6 * * mon-fri"}),
            "source_path": MonoTextInput,
            "pattern": MonoTextInput({"placeholder": "orders-*.csv"}),
            "move_to": MonoTextInput({"placeholder": "imported"}),
        }
        labels = {
            "job_type": "What runs",
            "schedule_type": "It runs",
            "run_at": "On",
            "source": "Files come from",
            "source_path": "Folder or file",
            "pattern": "Names",
            "after_import": "An imported file",
            "move_to": "Move to the folder",
            "max_failures": "Pause after",
        }
        help_texts = {
            "crontab": "Minute, hour, day, month, weekday, such as 30 6 * * mon-fri.",
            "source_path": "Below the place's folder. At a web address: the rest of the file's address.",
            "pattern": "* stands for anything. Empty: every file. Each file is taken once, the oldest first.",
            "mapping": "Empty: columns are matched as the last time, or by their names.",
            "max_failures": "failed runs in a row; 0: never.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zone = self.organization.timezone
        if self.instance._state.adding:
            self.initial.setdefault("schedule_type", "interval")
        for name in ("run_at", "crontab"):
            self.fields[name].help_text = f"{self.fields[name].help_text} In the time zone {zone}.".strip()
        self.offer_places()
        templates = self.fields["export_template"]
        assert isinstance(templates, forms.ModelChoiceField)
        chosen = ExportTemplate.objects.filter(organization=self.organization).order_by("dataset", "name")
        if not self.instance._state.adding:
            chosen = chosen.filter(dataset=self.instance.dataset_id)
        templates.queryset = chosen.select_related("dataset")
        datasets = self.fields["into"]
        assert isinstance(datasets, forms.ModelChoiceField)
        datasets.queryset = Dataset.objects.filter(organization=self.organization).order_by("name")
        if not self.instance._state.adding:
            # Shown, since the form's other parts depend on it, but not to be changed.
            self.fields["job_type"].disabled = datasets.disabled = True
            self.initial["into"] = self.instance.dataset_id
            self._show(self.instance)

    def _show(self, schedule: JobSchedule) -> None:
        minutes = schedule.interval_minutes or 1440
        unit = next(unit for unit in (1440, 60, 1) if minutes % unit == 0)
        told, export = schedule.notifications, schedule.export_options
        self.initial.update(
            {
                "interval_count": minutes // unit,
                "interval_unit": unit,
                "mode": schedule.import_settings.get("mode", ImportMode.UPSERT),
                "on_error": "stop" if schedule.import_settings.get("stop_on_error") else "skip",
                "format": export.get("format", "csv"),
                "columns": ", ".join(export.get("columns") or []),
                "filters": export.get("filters") or None,
                "labels": export.get("labels", False),
                "notify_on_error": told.get("notify_on_error", False),
                "notify_on_completion": told.get("notify_on_completion", False),
                "notify_emails": ", ".join(told.get("notify_emails") or []),
            }
        )
        if told.get("webhook"):
            self.fields[
                "webhook_url"
            ].help_text = f"The webhook {told['webhook']} is told. An address entered here takes its place."
        if schedule.run_at is not None:
            local = schedule.run_at.astimezone(ZoneInfo(self.organization.timezone))
            self.initial["run_at"] = local.replace(tzinfo=None)
        for row in schedule.destinations.all():
            if row.kind == DeliveryKind.LOCATION and "deliver_to" not in self.initial:
                self.initial["deliver_to"], self.initial["deliver_path"] = row.location_id, row.path
            elif row.kind == DeliveryKind.MAIL and "mail_to" not in self.initial:
                self.initial["mail_to"] = ", ".join(row.recipients)

    def clean_run_at(self) -> datetime | None:
        """What was typed is the organization's time, whatever zone the admin shows times in."""
        typed: datetime | None = self.cleaned_data["run_at"]
        if typed is None:
            return None
        plain = timezone.make_naive(typed) if timezone.is_aware(typed) else typed
        return plain.replace(tzinfo=ZoneInfo(self.organization.timezone))

    def settings_for(self, schedule: JobSchedule | None) -> dict[str, Any]:
        """What the service is to set. What the form does not show stays as it is."""
        given = self.cleaned_data
        values = {name: given[name] for name in ScheduleForm.Meta.fields if name in given}
        values["interval_minutes"] = (given.get("interval_count") or 0) * (given.get("interval_unit") or 1)
        values["dataset"] = given["into"]
        job_type = given.get("job_type") or (schedule.job_type if schedule else "")
        if job_type == "import":
            values["export_template"] = None
            kept = dict(schedule.import_settings) if schedule else {}
            stop = given["on_error"] == "stop"
            values["import_settings"] = {
                **kept,
                "mode": given["mode"] or ImportMode.UPSERT,
                "stop_on_error": stop,
                "skip_errors": not stop,
            }
        else:
            for name in ("source", "mapping"):
                values[name] = None
            values |= {"source_path": "", "pattern": "", "move_to": "", "after_import": "keep"}
            kept = dict(schedule.export_options) if schedule else {}
            values["export_options"] = {
                **kept,
                "format": given["format"] or "csv",
                "columns": split_words(given["columns"]),
                "filters": {str(k): str(v) for k, v in (given["filters"] or {}).items()},
                "labels": given["labels"],
            }
            values["destinations"] = self._destinations(schedule)
        webhook = schedule.notifications.get("webhook") if schedule else ""
        values["notifications"] = {
            "notify_on_error": given["notify_on_error"],
            "notify_on_completion": given["notify_on_completion"],
            "notify_emails": split_words(given["notify_emails"]),
            **({"webhook": webhook} if webhook else {}),
        }
        return values

    def _destinations(self, schedule: JobSchedule | None) -> list[dict[str, Any]]:
        made = self.destinations()
        # The API may have given more than the form shows.
        shown = {DeliveryKind.LOCATION: 1, DeliveryKind.MAIL: 1}
        for row in schedules.described(schedule) if schedule else ():
            if shown.get(row["kind"], 0):
                shown[row["kind"]] -= 1
            else:
                made.append(row)
        return made
