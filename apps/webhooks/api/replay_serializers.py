"""Orders to send again on the wire."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from apps.kernel.api.serializers import StrictSerializer
from apps.webhooks.choices import SELECTABLE, Counted
from apps.webhooks.models import Replay
from apps.webhooks.services.replays import MAX_SELECTED
from apps.webhooks.statuses import Chosen, DeliveryStatus, ReplayStatus
from apps.webhooks.validation import MAX_PATTERNS

OF_AN_ENDPOINT = [choice for choice in Chosen.choices if choice[0] != Chosen.SELECTED]
SELECTABLE_CHOICES = [choice for choice in DeliveryStatus.choices if choice[0] in SELECTABLE]


class EventTypesField(serializers.ListField):
    """Event types or wildcards of them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            child=serializers.CharField(max_length=100),
            required=False,
            default=list,
            max_length=MAX_PATTERNS,
            help_text="Names or wildcards such as `invoice.*`; without, of any type.",
            **kwargs,
        )


class ReplaySerializer(StrictSerializer):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(required=False, default=None, allow_null=True)
    what = serializers.ChoiceField(OF_AN_ENDPOINT, required=False, default=Chosen.FAILED)
    event_types = EventTypesField()
    count_only = serializers.BooleanField(
        required=False, default=False, help_text="Only say how many it would be."
    )


class RetrySerializer(StrictSerializer):
    """Deliveries by their ids, or by where they stand and when they were created."""

    ids = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, default=list, max_length=MAX_SELECTED
    )
    webhook = serializers.CharField(required=False, default="", allow_blank=True, max_length=60)
    status = serializers.ListField(
        child=serializers.ChoiceField(SELECTABLE_CHOICES),
        required=False,
        default=list,
        help_text="Without: in any state. Those that are under way are left alone.",
    )
    event_types = EventTypesField()
    since = serializers.DateTimeField(required=False, default=None, allow_null=True)
    until = serializers.DateTimeField(required=False, default=None, allow_null=True)
    count_only = serializers.BooleanField(
        required=False, default=False, help_text="Only say how many it would be."
    )


class ReplayProgressSerializer(serializers.Serializer[Replay]):
    sent = serializers.IntegerField(read_only=True, help_text="Deliveries that are owed again by now.")
    percent_complete = serializers.IntegerField(read_only=True)
    per_second = serializers.FloatField(read_only=True, allow_null=True)
    estimated_seconds_remaining = serializers.SerializerMethodField()

    def get_estimated_seconds_remaining(self, replay: Replay) -> int | None:
        remaining = replay.remaining
        return None if remaining is None else round(remaining.total_seconds())


class ReplayedSerializer(serializers.Serializer[Any]):
    """An order to send again, how many deliveries it is about, and how far it is.

    Where they were only counted, there is no order: `id` and `status` are null.
    """

    failed = serializers.IntegerField(read_only=True)
    delivered = serializers.IntegerField(read_only=True)
    missing = serializers.IntegerField(read_only=True)
    waiting = serializers.IntegerField(read_only=True)
    total = serializers.IntegerField(read_only=True)
    is_exact = serializers.SerializerMethodField(
        help_text="False while not everything was looked at: it will be this many or more."
    )
    id = serializers.CharField(source="number", read_only=True, allow_null=True, default=None)
    webhook = serializers.CharField(source="endpoint.number", read_only=True, allow_null=True, default=None)
    what = serializers.ChoiceField(Chosen.choices, read_only=True, allow_null=True, default=None)
    since = serializers.DateTimeField(read_only=True, allow_null=True, default=None)
    until = serializers.DateTimeField(read_only=True, allow_null=True, default=None)
    event_types = serializers.ListField(child=serializers.CharField(), read_only=True, default=list)
    status = serializers.ChoiceField(ReplayStatus.choices, read_only=True, allow_null=True, default=None)
    status_reason = serializers.CharField(read_only=True, default="")
    progress = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField(read_only=True, allow_null=True, default=None)
    completed_at = serializers.DateTimeField(read_only=True, allow_null=True, default=None)

    def get_is_exact(self, found: Replay | Counted) -> bool:
        return found.total is not None if isinstance(found, Replay) else found.is_exact

    @extend_schema_field(ReplayProgressSerializer(allow_null=True))
    def get_progress(self, found: Replay | Counted) -> dict[str, Any] | None:
        return dict(ReplayProgressSerializer(found).data) if isinstance(found, Replay) else None

    def to_representation(self, found: Any) -> dict[str, Any]:
        told: dict[str, Any] = super().to_representation(found)
        if told["total"] is None:
            told["total"] = sum(told[name] for name in ("failed", "delivered", "missing", "waiting"))
        return told
