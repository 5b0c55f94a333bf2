"""Calls to providers: the log of each, counts per hour, and the windows of the rate limits."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.db import models
from django.db.models import Q

from apps.connectors.models.integrations import Integration
from apps.kernel.models import TimeOrdered


class IntegrationLog(TimeOrdered):
    """One call, with secrets masked and bodies cut. Kept for a while (see the retention task)."""

    PREFIX = "ilg"

    class Direction(models.TextChoices):
        INBOUND = "inbound", "Inbound"
        OUTBOUND = "outbound", "Outbound"

    # Written for every call: organization and integration are known to exist.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="logs", db_index=False, db_constraint=False
    )
    sync_job = models.ForeignKey(
        "connectors.SyncJob",
        on_delete=models.SET_NULL,
        related_name="logs",
        null=True,
        blank=True,
        db_index=False,
        db_constraint=False,
    )
    action = models.CharField(max_length=40)
    direction = models.CharField(max_length=8, choices=Direction.choices, default=Direction.OUTBOUND)
    method = models.CharField(max_length=8)
    endpoint = models.CharField(max_length=1000)
    ok = models.BooleanField()
    status_code = models.PositiveSmallIntegerField(null=True, blank=True)
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    bytes_received = models.PositiveBigIntegerField(default=0)
    request_data = models.JSONField(default=dict, blank=True)
    response_data = models.JSONField(default=dict, blank=True)
    error_message = models.CharField(max_length=500, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "call"
        indexes = [
            models.Index(fields=["integration", "-id"], name="integration_log_of"),
            models.Index(fields=["organization", "-id"], name="integration_log_org"),
            models.Index(fields=["sync_job", "-id"], name="integration_log_job"),
            models.Index(
                fields=["integration", "created_at"],
                name="integration_log_checks",
                condition=Q(action__in=("check", "test")),
            ),
            models.Index(
                fields=["organization", "-id"], name="integration_log_failed", condition=Q(ok=False)
            ),
            models.Index(fields=["organization", "status_code", "-id"], name="integration_log_status"),
            models.Index(fields=["organization", "action", "-id"], name="integration_log_action"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def path(self) -> str:
        """The endpoint without its host."""
        parts = urlsplit(self.endpoint)
        return f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"


class CallCount(models.Model):
    """Calls of one integration in one hour: what statistics and charts add up."""

    id = models.BigAutoField(primary_key=True)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="call_counts", db_index=False
    )
    hour = models.DateTimeField()
    requests = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    duration_ms = models.PositiveBigIntegerField(default=0)
    bytes_received = models.PositiveBigIntegerField(default=0)
    last_request_at = models.DateTimeField()

    class Meta:
        ordering = ["-hour"]
        constraints = [models.UniqueConstraint(fields=["integration", "hour"], name="call_count_unique")]
        indexes = [models.Index(fields=["hour"], name="call_count_hour")]

    def __str__(self) -> str:
        return f"{self.requests} in {self.hour:%Y-%m-%d %H:00}"


class RateWindow(models.Model):
    """Calls made in the present minute, hour or day: one row each, shared by all workers."""

    id = models.BigAutoField(primary_key=True)
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="rate_windows", db_index=False
    )
    seconds = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    used = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["integration", "seconds"], name="rate_window_unique")]

    def __str__(self) -> str:
        return f"{self.used} in {self.seconds} s"
