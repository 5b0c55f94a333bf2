"""The files of jobs, and what was learned from earlier ones."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from apps.jobs.models.jobs import Job
from apps.jobs.statuses import ArtifactKind
from apps.kernel.models import Stamped, TimeOrdered


class JobArtifact(TimeOrdered):
    """A stored file of a job: what was uploaded, what was rejected, what was exported."""

    PREFIX = "art"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="artifacts")
    kind = models.CharField(max_length=10, choices=ArtifactKind.choices)
    format = models.CharField(max_length=8, blank=True)
    filename = models.CharField(max_length=255, help_text="The name it is downloaded under.")
    file_path = models.CharField(max_length=500, help_text="Within the file storage.")
    file_size = models.PositiveBigIntegerField(default=0)
    mime_type = models.CharField(max_length=120, blank=True)
    compression = models.CharField(max_length=8, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    rows = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["job", "kind", "format"], name="artifact_kind_unique"),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], name="artifact_expiry", condition=models.Q(expires_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.filename

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()


class RememberedMapping(TimeOrdered, Stamped):
    """How a person matched the columns of a file like this one before. `fingerprint` names the header."""

    PREFIX = "rmp"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    dataset = models.ForeignKey("records.Dataset", on_delete=models.CASCADE, related_name="+")
    fingerprint = models.CharField(max_length=64)
    columns = models.JSONField(default=list)
    spec = models.JSONField(default=dict)
    uses = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["-updated_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "dataset", "fingerprint"], name="remembered_mapping_unique"
            ),
        ]

    def __str__(self) -> str:
        return ", ".join(str(column) for column in self.columns[:6])
