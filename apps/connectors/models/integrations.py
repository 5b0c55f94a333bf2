"""An organization's configured use of a connector, its streams, and what happened to the connection."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.connectors.registry import Connector, connectors
from apps.connectors.statuses import (
    ConnectionAction,
    ConnectionMethod,
    Direction,
    Environment,
    HealthStatus,
    IntegrationStatus,
    SyncMode,
    SyncStatus,
)
from apps.kernel.crypto.fields import EncryptedJSONField, EncryptedTextField
from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered

if TYPE_CHECKING:
    from apps.tenants.models import Organization


SCORE_SPAN = timedelta(days=7)


class IntegrationQuerySet(models.QuerySet["Integration"]):
    def live(self) -> IntegrationQuerySet:
        """All that were not removed."""
        return self.filter(removed_at=None)

    def of(self, organization: Organization) -> IntegrationQuerySet:
        return self.filter(organization=organization)

    def active_by_type(self, type: str) -> IntegrationQuerySet:
        return self.live().filter(type=type, status=IntegrationStatus.ACTIVE)

    def needing_sync(self, at: datetime | None = None) -> IntegrationQuerySet:
        """Active integrations whose scheduled sync is due, the longest due first."""
        return (
            self.live()
            .filter(
                status=IntegrationStatus.ACTIVE,
                sync_enabled=True,
                auto_sync=True,
                next_sync_at__lte=at or timezone.now(),
            )
            .order_by("next_sync_at")
        )

    def needing_check(self, at: datetime | None = None) -> IntegrationQuerySet:
        """Integrations whose health check is due."""
        return (
            self.live()
            .filter(
                status__in=(IntegrationStatus.ACTIVE, IntegrationStatus.ERROR),
                next_check_at__lte=at or timezone.now(),
            )
            .order_by("next_check_at")
        )

    def with_health_score(self) -> IntegrationQuerySet:
        """Annotates the sums that `health_score` is made of, so that lists need no query for each row."""
        from apps.connectors.models.calls import CallCount

        recent = (
            CallCount.objects.filter(integration=models.OuterRef("pk"), hour__gte=timezone.now() - SCORE_SPAN)
            .order_by()
            .values("integration")
        )
        return self.annotate(
            _requests=models.Subquery(recent.annotate(n=models.Sum("requests")).values("n")),
            _failures=models.Subquery(recent.annotate(n=models.Sum("failures")).values("n")),
        )

    def statistics(self) -> list[dict[str, Any]]:
        """By type: how many there are, how many are active, in error, healthy."""
        healthy = Q(health_status=HealthStatus.HEALTHY)
        rows: Any = (
            self.live()
            .values("type")
            .annotate(
                total=models.Count("id"),
                active=models.Count("id", filter=Q(status=IntegrationStatus.ACTIVE)),
                in_error=models.Count("id", filter=Q(status=IntegrationStatus.ERROR)),
                healthy=models.Count("id", filter=healthy),
                last_sync_at=models.Max("last_sync_at"),
            )
            .order_by("type")
        )
        return list(rows)


class Integration(TimeOrdered, Stamped, Leased):
    """One organization's use of one connector, with its credentials, settings, schedule and health."""

    PREFIX = "int"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="integrations", db_index=False
    )
    project = models.ForeignKey(
        "tenants.Project", on_delete=models.PROTECT, related_name="integrations", null=True, blank=True
    )
    number = models.CharField(max_length=20, editable=False)
    name = models.CharField(max_length=120)
    display_name = models.CharField(
        max_length=120, blank=True, help_text="What people read; the name if empty."
    )
    description = models.TextField(blank=True)
    code = models.SlugField(
        max_length=60, help_text="Unique in this hub; part of the address that inbound webhooks are sent to."
    )
    connector = models.CharField(max_length=60, help_text="The catalog entry that it uses.")
    provider = models.CharField(max_length=80)
    type = models.CharField(max_length=40)
    category = models.CharField(max_length=40)
    environment = models.CharField(max_length=16, choices=Environment.choices, default=Environment.PRODUCTION)

    status = models.CharField(
        max_length=16, choices=IntegrationStatus.choices, default=IntegrationStatus.PENDING_SETUP
    )
    status_reason = models.CharField(max_length=500, blank=True)
    auth_mode = models.CharField(max_length=40, default="none")
    connection_method = models.CharField(
        max_length=16, choices=ConnectionMethod.choices, default=ConnectionMethod.CUSTOM
    )
    credentials = EncryptedJSONField(null=True, blank=True)
    webhook_secret = EncryptedTextField(null=True, blank=True)
    config = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(
        default=dict, blank=True, help_text="Anything that your programs want to note."
    )

    sync_enabled = models.BooleanField(default=True)
    sync_direction = models.CharField(max_length=16, choices=Direction.choices, default=Direction.INBOUND)
    auto_sync = models.BooleanField(default=False, help_text="Sync by the schedule, without being asked.")
    sync_interval_minutes = models.PositiveIntegerField(default=0, help_text="0: not by interval.")
    sync_crontab = models.CharField(
        max_length=100,
        blank=True,
        help_text="Minute, hour, day, month, weekday in the organization's time zone.",
    )
    sync_on_create = models.BooleanField(default=False)
    sync_on_update = models.BooleanField(default=False)
    sync_on_delete = models.BooleanField(default=False)
    last_sync_at = models.DateTimeField(null=True, blank=True)
    last_sync_status = models.CharField(max_length=16, choices=SyncStatus.choices, blank=True)
    next_sync_at = models.DateTimeField(null=True, blank=True)

    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    requests_per_hour = models.PositiveIntegerField(null=True, blank=True)
    requests_per_day = models.PositiveIntegerField(null=True, blank=True)

    health_status = models.CharField(
        max_length=10, choices=HealthStatus.choices, default=HealthStatus.UNKNOWN
    )
    last_health_check = models.DateTimeField(null=True, blank=True)
    next_check_at = models.DateTimeField(null=True, blank=True)
    response_time_ms = models.PositiveIntegerField(null=True, blank=True)
    last_error = models.CharField(max_length=500, blank=True)
    last_error_at = models.DateTimeField(null=True, blank=True)
    consecutive_failures = models.PositiveIntegerField(default=0)
    consecutive_successes = models.PositiveIntegerField(default=0)
    test_passed = models.BooleanField(
        null=True, blank=True, help_text="Whether the last test of the present settings went well."
    )
    tested_at = models.DateTimeField(null=True, blank=True)

    created_by = models.CharField(max_length=200, blank=True)
    last_modified_by = models.CharField(max_length=200, blank=True)
    connected_at = models.DateTimeField(null=True, blank=True)
    disconnected_at = models.DateTimeField(null=True, blank=True)
    disconnected_by = models.CharField(max_length=200, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[Any] = IntegrationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="integration_number_unique"),
            models.UniqueConstraint(
                fields=["code"], name="integration_code_unique", condition=Q(removed_at=None)
            ),
            models.CheckConstraint(
                name="integration_sync_consistent",
                condition=Q(auto_sync=False) | (Q(sync_enabled=True) & ~Q(sync_direction=Direction.NONE)),
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization", "-id"], name="integration_org", condition=Q(removed_at=None)
            ),
            models.Index(fields=["organization", "type", "status"], name="integration_type"),
            models.Index(fields=["organization", "provider", "status"], name="integration_provider"),
            models.Index(fields=["organization", "category", "status"], name="integration_category"),
            models.Index(fields=["organization", "status", "-id"], name="integration_status"),
            models.Index(fields=["organization", "created_by", "status"], name="integration_creator"),
            models.Index(fields=["organization", "health_status"], name="integration_health"),
            models.Index(fields=["organization", "last_sync_at"], name="integration_last_sync"),
            models.Index(fields=["organization", "name"], name="integration_name"),
            models.Index(
                fields=["next_sync_at"],
                name="integration_due",
                condition=Q(removed_at=None, auto_sync=True, status=IntegrationStatus.ACTIVE),
            ),
            models.Index(
                fields=["next_check_at"],
                name="integration_check",
                condition=Q(removed_at=None, next_check_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.name

    @property
    def public_id(self) -> str:
        return self.number

    @property
    def catalog_entry(self) -> Connector | None:
        """The connector that it uses; None if this version of the hub does not have it."""
        return connectors.get(self.connector)

    @property
    def webhook_url(self) -> str:
        """Where the provider sends its webhooks."""
        return f"{str(settings.HUB_BASE_URL).rstrip('/')}/api/v1/webhooks/receive/{self.code}"

    @property
    def schedule_text(self) -> str:
        """The schedule as a person says it."""
        if not (self.sync_enabled and self.auto_sync):
            return "By hand"
        if self.sync_crontab:
            return f"At {self.sync_crontab}"
        minutes = self.sync_interval_minutes
        for size, one, many in ((1440, "day", "days"), (60, "hour", "hours"), (1, "minute", "minutes")):
            if minutes and minutes % size == 0:
                count = minutes // size
                return f"Every {one}" if count == 1 else f"Every {count} {many}"
        return "By hand"

    @property
    def connection_status_description(self) -> str:
        """The status in a sentence."""
        match self.status:
            case IntegrationStatus.ACTIVE:
                return "Connected and working."
            case IntegrationStatus.INACTIVE:
                return "Paused: nothing is read or sent until it is resumed."
            case IntegrationStatus.ERROR:
                return self.status_reason or self.last_error or "It stopped because of an error."
            case IntegrationStatus.TESTING:
                return "The connection is being tried out; it does not sync by itself."
            case IntegrationStatus.DISCONNECTED:
                return "Disconnected: it keeps its settings, and can be connected again."
        if self.test_passed:
            return "The test went well; activate it to begin."
        return "Not set up yet: enter the credentials and test the connection."

    @property
    def health_score(self) -> int | None:
        """Successful calls of the last 7 days per hundred; None if there were none."""
        if not hasattr(self, "_requests"):
            found = type(self).objects.filter(pk=self.pk).with_health_score().first()
            self._requests = getattr(found, "_requests", None)
            self._failures = getattr(found, "_failures", None)
        if not self._requests:
            return None
        return round(100 * (self._requests - (self._failures or 0)) / self._requests)

    @property
    def days_since_last_sync(self) -> int | None:
        return (timezone.now() - self.last_sync_at).days if self.last_sync_at else None


class IntegrationStream(TimeOrdered, Stamped):
    """One stream of an integration: where its records go, how it is read, and how far."""

    PREFIX = "ist"

    integration = models.ForeignKey(Integration, on_delete=models.CASCADE, related_name="streams")
    name = models.CharField(max_length=60)
    dataset = models.ForeignKey("records.Dataset", on_delete=models.PROTECT, related_name="+")
    mapping = models.ForeignKey(
        "records.Mapping", on_delete=models.PROTECT, related_name="streams", null=True, blank=True
    )
    enabled = models.BooleanField(default=True)
    mode = models.CharField(max_length=12, choices=SyncMode.choices, default=SyncMode.INCREMENTAL)
    state = models.JSONField(default=dict, blank=True, editable=False)
    revision = models.PositiveIntegerField(
        default=0, editable=False, help_text="Raised when a change sets the stream back to its beginning."
    )
    delete_missing = models.BooleanField(
        default=False, help_text="After a full sync, delete records that the provider no longer has."
    )
    delete_limit_percent = models.PositiveSmallIntegerField(
        default=20, help_text="Refuse to delete more than this share of the records at once."
    )
    last_synced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["integration", "name"], name="integration_stream_unique"),
            models.CheckConstraint(
                name="integration_stream_limit", condition=Q(delete_limit_percent__lte=100)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def cursor(self) -> str | None:
        """The time up to which everything was read."""
        found = self.state.get("cursor")
        return str(found) if found else None


class ConnectionEvent(TimeOrdered):
    """Something that happened to a connection. Never changed."""

    PREFIX = "cev"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="connection_events", db_index=False
    )
    action = models.CharField(max_length=16, choices=ConnectionAction.choices)
    performed_by = models.CharField(max_length=200, blank=True)
    details = models.CharField(max_length=500, blank=True)
    data = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["integration", "-id"], name="connection_event_of"),
            models.Index(fields=["organization", "action", "-id"], name="connection_event_action"),
        ]

    def __str__(self) -> str:
        return self.get_action_display()
