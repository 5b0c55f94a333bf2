"""Where events are sent to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.events.catalog import matches
from apps.kernel.crypto.fields import EncryptedJSONField, EncryptedTextField
from apps.kernel.models import Stamped, TimeOrdered
from apps.tenants.models import Organization
from apps.webhooks.signing import PRIVATE, public_key_of
from apps.webhooks.statuses import (
    LISTENING,
    AuthType,
    EndpointStatus,
    HealthStatus,
    Method,
    Ordering,
    PayloadFormat,
)
from apps.webhooks.templating import CONTENT_TYPES

MAX_PREVIOUS_SECRETS = 10


def no_list() -> list[Any]:
    return []


class EndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    """Endpoints. The removed ones stay for their history; ask for `kept()` to leave them out."""

    def kept(self) -> EndpointQuerySet:
        return self.filter(removed_at=None)

    def listening(self, organization_id: Any) -> EndpointQuerySet:
        """Those of an organization whose events become deliveries."""
        return self.filter(organization_id=organization_id, status__in=LISTENING, removed_at=None)

    def for_event(self, organization: Organization, event_type: str) -> EndpointQuerySet:
        """Those of an organization that are subscribed to an event type, also by a wildcard."""
        rows = self.listening(organization.pk).values_list("pk", "events")
        return self.filter(pk__in=[pk for pk, events in rows if any(matches(p, event_type) for p in events)])

    def statistics(self, *, since: datetime | None = None) -> dict[str, Any]:
        """Sums over these endpoints: deliveries and attempts since a time (the last 30 days)."""
        from apps.webhooks.selectors import statistics_of

        return statistics_of(self.values("pk"), since=since)


class WebhookEndpoint(TimeOrdered, Stamped):
    """One organization's address for events, with everything that says what is sent there, and how."""

    PREFIX = "whk"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="webhook_endpoints", db_index=False
    )
    project = models.ForeignKey(
        "tenants.Project", on_delete=models.PROTECT, related_name="webhook_endpoints", null=True, blank=True
    )
    number = models.CharField(max_length=20, editable=False)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    created_by = models.CharField(max_length=200, blank=True, editable=False)

    # Whole, since keys may stand anywhere in it; `url_shown` is what lists, logs and the API may tell of it.
    url = EncryptedTextField("URL", null=True, editable=True)
    url_shown = models.CharField("URL", max_length=2000, editable=False)
    method = models.CharField(max_length=5, choices=Method.choices, default=Method.POST)
    secret = EncryptedTextField("signing secret")
    # [{"secret": "whsec_…", "expires_at": "2026-…Z"}]: what rotation keeps alive, newest first.
    previous_secrets = EncryptedJSONField(default=no_list)

    events = models.JSONField(default=no_list, help_text="Event types or wildcards: invoice.*, or * for all.")
    event_filters = models.JSONField(
        default=dict, blank=True, help_text='Conditions on the event\'s data, such as {"status": "paid"}.'
    )
    status = models.CharField(
        max_length=10, choices=EndpointStatus.choices, default=EndpointStatus.ACTIVE, editable=False
    )

    headers = EncryptedJSONField(default=dict)
    auth_type = models.CharField(
        "authentication", max_length=10, choices=AuthType.choices, default=AuthType.NONE
    )
    auth_config = EncryptedJSONField(default=dict)

    timeout = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(60)],
        help_text="Seconds that one attempt may take in all. Empty: the hub's setting (15).",
    )
    retry_attempts = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(50)],
        help_text="Attempts after the first one. Empty: as many as the schedule has steps.",
    )
    retry_intervals = models.JSONField(
        default=no_list,
        blank=True,
        help_text="Seconds before each retry. Empty: the hub's schedule, from 5 s to 24 h.",
    )
    retry_on_status = models.JSONField(
        default=no_list, blank=True, help_text="HTTP statuses worth a retry. Empty: all that are not 2xx."
    )
    ordering = models.CharField(max_length=8, choices=Ordering.choices, default=Ordering.NONE)
    max_concurrency = models.PositiveSmallIntegerField(
        default=50,
        validators=[MinValueValidator(1), MaxValueValidator(500)],
        help_text="Requests that may be on their way to this endpoint at once.",
    )
    batch_delivery = models.BooleanField(default=False)
    batch_size = models.PositiveSmallIntegerField(
        default=100, validators=[MinValueValidator(1), MaxValueValidator(1000)]
    )
    batch_window = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(3600)], help_text="Seconds."
    )

    payload_format = models.CharField(
        "format", max_length=8, choices=PayloadFormat.choices, default=PayloadFormat.JSON
    )
    include_full_payload = models.BooleanField(
        default=True, help_text="Off: only which object the event is about, for receivers that fetch it."
    )
    include_metadata = models.BooleanField(
        default=False, help_text="Adds organization, subject and schema version."
    )
    include_timestamp = models.BooleanField(default=True)
    custom_template = models.TextField(blank=True)
    custom_content_type = models.CharField(
        "content type",
        max_length=40,
        choices=[(name, name) for name in CONTENT_TYPES],
        default=CONTENT_TYPES[0],
        help_text="What the template makes.",
    )

    rate_limit_per_second = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(10_000)]
    )
    rate_limit_per_minute = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )

    ip_allow_list = models.JSONField(
        "IP allow list",
        default=no_list,
        blank=True,
        help_text="Networks (CIDR) that the URL's name may lead to. Empty: any that the hub may call.",
    )
    validate_ssl = models.BooleanField("validate TLS certificates", default=True)
    sign_payload = models.BooleanField(default=True)
    signature_header = models.CharField(
        max_length=100,
        blank=True,
        help_text="Name of an additional header t=…,v1=… for receivers that know no Standard Webhooks.",
    )

    health_status = models.CharField(
        max_length=10, choices=HealthStatus.choices, default=HealthStatus.UNKNOWN, editable=False
    )
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    max_consecutive_failures = models.PositiveIntegerField(
        default=100,
        validators=[MinValueValidator(1), MaxValueValidator(100_000)],
        help_text="Failed attempts in a row, over at least 12 hours, after which it is paused by itself.",
    )
    first_failure_at = models.DateTimeField(null=True, editable=False)
    alerted_percent = models.PositiveSmallIntegerField(default=0, editable=False)

    paused_at = models.DateTimeField(null=True, editable=False)
    paused_by = models.CharField(max_length=200, blank=True, editable=False)
    pause_reason = models.CharField(max_length=300, blank=True, editable=False)
    next_probe_at = models.DateTimeField(
        null=True, editable=False, help_text="When one held delivery is let through to see if it is back."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "webhook endpoint"
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="endpoint_number_unique"),
        ]
        indexes = [
            models.Index(fields=["organization", "id"], name="endpoint_org", condition=Q(removed_at=None)),
            models.Index(
                fields=["organization", "status"], name="endpoint_status", condition=Q(removed_at=None)
            ),
            models.Index(
                fields=["organization", "health_status"], name="endpoint_health", condition=Q(removed_at=None)
            ),
            models.Index(
                fields=["next_probe_at"], name="endpoint_probe", condition=Q(next_probe_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} {self.name}"

    @property
    def is_active(self) -> bool:
        return self.status == EndpointStatus.ACTIVE and self.removed_at is None

    @property
    def is_healthy(self) -> bool:
        """Whether its last attempts succeeded; an endpoint that was never called is not known to be."""
        return self.health_status == HealthStatus.HEALTHY

    @property
    def success_rate_percentage(self) -> float | None:
        """Of the attempts of the last 30 days, how many per cent succeeded; None without any."""
        from apps.webhooks.selectors import success_rate

        return success_rate(self)

    @property
    def days_since_last_delivery(self) -> int | None:
        """Whole days since something was last delivered; None if nothing ever was."""
        from apps.webhooks.selectors import last_delivered_at

        last = last_delivered_at(self)
        return None if last is None else (timezone.now() - last) // timedelta(days=1)

    def subscribes_to(self, event_type: str) -> bool:
        return any(matches(pattern, event_type) for pattern in self.events)

    @property
    def public_key(self) -> str:
        """What receivers verify ed25519 signatures with (`whpk_…`); empty with a symmetric secret."""
        return public_key_of(self.secret) if self.secret.startswith(PRIVATE) else ""

    def live_secrets(self, at: datetime | None = None) -> list[str]:
        """The secrets to sign with: the current one first, then those that rotation keeps alive."""
        now = timezone.now() if at is None else at
        older = [
            entry["secret"]
            for entry in self.previous_secrets
            if datetime.fromisoformat(entry["expires_at"]) > now
        ]
        return [self.secret, *older[:MAX_PREVIOUS_SECRETS]]
