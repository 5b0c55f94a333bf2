"""What happened: the transactional outbox."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from apps.kernel.models import Stamped, TimeOrdered


class Event(TimeOrdered):
    """Something that subscribers may want to know, written in the transaction of what it tells."""

    PREFIX = "evt"

    # Written in bulk by services that hold the organization: no constraint trigger per row.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    type = models.CharField(max_length=100)
    version = models.PositiveSmallIntegerField(default=1)
    subject = models.CharField(max_length=120, blank=True, help_text="Public id of the object it is about.")
    data = models.JSONField(encoder=DjangoJSONEncoder)
    occurred_at = models.DateTimeField()
    ordering_key = models.CharField(max_length=120, blank=True)
    fanned_out_at = models.DateTimeField(null=True, blank=True)
    expunged_at = models.DateTimeField(
        null=True, blank=True, help_text="When its data was removed at somebody's request."
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["organization", "id"],
                name="event_due",
                condition=models.Q(fanned_out_at__isnull=True),
            ),
            models.Index(fields=["organization", "type", "id"], name="event_type"),
            models.Index(fields=["organization", "id"], name="event_org"),
            models.Index(fields=["organization", "subject", "id"], name="event_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.public_id}"


class StalledEvent(TimeOrdered):
    """An event that one subscriber could not take: tried again by itself, so that it holds up no other."""

    PREFIX = "stl"

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="stalls")
    subscriber = models.CharField(max_length=60)
    attempts = models.PositiveSmallIntegerField(default=1)
    next_attempt_at = models.DateTimeField(null=True, blank=True, db_index=True, help_text="Empty: given up.")
    last_error = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["event", "subscriber"], name="stalled_event_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.event} stalled at {self.subscriber}"


class OwnEventType(TimeOrdered, Stamped):
    """A type of event that an organization declares for what it publishes itself.

    `version` counts the changes of its schema; every version stays, so that publishers can
    move on in their time.
    """

    PREFIX = "ety"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="event_types", db_index=False
    )
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=300, blank=True)
    group = models.CharField(max_length=60, blank=True, default="Own")
    version = models.PositiveSmallIntegerField(default=1, editable=False)
    schema = models.JSONField(
        "JSON Schema",
        default=dict,
        blank=True,
        help_text="JSON Schema (2020-12) of the event's data. Empty: any object.",
    )
    sample = models.JSONField(
        default=dict, blank=True, help_text="A sample of the data: for tests and previews."
    )
    is_active = models.BooleanField(
        default=True, help_text="Off: nothing of this type is published any more."
    )

    class Meta:
        ordering = ["name"]
        verbose_name = "event type"
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="own_event_type_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class OwnEventTypeVersion(TimeOrdered):
    """One version of the schema of an organization's own event type."""

    PREFIX = "etv"

    event_type = models.ForeignKey(
        OwnEventType, on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    version = models.PositiveSmallIntegerField()
    schema = models.JSONField(default=dict)
    sample = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["event_type", "version"], name="own_event_type_version_unique"),
        ]

    def __str__(self) -> str:
        return f"version {self.version}"
