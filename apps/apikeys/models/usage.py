"""What callers did: counts by hour, addresses seen, and the last requests."""

from __future__ import annotations

from django.db import models

from apps.apikeys.usage.histogram import COLUMNS
from apps.kernel.models import TimeOrdered


class Level(models.IntegerChoices):
    """What a bucket tells apart. Sums are written beside the details, so that reading them costs little."""

    DETAIL = 0, "Caller and endpoint"
    ORGANIZATION = 1, "Organization"
    SUBJECT = 2, "Caller"
    ENDPOINT = 3, "Endpoint"


class Grain(models.IntegerChoices):
    """How long a bucket is, in seconds."""

    EVER = 0, "For ever"
    MINUTES = 300, "Five minutes"
    HOUR = 3600, "Hour"
    DAY = 86400, "Day"


class SubjectKind(models.TextChoices):
    """Who called; `id` is a key's group, an application's client id, or a user's primary key."""

    NOBODY = "", "Nobody known"
    KEY = "key", "API key"
    APPLICATION = "application", "Application"
    USER = "user", "Person"


class UsageBucket(models.Model):
    """Counts of one combination in one span of time. Written by `usage.store` alone, which adds to them.

    The primary key is made of what the bucket stands for: the time in front, then a hash of the rest.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, null=True, related_name="+", db_index=False
    )
    level = models.PositiveSmallIntegerField(choices=Level.choices)
    grain = models.PositiveIntegerField(choices=Grain.choices)
    starts_at = models.DateTimeField()
    subject_kind = models.CharField(max_length=12, blank=True, choices=SubjectKind.choices)
    subject_id = models.CharField(max_length=120, blank=True)
    method = models.CharField(max_length=8, blank=True)
    route = models.CharField(max_length=200, blank=True)
    version = models.CharField(max_length=20, blank=True)
    status_class = models.PositiveSmallIntegerField(help_text="2 for answers 200 to 299, and so on.")

    count = models.PositiveBigIntegerField()
    limited = models.PositiveBigIntegerField(help_text="Answers 429.")
    refused = models.PositiveBigIntegerField(help_text="Answers 401 and 403.")
    bytes_in = models.PositiveBigIntegerField()
    bytes_out = models.PositiveBigIntegerField()
    time_us = models.PositiveBigIntegerField(help_text="Microseconds of all calls together.")
    statements = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="SQL statements of all calls together."
    )
    database_us = models.PositiveBigIntegerField(
        default=0, db_default=0, help_text="Microseconds spent on them."
    )
    longest_us = models.PositiveBigIntegerField(help_text="Microseconds of the longest call.")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        verbose_name = "usage bucket"
        default_permissions = ()
        indexes = [
            models.Index(fields=["organization", "level", "grain", "starts_at"], name="usage_range"),
            models.Index(
                fields=["organization", "level", "subject_kind", "subject_id", "grain", "starts_at"],
                name="usage_subject",
            ),
            models.Index(fields=["organization", "level", "route", "grain", "starts_at"], name="usage_route"),
            models.Index(fields=["grain", "starts_at"], name="usage_retention"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.route} {self.status_class}xx at {self.starts_at:%Y-%m-%d %H:%M}"


for _column in COLUMNS:
    UsageBucket.add_to_class(_column, models.PositiveBigIntegerField(default=0))


class UsageAddresses(models.Model):
    """From how many addresses a caller (or everybody of an organization) came in an hour or a day."""

    id = models.UUIDField(primary_key=True, editable=False)
    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, null=True, related_name="+", db_index=False
    )
    level = models.PositiveSmallIntegerField(choices=Level.choices)
    grain = models.PositiveIntegerField(choices=Grain.choices)
    starts_at = models.DateTimeField()
    subject_kind = models.CharField(max_length=12, blank=True)
    subject_id = models.CharField(max_length=120, blank=True)
    sketch = models.BinaryField(help_text="See apps.apikeys.usage.sketch.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "usage addresses"
        indexes = [
            models.Index(
                fields=["organization", "level", "subject_kind", "subject_id", "grain", "starts_at"],
                name="usage_addresses",
            ),
            models.Index(fields=["grain", "starts_at"], name="usage_addresses_retention"),
        ]

    def __str__(self) -> str:
        return f"{self.subject_kind} {self.subject_id} at {self.starts_at:%Y-%m-%d %H:%M}"


class RequestLog(TimeOrdered):
    """One of a caller's last requests; bounded in number and age. No header, query or body is kept."""

    PREFIX = "rql"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, null=True, related_name="+", db_index=False
    )
    at = models.DateTimeField()
    subject_kind = models.CharField(max_length=12, blank=True, choices=SubjectKind.choices)
    subject_id = models.CharField(max_length=120, blank=True)
    label = models.CharField("caller", max_length=200, blank=True, help_text="The caller's name at the time.")
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=300, help_text="Without the query.")
    route = models.CharField(max_length=200)
    version = models.CharField(max_length=20, blank=True)
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=64, blank=True, help_text="The problem's code.")
    refused = models.BooleanField(help_text="Answered 401 or 403.")
    time_us = models.PositiveBigIntegerField(help_text="Microseconds.")
    bytes_in = models.PositiveBigIntegerField()
    bytes_out = models.PositiveBigIntegerField()
    ip = models.GenericIPAddressField(null=True)
    user_agent = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name = "request"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["organization", "id"], name="requestlog_org"),
            models.Index(
                fields=["organization", "subject_kind", "subject_id", "id"], name="requestlog_subject"
            ),
            models.Index(
                fields=["organization", "id"], name="requestlog_refused", condition=models.Q(refused=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} → {self.status}"

    @property
    def milliseconds(self) -> float:
        return self.time_us / 1000
