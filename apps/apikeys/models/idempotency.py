"""Stored answers of POST calls that carried an Idempotency-Key."""

from __future__ import annotations

from django.db import models

from apps.kernel.crypto.fields import EncryptedTextField
from apps.kernel.models import TimeOrdered


class IdempotencyRecord(TimeOrdered):
    """One call: in flight until `locked_until`, then answered until `expires_at`.

    `call` is the SHA-256 of caller, method, path and key. The answer is encrypted, because some answers show
    a secret once (a new API key).
    """

    PREFIX = "idm"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    call = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)
    token = models.UUIDField(help_text="Who holds the call; only the holder may store the answer.")
    created_at = models.DateTimeField()
    locked_until = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    status_code = models.PositiveSmallIntegerField(
        null=True, help_text="Of the answer; empty while in flight."
    )
    headers = models.JSONField(default=dict)
    body = EncryptedTextField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "call"], name="idempotency_call_unique"),
        ]

    def __str__(self) -> str:
        return self.public_id
