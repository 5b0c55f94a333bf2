"""Sending many messages again: the order, and how far it is."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import Q

from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered
from apps.webhooks.models.endpoints import no_list
from apps.webhooks.statuses import UNFINISHED, Chosen, ReplayStatus


class Replay(TimeOrdered, Stamped, Leased):
    """An order to send past messages again, worked off page by page by whoever holds its lease.

    Each page is one transaction with what it owes, the numbers and `checkpoint`, so that whoever comes after
    a killed worker goes on where it ended.
    """

    PREFIX = "rpl"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    number = models.CharField(max_length=20, editable=False)
    endpoint = models.ForeignKey(
        "webhooks.WebhookEndpoint",
        on_delete=models.PROTECT,
        related_name="replays",
        db_index=False,
        null=True,
        blank=True,
        help_text="Empty: of all endpoints.",
    )
    what = models.CharField(max_length=8, choices=Chosen.choices, default=Chosen.FAILED)
    statuses = models.JSONField(
        default=no_list, blank=True, help_text="Of selected deliveries; empty: in any state."
    )
    event_types = models.JSONField(default=no_list, blank=True, help_text="Or wildcards; empty: of any type.")
    delivery_ids = models.JSONField(default=no_list, blank=True, help_text="Exactly these deliveries.")
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField()

    status = models.CharField(max_length=10, choices=ReplayStatus.choices, default=ReplayStatus.RUNNING)
    status_reason = models.CharField(max_length=500, blank=True)

    # What was counted before the first one was sent; `total` is empty until somebody has counted to the end.
    total = models.PositiveIntegerField(null=True)
    failed = models.PositiveIntegerField(default=0)
    delivered = models.PositiveIntegerField(default=0)
    missing = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)

    sent = models.PositiveIntegerField(default=0, help_text="Deliveries that are owed again by now.")
    checkpoint = models.JSONField(default=dict, blank=True, editable=False)
    work_seconds = models.FloatField(default=0, help_text="Time at work, without pauses.")
    attempts = models.PositiveIntegerField(
        default=0, help_text="Times that a worker took it up without progress."
    )
    completed_at = models.DateTimeField(null=True, blank=True)

    actor_kind = models.CharField(max_length=16)
    actor_ref = models.CharField(max_length=120, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="replay_number_unique"),
        ]
        indexes = [
            models.Index(fields=["organization", "id"], name="replay_org"),
            models.Index(fields=["organization", "status", "id"], name="replay_status"),
            models.Index(fields=["endpoint", "id"], name="replay_endpoint"),
            models.Index(fields=["lease_until"], name="replay_due", condition=Q(status=ReplayStatus.RUNNING)),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def public_id(self) -> str:
        return self.number

    @property
    def is_running(self) -> bool:
        return self.status == ReplayStatus.RUNNING

    @property
    def is_finished(self) -> bool:
        return self.status not in UNFINISHED

    @property
    def is_waiting(self) -> bool:
        """Ordered, but no worker has begun."""
        return self.is_running and not self.lease_owner

    @property
    def percent_complete(self) -> int:
        """0 to 100; 100 only when it is over and done."""
        if self.status == ReplayStatus.COMPLETED:
            return 100
        return min(99, 100 * self.sent // self.total) if self.total else 0

    @property
    def per_second(self) -> float | None:
        """Deliveries a second, of the time at work."""
        return round(self.sent / self.work_seconds, 1) if self.sent and self.work_seconds > 0 else None

    @property
    def remaining(self) -> timedelta | None:
        """How long it still takes; None when it is not running, or has not shown its pace yet."""
        rate = self.per_second
        if not self.is_running or not rate or self.total is None:
            return None
        return timedelta(seconds=max(0, self.total - self.sent) / rate)
