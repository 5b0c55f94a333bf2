"""What providers send to the hub: who may send, what came, what became of it, and what was refused."""

from __future__ import annotations

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.kernel.crypto.fields import EncryptedJSONField
from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered
from apps.webhooks.inbound.reading import payload_of
from apps.webhooks.inbound_statuses import InboundStatus, TransactionStatus


class InboundReceiver(TimeOrdered, Stamped):
    """How the webhooks of one source (an integration, named by its number) are verified and worked off."""

    PREFIX = "rcv"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    number = models.CharField(max_length=20, help_text="The integration's number.")
    title = models.CharField(max_length=120, help_text="The integration's name.")
    enabled = models.BooleanField(default=True, help_text="Off: the address answers as if it did not exist.")
    scheme = models.CharField(max_length=40, blank=True, help_text="How its provider signs.")
    options = models.JSONField(default=dict, blank=True)
    # [{"secret": …, "until": ISO time}]: still believed for a while after a rotation.
    old_secrets = EncryptedJSONField(null=True, blank=True)
    routes = models.JSONField(default=list, blank=True)
    max_retries = models.PositiveSmallIntegerField(default=5)
    silence_after_minutes = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Warn when nothing came for so long. Empty: judged by the past. 0: never.",
    )
    silent_since = models.DateTimeField(null=True, blank=True, editable=False)
    silence_checked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "inbound address"
        verbose_name_plural = "inbound addresses"
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="inbound_receiver_unique")
        ]
        indexes = [
            models.Index(fields=["silence_checked_at"], name="inbound_receiver_watch"),
        ]

    def __str__(self) -> str:
        return self.title or self.number


class InboundWebhook(TimeOrdered, Leased):
    """One verified message: stored before it is answered, worked off afterwards."""

    PREFIX = "inw"

    # Written in the provider's request, where every statement counts; both are known to exist.
    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    receiver = models.ForeignKey(
        InboundReceiver,
        on_delete=models.CASCADE,
        related_name="webhooks",
        db_index=False,
        db_constraint=False,
    )
    source = models.CharField(max_length=60, help_text="The provider's scheme.")
    event_type = models.CharField(max_length=200, blank=True)
    external_id = models.CharField(max_length=200, blank=True, help_text="The provider's id of the event.")
    dedupe_key = models.CharField(max_length=64, editable=False)
    method = models.CharField(max_length=8, default="POST")
    query = models.CharField(max_length=2000, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    content_type = models.CharField(max_length=120, blank=True)
    body = models.BinaryField(editable=False)
    size = models.PositiveIntegerField(default=0)
    remote_ip = models.GenericIPAddressField(null=True, blank=True)
    signature = models.CharField(max_length=1000, blank=True)
    signature_verified = models.BooleanField(default=False)
    response = models.JSONField(
        null=True,
        blank=True,
        help_text="What was answered at once, where the provider wants more than a 2xx.",
    )

    status = models.CharField(max_length=12, choices=InboundStatus.choices, default=InboundStatus.PENDING)
    received_at = models.DateTimeField(default=timezone.now)
    processed_at = models.DateTimeField(null=True, blank=True)
    retry_count = models.PositiveSmallIntegerField(default=0, help_text="Failed tries since it last waited.")
    max_retries = models.PositiveSmallIntegerField(default=5)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    effects = models.JSONField(default=list, blank=True, encoder=DjangoJSONEncoder)
    duplicates = models.PositiveIntegerField(default=0, help_text="How often the same came again.")
    metadata = models.JSONField(default=dict, blank=True)
    counted = models.BooleanField(default=False, editable=False, help_text="In the counts of its hour.")

    class Meta:
        ordering = ["-id"]
        verbose_name = "inbound webhook"
        constraints = [
            models.UniqueConstraint(fields=["receiver", "dedupe_key"], name="inbound_webhook_once"),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="inbound_org"),
            models.Index(fields=["organization", "status", "-id"], name="inbound_status"),
            models.Index(fields=["organization", "event_type", "-id"], name="inbound_type"),
            models.Index(fields=["organization", "external_id"], name="inbound_external"),
            models.Index(fields=["receiver", "-id"], name="inbound_of"),
            models.Index(
                fields=["next_attempt_at"],
                name="inbound_due",
                condition=Q(status=InboundStatus.PENDING),
            ),
            models.Index(
                fields=["lease_until"],
                name="inbound_abandoned",
                condition=Q(status=InboundStatus.PROCESSING),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type or self.source} {self.public_id}"

    @property
    def payload(self) -> Any:
        """What the body says: its JSON, or its form as an object; None if it is neither."""
        return payload_of(bytes(self.body), self.content_type.partition(";")[0].strip().lower())


class InboundAttempt(TimeOrdered):
    """One try at working a webhook off."""

    PREFIX = "ina"

    webhook = models.ForeignKey(InboundWebhook, on_delete=models.CASCADE, related_name="attempts")
    started_at = models.DateTimeField()
    duration_ms = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=12, help_text="What the webhook became by it.")
    error_code = models.CharField(max_length=60, blank=True)
    error_message = models.CharField(max_length=1000, blank=True)
    effects = models.JSONField(default=list, blank=True, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.webhook_id} {self.status}"


