"""What is owed to endpoints, and every try at paying it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.kernel.leases import Leased
from apps.kernel.models import TimeOrdered
from apps.webhooks.statuses import OPEN, WAITING, Cause, DeliveryStatus

KEPT_BODY = 16 * 1024


class Payload(TimeOrdered):
    """The exact bytes of a message: stored once, signed and sent as they are to every endpoint that gets
    them.
    """

    PREFIX = "pay"

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    # The `webhook-id` header: the same at every try, retry and replay, so that receivers can deduplicate.
    message_id = models.CharField(max_length=64)
    content_type = models.CharField(max_length=60, default="application/json")
    body = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.message_id


class Delivery(TimeOrdered, Leased):
    """One message owed to one endpoint.

    `next_attempt_at` is empty while it waits for the delivery before it in its ordering key.
    `lease_token` changes at every claim: the result of an attempt is recorded only under the token that it
    was claimed with.
    """

    PREFIX = "dlv"

    # Written in bulk by the fan-out, which holds all of them: no constraint trigger per row.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    endpoint = models.ForeignKey(
        "webhooks.WebhookEndpoint",
        on_delete=models.PROTECT,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
    )
    event = models.ForeignKey(
        "events.Event",
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        null=True,
        help_text="Empty for a test.",
    )
    payload = models.ForeignKey(
        Payload,
        on_delete=models.DO_NOTHING,
        related_name="deliveries",
        db_index=False,
        db_constraint=False,
        null=True,
        help_text="Empty while a batch is being gathered, and where a template failed.",
    )
    # 0: one event. Else a batch of so many, whose parts are BatchItem rows.
    items = models.PositiveSmallIntegerField(default=0)
    event_type = models.CharField(max_length=100)
    cause = models.CharField(max_length=8, choices=Cause.choices, default=Cause.EVENT)
    ordering_key = models.CharField(max_length=120, blank=True)
    status = models.CharField(max_length=10, choices=DeliveryStatus.choices, default=DeliveryStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    # Where it stands on the retry schedule; a manual retry of a failed one starts over.
    step = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True, default=timezone.now)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True)
    last_status = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="HTTP status of the last answer."
    )
    last_error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["organization", "id"], name="delivery_org"),
            models.Index(fields=["endpoint", "id"], name="delivery_endpoint"),
            # Most deliveries are delivered; what is not is what people look for.
            models.Index(
                fields=["organization", "status", "id"],
                name="delivery_org_open",
                condition=~Q(status=DeliveryStatus.DELIVERED),
            ),
            models.Index(
                fields=["endpoint", "status", "id"],
                name="delivery_endpoint_open",
                condition=~Q(status=DeliveryStatus.DELIVERED),
            ),
            models.Index(
                fields=["endpoint", "next_attempt_at", "id"],
                name="delivery_due",
                condition=Q(status__in=WAITING, next_attempt_at__isnull=False),
            ),
            models.Index(
                fields=["endpoint", "lease_until"],
                name="delivery_leased",
                condition=Q(status=DeliveryStatus.DELIVERING),
            ),
            models.Index(
                fields=["endpoint", "id"],
                name="delivery_gathering",
                condition=Q(status=DeliveryStatus.PENDING, payload__isnull=True),
            ),
            models.Index(
                fields=["endpoint", "ordering_key", "id"],
                name="delivery_fifo",
                condition=Q(status__in=OPEN) & ~Q(ordering_key=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.public_id}"

    @property
    def body(self) -> bytes:
        """The exact bytes that are signed and sent."""
        kept = self.kept_payload
        return b"" if kept is None else bytes(kept.body)

    @property
    def kept_payload(self) -> Payload | None:
        """The message, while the hub has it."""
        try:
            return self.payload
        except Payload.DoesNotExist:
            return None

    @property
    def is_forgotten(self) -> bool:
        """Whether there was a message that the hub has no more: it was expunged, or its time was over."""
        return self.payload_id is not None and self.kept_payload is None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN


class BatchItem(TimeOrdered):
    """One event in a batch, as it was rendered for the endpoint when it happened."""

    PREFIX = "itm"

    delivery = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, related_name="parts", db_index=False, db_constraint=False
    )
    event = models.ForeignKey(
        "events.Event", on_delete=models.DO_NOTHING, related_name="+", db_constraint=False, null=True
    )
    payload = models.ForeignKey(
        Payload, on_delete=models.DO_NOTHING, related_name="+", db_index=False, db_constraint=False
    )
    event_type = models.CharField(max_length=100)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["delivery", "id"], name="batch_item_delivery")]

    def __str__(self) -> str:
        return self.event_type


class DeliveryAttempt(TimeOrdered):
    """One HTTP try at a delivery.

    The row is written before the request; without `finished_at` it is under way.
    """

    PREFIX = "att"

    delivery = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, related_name="tries", db_index=False, db_constraint=False
    )
    endpoint = models.ForeignKey(
        "webhooks.WebhookEndpoint",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    number = models.PositiveSmallIntegerField()
    is_test = models.BooleanField(default=False, help_text="Tests count in no statistics.")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    status_code = models.PositiveSmallIntegerField(null=True)
    error_code = models.CharField(max_length=60, blank=True)
    error = models.CharField(max_length=300, blank=True)
    duration_ms = models.PositiveIntegerField(null=True)
    request_headers = models.JSONField(default=dict, help_text="As sent, secrets masked.")
    response_headers = models.JSONField(default=dict)
    response_body = models.TextField(blank=True, help_text="The first 16 KiB.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["delivery", "number"], name="attempt_delivery"),
            models.Index(fields=["endpoint", "started_at"], name="attempt_endpoint"),
        ]

    def __str__(self) -> str:
        return f"Attempt {self.number}"

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it: a 2xx answer."""
        return self.status_code is not None and 200 <= self.status_code < 300 and not self.error_code
