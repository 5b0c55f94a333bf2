"""What is owed for a finished job: its file to a place or by mail, or a notice about it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.jobs.models.jobs import Job
from apps.jobs.models.locations import FileLocation
from apps.jobs.models.schedules import ScheduleRun
from apps.jobs.schedule_statuses import DeliveryKind, DeliveryStatus
from apps.kernel.leases import Leased
from apps.kernel.models import TimeOrdered


class JobDelivery(TimeOrdered, Leased):
    """One thing owed for a job, or a notice about a run without one; it waits until `next_attempt_at`.

    While it waits without a time, the file is not there yet, and `path` is the pattern of its name.
    """

    PREFIX = "jdl"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="deliveries", null=True, blank=True)
    run = models.ForeignKey(
        ScheduleRun,
        on_delete=models.CASCADE,
        related_name="notices",
        null=True,
        blank=True,
        help_text="Of a notice about a run that made no job.",
    )
    kind = models.CharField(max_length=8, choices=DeliveryKind.choices)
    location = models.ForeignKey(
        FileLocation, on_delete=models.SET_NULL, related_name="+", null=True, blank=True
    )
    path = models.CharField(max_length=1000, blank=True, help_text="Below the place's folder.")
    recipients = models.JSONField(default=list, blank=True)
    status = models.CharField(max_length=9, choices=DeliveryStatus.choices, default=DeliveryStatus.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, default=timezone.now)
    last_error = models.CharField(max_length=500, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["organization", "id"], name="job_delivery_org"),
            models.Index(fields=["organization", "status", "id"], name="job_delivery_status"),
            models.Index(
                fields=["next_attempt_at"],
                name="job_delivery_due",
                condition=Q(status=DeliveryStatus.WAITING),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.to}"

    @property
    def to(self) -> str:
        """Where it goes, for people."""
        if self.kind == DeliveryKind.LOCATION:
            return f"{self.location or 'a place that was deleted'}: {self.path}".rstrip(": ")
        return ", ".join(str(address) for address in self.recipients)