class InboundCount(models.Model):
    """What came to one receiver in one hour: what charts, the watchdog and statistics add up."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.ForeignKey(
        InboundReceiver, on_delete=models.CASCADE, related_name="counts", db_index=False
    )
    hour = models.DateTimeField()
    received = models.PositiveIntegerField(default=0)
    duplicates = models.PositiveIntegerField(default=0)
    rejected = models.PositiveIntegerField(default=0)
    too_large = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-hour"]
        constraints = [models.UniqueConstraint(fields=["receiver", "hour"], name="inbound_count_unique")]
        indexes = [models.Index(fields=["hour"], name="inbound_count_hour")]

    def __str__(self) -> str:
        return f"{self.received} in {self.hour:%Y-%m-%d %H:00}"


class InboundRejection(models.Model):
    """A sample of what was refused: a ring of `services.inbound.counting.SAMPLES` slots for each receiver."""

    id = models.BigAutoField(primary_key=True)
    receiver = models.ForeignKey(
        InboundReceiver, on_delete=models.CASCADE, related_name="rejections", db_index=False
    )
    slot = models.PositiveSmallIntegerField()
    at = models.DateTimeField()
    reason = models.CharField(max_length=300)
    remote_ip = models.GenericIPAddressField(null=True, blank=True)
    headers = models.JSONField(default=dict, blank=True)
    beginning = models.TextField(blank=True, help_text="The first bytes of the body.")
    size = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["receiver", "slot"], name="inbound_rejection_slot")]

    def __str__(self) -> str:
        return self.reason


class MerchantTransaction(TimeOrdered, Stamped):
    """A payment that Payme or Click makes for an order: created, then performed or cancelled, never both.

    Times of the provider's protocol are whole milliseconds since 1970, and `amount` is in the smallest unit
    of the currency (tiyin).
    """

    PREFIX = "mtx"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    receiver = models.ForeignKey(
        InboundReceiver, on_delete=models.PROTECT, related_name="transactions", db_index=False
    )
    external_id = models.CharField(max_length=100, help_text="The provider's id of the transaction.")
    # What Click calls merchant_prepare_id, which must be a whole number.
    serial = models.BigIntegerField()
    account = models.JSONField(default=dict)
    order_key = models.CharField(max_length=190)
    dataset = models.CharField(max_length=60)
    amount = models.BigIntegerField()
    currency = models.CharField(max_length=3, default="UZS")
    status = models.CharField(
        max_length=10, choices=TransactionStatus.choices, default=TransactionStatus.CREATED
    )
    reason = models.IntegerField(null=True, blank=True)
    provider_time = models.BigIntegerField(help_text="When the provider made it.")
    create_time = models.BigIntegerField()
    perform_time = models.BigIntegerField(default=0)
    cancel_time = models.BigIntegerField(default=0)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "merchant transaction"
        constraints = [
            models.UniqueConstraint(fields=["receiver", "external_id"], name="merchant_transaction_once"),
            models.UniqueConstraint(fields=["receiver", "serial"], name="merchant_transaction_serial"),
            # An order is paid once: two transactions for it are never open or paid at a time.
            models.UniqueConstraint(
                fields=["organization", "dataset", "order_key"],
                name="merchant_transaction_order",
                condition=Q(status__in=(TransactionStatus.CREATED, TransactionStatus.PERFORMED)),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="merchant_transaction_org"),
            models.Index(fields=["organization", "order_key"], name="merchant_transaction_key"),
            models.Index(fields=["receiver", "provider_time"], name="merchant_transaction_time"),
        ]

    def __str__(self) -> str:
        return f"{self.external_id} for {self.order_key}"

    @property
    def state(self) -> int:
        """The state as Payme numbers it."""
        return {"created": 1, "performed": 2, "cancelled": -1, "refunded": -2}[self.status]

    @property
    def amount_text(self) -> str:
        """The amount in whole units, with two decimals."""
        return f"{self.amount // 100}.{self.amount % 100:02d}"
