"""How much may be called, and the times when that could not be counted."""

from __future__ import annotations

from django.db import models

from apps.kernel.models import Stamped, TimeOrdered

PER_WINDOW = {"minute": "per_minute", "hour": "per_hour", "day": "per_day", "burst": "burst"}


class RateLimit(TimeOrdered, Stamped):
    """Limits of an organization's callers, of one key or application, or of some endpoints for them.

    Of each window the most specific rule counts: the key's or application's, else the organization's, else
    the installation's. A rule for endpoints counts besides these, each caller by itself.
    """

    PREFIX = "rl"

    class For(models.TextChoices):
        ORGANIZATION = "organization", "Every caller"
        KEY = "key", "One API key"
        APPLICATION = "application", "One application"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="rate_limits", db_index=False
    )
    subject_kind = models.CharField("for", max_length=12, choices=For.choices, default=For.ORGANIZATION)
    # The hex of a key's group, or a client id: what stays the same when a key is rotated.
    subject_id = models.CharField(max_length=100, blank=True, editable=False)
    endpoint = models.CharField(
        max_length=200, blank=True, help_text="Such as GET /records/*; empty: all calls together."
    )
    per_minute = models.PositiveIntegerField("calls per minute", null=True, blank=True)
    per_hour = models.PositiveIntegerField("calls per hour", null=True, blank=True)
    per_day = models.PositiveIntegerField("calls per day", null=True, blank=True)
    burst = models.PositiveIntegerField(
        "calls at once",
        null=True,
        blank=True,
        help_text="How many may come at once; regained at the steady pace of the shortest limit.",
    )
    enabled = models.BooleanField(
        default=True, help_text="Off: nothing that is less specific limits these calls either."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "subject_kind", "subject_id", "endpoint"], name="ratelimit_unique"
            ),
        ]
        indexes = [models.Index(fields=["organization", "id"], name="ratelimit_org")]

    def __str__(self) -> str:
        what = f" on {self.endpoint}" if self.endpoint else ""
        return f"{self.get_subject_kind_display()}{what}"

    @property
    def limits(self) -> dict[str, int]:
        """The windows that the rule says something about: minute, hour, day, burst."""
        found = {name: getattr(self, field) for name, field in PER_WINDOW.items()}
        return {name: limit for name, limit in found.items() if limit is not None}


class LimitOutage(TimeOrdered):
    """A time in which the shared counters could not be reached. At most one is not over."""

    PREFIX = "lo"

    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    is_over = models.BooleanField(default=False)
    policy = models.CharField(max_length=8)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["is_over"], condition=models.Q(is_over=False), name="limitoutage_one"
            )
        ]

    def __str__(self) -> str:
        return f"since {self.began_at:%Y-%m-%d %H:%M:%S}"
