"""What the probes found, and who was heard when."""

from __future__ import annotations

from django.db import models

from apps.kernel.models import TimeOrdered


class HealthCheck(TimeOrdered):
    """The present state of one probe. It changes only after consecutive equal findings (hysteresis)."""

    PREFIX = "hlt"

    class Status(models.TextChoices):
        PASS = "pass", "Healthy"
        WARN = "warn", "Warning"
        FAIL = "fail", "Critical"
        UNKNOWN = "unknown", "Unknown"

    name = models.CharField(max_length=80, unique=True)
    title = models.CharField(max_length=120)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.UNKNOWN)
    detail = models.CharField(max_length=500, blank=True)
    observed = models.FloatField(null=True, blank=True)
    unit = models.CharField(max_length=24, blank=True)
    pending = models.CharField(max_length=8, blank=True, help_text="What the latest findings say instead.")
    consecutive = models.PositiveIntegerField(default=0, help_text="How many findings in a row said so.")
    since = models.DateTimeField(null=True, blank=True, help_text="Since when it has this status.")
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "check"

    def __str__(self) -> str:
        return self.title


class Heartbeat(TimeOrdered):
    """The last sign of life of one part of the hub: `queue:sync`, `scheduler`."""

    PREFIX = "hbt"

    name = models.CharField(max_length=80, unique=True)
    title = models.CharField(max_length=120)
    at = models.DateTimeField()
    host = models.CharField(max_length=120, blank=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.title
