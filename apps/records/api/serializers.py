"""Bodies that are taken, and the shapes of answers for the documentation."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.kernel.api.serializers import StrictSerializer
from apps.records.models import Change, Dataset


@extend_schema_field({"type": "object", "additionalProperties": {}})
class AnyObject(serializers.JSONField):
    """A JSON object of any shape."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("An object is expected.", code="not_an_object")
        return data


_FIELDS = "Field definitions: at least `name` and `type`; see the guide to datasets."


class DatasetSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="The name in addresses.")
    name = serializers.CharField()
    singular = serializers.CharField()
    description = serializers.CharField()
    kind = serializers.ChoiceField(Dataset.Kind.choices)
    key_field = serializers.CharField(help_text="The field that tells records apart; empty if there is none.")
    title_field = serializers.CharField()
    icon = serializers.CharField()
    fields = serializers.ListField(child=AnyObject(), help_text=_FIELDS)  # type: ignore[assignment]
    version = serializers.IntegerField(help_text="Raised by each change of the fields.")
    records = serializers.IntegerField(allow_null=True, help_text="How many records there are.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class _DatasetInput(StrictSerializer):
    singular = serializers.CharField(required=False, allow_blank=True, max_length=120)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    key_field = serializers.CharField(required=False, allow_blank=True, max_length=60)
    title_field = serializers.CharField(required=False, allow_blank=True, max_length=60)
    icon = serializers.CharField(required=False, max_length=40)


class NewDatasetSerializer(_DatasetInput):
    slug = serializers.CharField(max_length=60, help_text="The name in addresses: a-z, 0-9 and underscores.")
    name = serializers.CharField(max_length=120)
    definition = serializers.ListField(child=AnyObject(), min_length=1, max_length=500, source="fields")

    def get_fields(self) -> Any:
        return _with_fields(super().get_fields())


class DatasetChangeSerializer(_DatasetInput):
    name = serializers.CharField(max_length=120, required=False)
    definition = serializers.ListField(
        child=AnyObject(), min_length=1, max_length=500, required=False, source="fields"
    )

    def get_fields(self) -> Any:
        return _with_fields(super().get_fields())


def _with_fields(fields: Any) -> Any:
    """`definition` is called `fields` on the wire, which a serializer class cannot have as an attribute."""
    definition = fields.pop("definition")
    definition.source = None
    definition.help_text = _FIELDS
    fields["fields"] = definition
    return fields


class MappingSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    dataset = serializers.CharField()
    description = serializers.CharField()
    spec = AnyObject(help_text="Source paths, transforms, defaults and rules for each field.")
    columns = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class NewMappingSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120)
    dataset = serializers.CharField(max_length=60)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000, default="")
    spec = AnyObject()
    columns = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=1000, default=list
    )


class MappingChangeSerializer(StrictSerializer):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    spec = AnyObject(required=False)
    columns = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, max_length=1000
    )


class OriginSerializer(serializers.Serializer[Any]):
    """Who wrote records: what undo takes back."""

    id = serializers.CharField()
    kind = serializers.CharField()
    ref = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    created_at = serializers.DateTimeField()
    undone_at = serializers.DateTimeField(allow_null=True)


class ChangeSerializer(serializers.Serializer[Any]):
    id = serializers.CharField()
    operation = serializers.ChoiceField(Change.Operation.choices)
    version = serializers.IntegerField(help_text="The record's version after the change.")
    before = AnyObject(allow_null=True, help_text="The former values of the changed fields.")
    after = AnyObject(allow_null=True)
    created_at = serializers.DateTimeField()
    undone = serializers.BooleanField()
    origin = OriginSerializer()


class UndoRequestSerializer(StrictSerializer):
    dry_run = serializers.BooleanField(required=False, default=False, help_text="Only foretell.")


class UndoConflictSerializer(serializers.Serializer[Any]):
    record = serializers.CharField()
    key = serializers.CharField(allow_null=True)
    reason = serializers.CharField()


class UndoResultSerializer(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField()
    reverted = serializers.IntegerField()
    refused = serializers.IntegerField()
    in_background = serializers.BooleanField(help_text="It goes on; the numbers are those so far.")
    total = serializers.IntegerField(help_text="Changes to take back.")
    conflicts = UndoConflictSerializer(many=True)


class BulkErrorSerializer(serializers.Serializer[Any]):
    row = serializers.IntegerField(help_text="The first row is 1.")
    field = serializers.CharField()
    column = serializers.CharField()
    value = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class BulkCountsSerializer(serializers.Serializer[Any]):
    """How many rows there were, and what became of them."""

    rows = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    restored = serializers.IntegerField()
    deleted = serializers.IntegerField()
    failed = serializers.IntegerField()


class BulkResultSerializer(serializers.Serializer[Any]):
    origin = serializers.CharField(allow_null=True, help_text="With which the call can be undone.")
    mode = serializers.CharField()
    dry_run = serializers.BooleanField()
    counts = BulkCountsSerializer()
    deletion_skipped = serializers.BooleanField(
        help_text="In mode replace nothing is deleted if a row was wrong."
    )
    errors = BulkErrorSerializer(many=True)  # type: ignore[assignment]


@extend_schema_field({"type": "object", "additionalProperties": {}})
class _Values(serializers.JSONField):
    pass


RECORD_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "A record: its own names, then its dataset's fields (see `datasets/{id}/schema`).",
    "required": ["id", "key", "dataset", "version", "created_at", "updated_at"],
    "properties": {
        "id": {"type": "string"},
        "key": {"type": ["string", "null"], "description": "The value of the dataset's key field."},
        "dataset": {"type": "string"},
        "version": {"type": "integer", "minimum": 1},
        "created_at": {"type": "string", "format": "date-time"},
        "updated_at": {"type": "string", "format": "date-time"},
        "deleted_at": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": True,
}
VALUES_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Values by field name, as in the dataset's JSON Schema.",
    "additionalProperties": True,
    "example": {"external_id": "C-1001", "name": "Ada Lovelace"},
}
