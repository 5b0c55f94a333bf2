"""Attempts counted for good: what the counters of metrics are made of, also when attempts are forgotten."""

from __future__ import annotations

from django.db import models

from apps.kernel.models import TimeOrdered


def no_counts() -> list[int]:
    return []


class AttemptTally(TimeOrdered):
    """How many attempts at an endpoint ended in one way, ever, up to the mark."""

    PREFIX = "tly"

    endpoint = models.ForeignKey(
        "webhooks.WebhookEndpoint",
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    result = models.CharField(max_length=12, help_text="delivered, 3xx, 4xx, 5xx, error or lost.")
    count = models.PositiveBigIntegerField(default=0)
    total_ms = models.PositiveBigIntegerField(default=0)
    buckets = models.JSONField(default=no_counts, help_text="Attempts up to each bound, cumulative.")

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["endpoint", "result"], name="attempt_tally_unique")]

    def __str__(self) -> str:
        return f"{self.result}: {self.count}"


class TallyMark(models.Model):
    """Up to which attempt (not included) all are in the tallies (1), or are without their answers (2)."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    upto = models.UUIDField()

    def __str__(self) -> str:
        return str(self.upto)
