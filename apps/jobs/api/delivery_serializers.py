"""Where exported files are brought, and what became of it, as the API says it."""

from __future__ import annotations

from rest_framework import serializers

from apps.jobs.models import JobDelivery
from apps.jobs.schedule_statuses import DeliveryKind, DeliveryStatus
from apps.jobs.services import naming
from apps.kernel.api.serializers import PublicIdField, StrictSerializer


class DestinationSerializer(StrictSerializer):
    """Where an exported file is brought: to a place, or by mail."""

    kind = serializers.ChoiceField(
        [(kind.value, kind.label) for kind in (DeliveryKind.LOCATION, DeliveryKind.MAIL)]
    )
    location = PublicIdField(required=False, help_text="Of a place.")
    path = serializers.CharField(
        max_length=500,
        required=False,
        allow_blank=True,
        default="",
        help_text=f"With {', '.join(f'{{{name}}}' for name in naming.PLACEHOLDERS)}; else {naming.DEFAULT}.",
    )
    recipients = serializers.ListField(
        child=serializers.EmailField(), max_length=20, required=False, default=list, help_text="Of a mail."
    )


class NewDeliverySerializer(DestinationSerializer):
    """Where the file of a finished export is brought now."""

    job = PublicIdField(help_text="The export's number.")


class JobDeliverySerializer(serializers.Serializer[JobDelivery]):
    """What is owed for a job: its file to a place or by mail, or a notice."""

    id = serializers.CharField(source="public_id", read_only=True)
    job = serializers.CharField(source="job.number", default=None, allow_null=True)
    schedule = serializers.CharField(source="run.schedule.number", default=None, allow_null=True)
    kind = serializers.ChoiceField(DeliveryKind.choices)
    location = serializers.CharField(source="location.public_id", default=None, allow_null=True)
    path = serializers.CharField()
    recipients = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(DeliveryStatus.choices)
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField()
    delivered_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
