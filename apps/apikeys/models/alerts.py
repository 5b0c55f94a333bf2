"""What somebody was told about a key. A row is the promise of a mail, and the reason for not sending two."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from apps.apikeys.models.keys import APIKey
from apps.kernel.models import TimeOrdered


class KeyAlert(TimeOrdered):
    """One alert about a key's group, at most one of its kind and window."""

    PREFIX = "alr"

    class Kind(models.TextChoices):
        HIGH_USAGE = "high_usage", "High usage"
        SUSPICIOUS = "suspicious", "Suspicious activity"
        EXPIRING = "expiring", "Expires soon"
        ROTATED = "rotated", "Rotated automatically"
        EXPOSED = "exposed", "Seen in an address"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    key = models.ForeignKey(APIKey, on_delete=models.CASCADE, related_name="told", db_index=False)
    group = models.UUIDField()
    kind = models.CharField(max_length=12, choices=Kind.choices)
    window = models.CharField(max_length=40, help_text="What it is told once for.")
    text = models.CharField(max_length=500)
    data = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    at = models.DateTimeField(auto_now_add=True)
    mail_due_at = models.DateTimeField(null=True)
    mailed_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)

    class Meta:
        verbose_name = "API key alert"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["group", "kind", "window"], name="keyalert_once"),
        ]
        indexes = [
            models.Index(fields=["organization", "id"], name="keyalert_org"),
            models.Index(fields=["key", "id"], name="keyalert_key"),
            models.Index(
                fields=["mail_due_at"], name="keyalert_due", condition=models.Q(mail_due_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.key}"


class KeyNetwork(models.Model):
    """A network that a key's group was used from: what is not among them is new."""

    group = models.UUIDField()
    network = models.CharField(max_length=43, help_text="A /24 of IPv4 or a /48 of IPv6.")
    first_seen_at = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["group", "network"], name="keynetwork_once"),
        ]

    def __str__(self) -> str:
        return self.network
