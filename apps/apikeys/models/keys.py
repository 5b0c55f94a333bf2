"""API keys: what is kept of them, which is never the key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Count, Q
from django.utils import timezone

from apps.apikeys.statuses import KeyStatus
from apps.kernel import ids
from apps.kernel.crypto.fields import EncryptedTextField
from apps.kernel.models import Stamped, TimeOrdered


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def active(self) -> APIKeyQuerySet:
        """Keys that let their holder in now."""
        return self.filter(status=KeyStatus.ACTIVE).exclude(expires_at__lte=timezone.now())

    def expiring_within(self, days: int) -> APIKeyQuerySet:
        """Active keys that expire within so many days."""
        return self.active().filter(expires_at__lte=timezone.now() + timedelta(days=days))

    def due_for_rotation(self) -> APIKeyQuerySet:
        """Active keys whose policy rotates them now."""
        return self.active().filter(next_rotation_at__lte=timezone.now())

    def statistics(self) -> dict[str, int]:
        """How many keys there are: in all, active, of each other status, and expiring within 30 days."""
        now = timezone.now()
        ended = Q(expires_at__lte=now)
        soon = Q(expires_at__gt=now, expires_at__lte=now + timedelta(days=30))
        active = Q(status=KeyStatus.ACTIVE) & ~ended
        return self.order_by().aggregate(
            total=Count("pk"),
            active=Count("pk", filter=active),
            suspended=Count("pk", filter=Q(status=KeyStatus.SUSPENDED) & ~ended),
            expired=Count("pk", filter=Q(status=KeyStatus.EXPIRED) | (ended & ~Q(status=KeyStatus.REVOKED))),
            revoked=Count("pk", filter=Q(status=KeyStatus.REVOKED)),
            expiring_soon=Count("pk", filter=active & soon),
        )


class APIKey(TimeOrdered, Stamped):
    """A key of an organization: `sk_live_<public part>_<secret><checksum>`, shown once, kept as a keyed hash.

    A call needs the scope and the CRUD permission, and must satisfy every restriction that is not empty.
    """

    PREFIX = "key"

    class Type(models.TextChoices):
        SECRET = "secret", "Secret"
        PUBLIC = "public", "Public"
        RESTRICTED = "restricted", "Restricted"

    class Environment(models.TextChoices):
        PRODUCTION = "production", "Production"
        SANDBOX = "sandbox", "Sandbox"
        DEVELOPMENT = "development", "Development"
        TESTING = "testing", "Testing"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="api_keys", db_index=False
    )
    number = models.CharField(max_length=20)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    key_type = models.CharField("type", max_length=12, choices=Type.choices, default=Type.SECRET)
    environment = models.CharField(max_length=12, choices=Environment.choices, default=Environment.PRODUCTION)
    status = models.CharField(
        max_length=12, choices=KeyStatus.choices, default=KeyStatus.ACTIVE, editable=False
    )

    # What a presented key is checked against.
    public_part = models.CharField(max_length=10, unique=True, editable=False)
    prefix = models.CharField(
        max_length=40, editable=False, help_text="The beginning, to recognize the key by."
    )
    pepper_id = models.CharField(max_length=32, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    group = models.UUIDField(
        default=ids.uuid7,
        editable=False,
        db_index=True,
        help_text="Shared by a key and what it is rotated to.",
    )

    # What it may do.
    scopes = models.JSONField(default=list, blank=True, help_text="Such as records:read; *:* is everything.")
    can_read = models.BooleanField("may read", default=True)
    can_write = models.BooleanField("may write", default=True)
    can_delete = models.BooleanField("may delete", default=False)
    can_admin = models.BooleanField("may administer", default=False)
    allowed_resources = models.JSONField(
        default=list,
        blank=True,
        help_text="Ids or datasets that the address of a call must name; empty: all.",
    )
    allowed_endpoints = models.JSONField(
        default=list, blank=True, help_text="Such as GET /records/*; empty: all that the scopes allow."
    )
    api_version = models.CharField(
        max_length=20,
        blank=True,
        help_text="The version that unversioned addresses answer with; empty: the oldest.",
    )

    # From where and how.
    ip_whitelist = models.JSONField("allowed addresses", default=list, blank=True, help_text="IPs and CIDRs.")
    ip_blacklist = models.JSONField("denied addresses", default=list, blank=True, help_text="IPs and CIDRs.")
    allowed_origins = models.JSONField(default=list, blank=True)
    allowed_referers = models.JSONField(default=list, blank=True)
    allowed_user_agents = models.JSONField(default=list, blank=True)
    require_https = models.BooleanField("HTTPS only", default=False)
    max_request_size = models.PositiveIntegerField(
        null=True, blank=True, help_text="Bytes of a body; empty: no limit."
    )
    signature_required = models.BooleanField(
        "signed calls only",
        default=False,
        help_text="Each call carries a signature made with a second secret that never travels.",
    )
    signing_secret = EncryptedTextField(null=True, blank=True)

    # How long.
    expires_at = models.DateTimeField(null=True, blank=True)
    never_expires = models.BooleanField(default=False)
    last_rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    rotate_every_days = models.PositiveSmallIntegerField(
        "rotate every", null=True, blank=True, help_text="Days; empty: only by hand."
    )
    rotation_overlap = models.PositiveIntegerField(
        "the old key lives on for",
        default=7 * 86400,
        help_text="Seconds after an automatic rotation in which both keys work.",
    )
    next_rotation_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The text of an automatic successor, kept sealed until it is collected, once.
    waiting_secret = EncryptedTextField(null=True, blank=True)
    collected_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoke_reason = models.CharField(max_length=200, blank=True, editable=False)
    exposed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When the key was first seen where keys must not be."
    )
    created_by = models.CharField(max_length=200, blank=True, editable=False)

    # When to tell somebody.
    notify_on_high_usage = models.BooleanField("high usage", default=True)
    usage_threshold = models.PositiveSmallIntegerField(
        default=80, help_text="Percent of a limit that may be used before somebody is told."
    )
    notify_on_suspicious_activity = models.BooleanField("suspicious activity", default=True)
    notify_on_expiration = models.BooleanField("expiry and rotation", default=True)
    alert_emails = models.JSONField(
        "tell", default=list, blank=True, help_text="Empty: the organization's owners and administrators."
    )

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["organization", "number"], name="apikey_number_unique"),
        ]
        indexes = [
            models.Index(fields=["organization", "id"], name="apikey_org"),
            models.Index(fields=["organization", "status", "id"], name="apikey_status"),
            models.Index(fields=["organization", "environment", "id"], name="apikey_environment"),
            models.Index(fields=["organization", "name", "id"], name="apikey_name"),
            models.Index(
                fields=["expires_at"],
                name="apikey_expiry",
                condition=Q(status__in=["active", "suspended"], expires_at__isnull=False),
            ),
            models.Index(
                fields=["next_rotation_at"],
                name="apikey_rotation",
                condition=Q(status="active", next_rotation_at__isnull=False),
            ),
            models.Index(fields=["organization", "created_by", "id"], name="apikey_creator"),
            models.Index(fields=["organization", "last_used_at", "id"], name="apikey_last_used"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.number})"

    @property
    def is_expired(self) -> bool:
        return self.status == KeyStatus.EXPIRED or (
            self.expires_at is not None and timezone.now() >= self.expires_at
        )

    @property
    def is_active(self) -> bool:
        return self.status == KeyStatus.ACTIVE and not self.is_expired

    @property
    def days_until_expiration(self) -> int | None:
        """Whole days left, 0 once expired; None if it never expires."""
        return None if self.expires_at is None else max(0, (self.expires_at - timezone.now()).days)

    @property
    def permissions(self) -> dict[str, bool]:
        return {
            "read": self.can_read,
            "write": self.can_write,
            "delete": self.can_delete,
            "admin": self.can_admin,
        }

    @property
    def security(self) -> dict[str, Any]:
        return {
            "ip_whitelist": self.ip_whitelist,
            "ip_blacklist": self.ip_blacklist,
            "allowed_origins": self.allowed_origins,
            "allowed_referers": self.allowed_referers,
            "allowed_user_agents": self.allowed_user_agents,
            "require_https": self.require_https,
            "max_request_size": self.max_request_size,
            "signature_required": self.signature_required,
        }

    @property
    def rotation_policy(self) -> dict[str, Any]:
        return {
            "enabled": self.rotate_every_days is not None,
            "every_days": self.rotate_every_days,
            "overlap_seconds": self.rotation_overlap,
            "next_rotation_at": self.next_rotation_at,
        }

    @property
    def alerts(self) -> dict[str, Any]:
        return {
            "notify_on_high_usage": self.notify_on_high_usage,
            "usage_threshold": self.usage_threshold,
            "notify_on_suspicious_activity": self.notify_on_suspicious_activity,
            "notify_on_expiration": self.notify_on_expiration,
            "alert_emails": self.alert_emails,
        }

    @property
    def is_waiting(self) -> bool:
        """Whether its text waits to be collected after an automatic rotation."""
        return self.waiting_secret is not None

    @classmethod
    def needing_peppers(cls) -> models.QuerySet[APIKey]:
        """The keys whose hashes must still match: not those that have ended."""
        return cls.objects.filter(status__in=[KeyStatus.ACTIVE, KeyStatus.SUSPENDED])

    def expires_within(self, overlap: timedelta, now: datetime) -> datetime:
        """The end of the key's life when it is rotated: its own expiry or the overlap's, the sooner one."""
        end = now + overlap
        return end if self.expires_at is None else min(self.expires_at, end)
