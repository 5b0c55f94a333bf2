"""Places outside the hub where files lie: an S3 bucket, an SFTP server, a web address."""

from __future__ import annotations

from typing import Any

from django.db import models

from apps.jobs.schedule_statuses import LocationKind
from apps.kernel.crypto.fields import EncryptedJSONField
from apps.kernel.models import Stamped, TimeOrdered


class FileLocation(TimeOrdered, Stamped):
    """A named place that imports fetch files from and exports are delivered to."""

    PREFIX = "loc"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=8, choices=LocationKind.choices)
    host = models.CharField(max_length=255, blank=True, help_text="SFTP: the server's name.")
    port = models.PositiveIntegerField(default=22, help_text="SFTP.")
    host_key = models.CharField(
        max_length=2000,
        blank=True,
        help_text="SFTP: the server's key or its fingerprint (SHA256:…). Another key is refused.",
    )
    endpoint_url = models.CharField(
        max_length=500, blank=True, help_text="S3: address of the service; empty for Amazon's."
    )
    region = models.CharField(max_length=60, blank=True, help_text="S3: such as eu-central-1.")
    bucket = models.CharField(max_length=63, blank=True, help_text="S3.")
    base_url = models.CharField(
        max_length=1000, blank=True, help_text="Web: what all addresses of this place begin with."
    )
    folder = models.CharField(
        max_length=500, blank=True, help_text="S3 prefix or SFTP folder that all paths are below."
    )
    username = models.CharField(
        max_length=200, blank=True, help_text="S3: access key id. SFTP and web: user name."
    )
    # secret (password, secret access key or bearer token), private_key, passphrase
    credentials = EncryptedJSONField(default=dict, blank=True)
    tested_at = models.DateTimeField(null=True, blank=True)
    test_passed = models.BooleanField(null=True, blank=True)
    test_result = models.CharField(max_length=500, blank=True)
    created_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "place"
        constraints = [
            models.UniqueConstraint(fields=["organization", "name"], name="file_location_name_unique")
        ]
        indexes = [
            models.Index(fields=["organization", "id"], name="file_location_org"),
            models.Index(fields=["organization", "kind", "id"], name="file_location_kind"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_writable(self) -> bool:
        """Whether files can be delivered there."""
        return self.kind != LocationKind.HTTPS

    @property
    def shown_address(self) -> str:
        """Where it is, for people."""
        if self.kind == LocationKind.S3:
            return "/".join(filter(None, (f"s3://{self.bucket}", self.folder.strip("/"))))
        if self.kind == LocationKind.SFTP:
            port = "" if self.port == 22 else f":{self.port}"
            return f"sftp://{self.host}{port}/{self.folder.lstrip('/')}"
        return self.base_url

    def has_secret(self, name: str) -> bool:
        return bool(self.secrets().get(name))

    def secrets(self) -> dict[str, Any]:
        return self.credentials or {}
