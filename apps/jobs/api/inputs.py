"""What the doors to jobs take."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.jobs.api.delivery_serializers import DestinationSerializer
from apps.jobs.formats.out_csv import ENCODINGS
from apps.jobs.services.exports import MAX_PASSWORD
from apps.jobs.services.imports import MAX_BATCH, Settings
from apps.jobs.statuses import (
    EXPORTABLE_CHOICES,
    Compression,
    FileType,
    ImportMode,
    JobType,
    Repeats,
    Severity,
)
from apps.kernel.api.serializers import PublicIdField, StrictSerializer


class UploadSerializer(StrictSerializer):
    """The file, as a multipart form, and the dataset that it is for."""

    file = serializers.FileField(help_text="In any format that can be imported.", allow_empty_file=True)
    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug, such as `clients`.")
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")


class FetchSerializer(StrictSerializer):
    """Where a file is fetched from, and the dataset that it is for."""

    url = serializers.CharField(
        max_length=2000, required=False, help_text="An address that answers with the file."
    )
    location = PublicIdField(required=False, help_text="Instead: a place, and the file's path there.")
    path = serializers.CharField(max_length=500, required=False, default="")
    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug, such as `clients`.")
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        given = [name for name in ("url", "location") if name in attrs]
        if len(given) != 1:
            detail = "Give either a url, or a location and a path."
            raise serializers.ValidationError({given[1] if given else "url": [detail]}, code="required")
        return attrs


class OptionsSerializer(StrictSerializer):
    """How the file is read. What is left out is found out from the file."""

    encoding = serializers.CharField(max_length=20, required=False)
    delimiter = serializers.CharField(max_length=1, required=False, trim_whitespace=False)
    has_header = serializers.BooleanField(required=False, allow_null=True)
    header_row = serializers.IntegerField(required=False, min_value=1, max_value=1_048_576)
    sheet = serializers.CharField(max_length=255, required=False)
    record_path = serializers.CharField(
        max_length=500,
        required=False,
        help_text="Where the records are in JSON (`data.items`) or XML (`/orders/order`).",
    )
    member = serializers.CharField(
        max_length=500, required=False, help_text="Which file of an archive is read."
    )
    pad_short_rows = serializers.BooleanField(required=False, allow_null=True)
    fill_merged = serializers.BooleanField(required=False, allow_null=True)


class NotificationsSerializer(StrictSerializer):
    notify_on_completion = serializers.BooleanField(required=False, default=False)
    notify_on_error = serializers.BooleanField(required=False, default=False)
    notify_emails = serializers.ListField(
        child=serializers.EmailField(), max_length=20, required=False, default=list
    )
    webhook_url = serializers.CharField(
        max_length=2000,
        required=False,
        allow_blank=True,
        help_text="An address that is told, signed; the webhook made for it is answered as `webhook`.",
    )
    webhook = serializers.CharField(
        max_length=20, required=False, allow_blank=True, help_text="The number of that webhook."
    )


class RuleSerializer(StrictSerializer):
    """A rule about whole rows: an expression over the dataset's fields that must be true."""

    check = serializers.CharField(max_length=500, help_text="Such as `amount > 0 and due >= issued`.")
    message = serializers.CharField(
        max_length=300, required=False, allow_blank=True, help_text="May name fields in braces."
    )
    severity = serializers.ChoiceField(
        Severity.choices, required=False, help_text="Warned rows are imported."
    )
    field = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="Where the problem is shown."
    )


class SettingsSerializer(StrictSerializer):
    """How an import runs. What is left out stays as it is."""

    mode = serializers.ChoiceField(ImportMode.choices, required=False)
    batch_size = serializers.IntegerField(min_value=1, max_value=MAX_BATCH, required=False)
    skip_errors = serializers.BooleanField(required=False, allow_null=True, default=None)
    stop_on_error = serializers.BooleanField(required=False, allow_null=True, default=None)
    validate_before_import = serializers.BooleanField(required=False, allow_null=True, default=None)
    dry_run = serializers.BooleanField(required=False, allow_null=True, default=None)
    preserve_ids = serializers.BooleanField(required=False, allow_null=True, default=None)
    overwrite_existing = serializers.BooleanField(required=False, allow_null=True, default=None)
    timezone = serializers.CharField(max_length=64, required=False)
    name = serializers.CharField(max_length=200, required=False)
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True)
    max_errors = serializers.IntegerField(
        min_value=0, max_value=1_000_000, required=False, help_text="Stop after so many wrong rows; 0: never."
    )
    repeats = serializers.ChoiceField(
        Repeats.choices, required=False, help_text="What becomes of rows that repeat an earlier row's key."
    )
    deletion_limit = serializers.IntegerField(
        min_value=0,
        max_value=2_000_000_000,
        required=False,
        help_text="“Replace” wants `confirm_deletions` above so many; the organization's limit without it.",
    )
    deletion_percent = serializers.IntegerField(
        min_value=0, max_value=100, required=False, help_text="The same as a part of all records."
    )
    required_fields = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=500, required=False
    )
    unique_fields = serializers.ListField(
        child=serializers.CharField(max_length=60),
        max_length=20,
        required=False,
        help_text="Fields whose values may occur once in the file.",
    )
    custom_rules = RuleSerializer(
        many=True, required=False, help_text="Rules about whole rows, at most 50, beyond the mapping's."
    )
    notifications = NotificationsSerializer(required=False)


