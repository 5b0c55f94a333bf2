"""Events and their types on the wire."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.events.catalog import EventType
from apps.events.models import Event
from apps.kernel.api.serializers import StrictSerializer


class EventTypeSerializer(serializers.Serializer[EventType]):
    """A type of event: what is in its `data`, with a sample."""

    name = serializers.CharField(read_only=True, help_text="Such as `invoice.updated`.")
    description = serializers.CharField(read_only=True)
    group = serializers.CharField(read_only=True)
    version = serializers.IntegerField(read_only=True)
    schema = serializers.DictField(read_only=True, help_text="JSON Schema (2020-12) of `data`.")
    sample = serializers.DictField(read_only=True)
    own = serializers.BooleanField(read_only=True, help_text="Declared by the organization itself.")


class EventSerializer(serializers.Serializer[Event]):
    """Something that happened."""

    id = serializers.CharField(source="public_id", read_only=True)
    type = serializers.CharField(read_only=True)
    version = serializers.IntegerField(read_only=True)
    subject = serializers.CharField(read_only=True, help_text="Public id of the object it is about.")
    data = serializers.DictField(read_only=True)  # type: ignore[assignment]
    ordering_key = serializers.CharField(read_only=True)
    occurred_at = serializers.DateTimeField(read_only=True)


class _Object(serializers.JSONField):
    """Any JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("It must be an object.", "not_an_object")
        return super().to_internal_value(data)


class _TypeFields(StrictSerializer):
    description = serializers.CharField(required=False, allow_blank=True, max_length=300)
    group = serializers.CharField(required=False, allow_blank=True, max_length=60)
    schema = _Object(
        required=False,
        help_text="JSON Schema (2020-12) of `data`, without outside references; another is a new version.",
    )
    sample = _Object(required=False, help_text="Fits the schema; used for tests and previews.")
    is_active = serializers.BooleanField(required=False)


class NewEventTypeSerializer(_TypeFields):
    """A type of event of one's own."""

    name = serializers.CharField(max_length=100, help_text="Such as `order.shipped`.")


class EventTypeChangeSerializer(_TypeFields):
    """What may be changed of a type of one's own."""


class NewEventSerializer(StrictSerializer):
    """An event of one's own."""

    type = serializers.CharField(
        max_length=100,
        help_text="A type declared under `event-types`, or any `custom.…`, such as `custom.order.shipped`.",
    )
    data = _Object(  # type: ignore[assignment]
        help_text="At most 256 KiB; checked against the type's schema where it has one."
    )
    subject = serializers.CharField(required=False, allow_blank=True, default="", max_length=120)
    version = serializers.IntegerField(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        help_text="Version of the type's schema that the data follow; the newest if left out.",
    )
    ordering_key = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=120,
        help_text="Endpoints that ask for order get events of equal keys one after another.",
    )
