"""The tie between a record and its twin in a remote system."""

from __future__ import annotations

from django.db import models

from apps.kernel.models import TimeOrdered


class Link(TimeOrdered):
    """(source, stream, remote id) ↔ record. `source` is the integration's number."""

    PREFIX = "lnk"

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    source = models.CharField(max_length=40)
    stream = models.CharField(max_length=80)
    remote_id = models.CharField(max_length=190)
    record = models.ForeignKey(
        "records.Record", on_delete=models.CASCADE, related_name="links", db_constraint=False
    )
    remote_version = models.CharField(max_length=120, blank=True)
    content_hash = models.BinaryField(max_length=16, default=b"")
    created_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True, help_text="When the remote twin was deleted.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "source", "stream", "remote_id"], name="link_remote_unique"
            ),
        ]
        indexes = [
            models.Index(
                fields=["organization", "source", "stream", "last_seen_at"],
                name="link_seen",
                condition=models.Q(gone_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.stream} {self.remote_id}"