class ImportSerializer(StrictSerializer):
    """An uploaded import, with what was decided about it. Without `mapping` the proposed one is taken."""

    job = PublicIdField(help_text="The number that the upload answered with.")
    options = OptionsSerializer(required=False)
    mapping = serializers.JSONField(
        required=False,
        help_text='`{"fields": [{"target": "name", "source": "Company", "transforms": "trim"}]}`',
    )
    settings = SettingsSerializer(required=False)


class ExecuteSerializer(ImportSerializer):
    confirm_deletions = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Agree that a “replace” deletes more records than the limits allow without asking.",
    )


class StartSerializer(StrictSerializer):
    confirm_deletions = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Agree that a “replace” deletes more records than the limits allow without asking.",
    )


class ExportSerializer(StrictSerializer):
    """What to export, and how."""

    dataset = serializers.CharField(max_length=60, help_text="The dataset's slug.")
    format = serializers.ChoiceField(EXPORTABLE_CHOICES, default=FileType.CSV)
    template = PublicIdField(
        required=False, help_text="A saved one; what is given besides goes before what it says."
    )
    filters = serializers.DictField(
        child=serializers.CharField(max_length=500, allow_blank=True),
        required=False,
        default=dict,
        help_text=(
            "The filters of `GET /records/{dataset}`, on every field, such as "
            '`{"status": "active", "since__gte": "2026-01-01", "tags__in": "vip,new"}`. Further lookups: '
            "`contains`, `ne`, `isnull`. Further names: `created_since`, `created_before`, `updated_since`, "
            "`updated_before` (a day, or a time with a zone)."
        ),
    )
    search = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    ordering = serializers.CharField(
        max_length=200,
        required=False,
        allow_blank=True,
        default="",
        help_text="Indexed fields, `created_at` or `updated_at`; several with commas: `status,-name`.",
    )
    columns = serializers.ListField(
        child=serializers.CharField(max_length=130),
        max_length=500,
        required=False,
        default=list,
        help_text=(
            "In this order; all fields if left out. `client.name` is the name of the client that is referred "
            "to; `_id`, `_version`, `_created_at`, `_updated_at` and `_deleted_at` are metadata."
        ),
    )
    headers = serializers.DictField(
        child=serializers.CharField(max_length=200),
        required=False,
        default=dict,
        help_text='What columns are called, with `labels`: `{"name": "Company"}`.',
    )
    labels = serializers.BooleanField(
        required=False, default=False, help_text="Labels as headers, not names."
    )
    include_related = serializers.BooleanField(
        required=False, default=False, help_text="With the names of the records that are referred to."
    )
    include_metadata = serializers.BooleanField(
        required=False, default=False, help_text="With id, version, times of creation and last change."
    )
    include_audit_trail = serializers.BooleanField(
        required=False,
        default=False,
        help_text="With all changes of the records: nested in JSON and XML, a sheet or a file with others.",
    )
    include_attachments = serializers.BooleanField(
        required=False, default=False, help_text="A ZIP with the files that the hub holds for the records."
    )
    include_deleted = serializers.BooleanField(
        required=False, default=False, help_text="With deleted records; `_deleted_at` says since when."
    )
    delimiter = serializers.CharField(
        max_length=1, required=False, allow_blank=True, default="", trim_whitespace=False, help_text="Of CSV."
    )
    encoding = serializers.ChoiceField(list(ENCODINGS.items()), default="utf-8", help_text="Of CSV.")
    bom = serializers.BooleanField(
        required=False, default=True, help_text="A byte order mark in UTF-8 CSV, which Excel needs."
    )
    quote_all = serializers.BooleanField(
        required=False, default=False, help_text="Quotes around every cell of CSV, needed or not."
    )
    compression = serializers.ChoiceField(
        Compression.choices, required=False, allow_blank=True, default="", help_text="What it is packed into."
    )
    password = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=MAX_PASSWORD,
        write_only=True,
        trim_whitespace=False,
        help_text="Makes the file a ZIP with AES-256. Kept until the file is written, never shown.",
    )
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    description = serializers.CharField(max_length=2000, required=False, allow_blank=True, default="")
    notifications = NotificationsSerializer(required=False)
    destinations = DestinationSerializer(
        many=True, required=False, help_text="Where the file is brought when it is there."
    )


class NewJobSerializer(ExportSerializer):
    """An export. Imports begin with `POST /import/upload`."""

    job_type = serializers.ChoiceField([JobType.EXPORT.value], default=JobType.EXPORT.value)


class CancelSerializer(StrictSerializer):
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class UndoSerializer(StrictSerializer):
    dry_run = serializers.BooleanField(
        required=False, default=False, help_text="Only tell what would happen."
    )


def settings_of(values: dict[str, Any]) -> Settings:
    """The service's settings for validated input."""
    return Settings(**values)
