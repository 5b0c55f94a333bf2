"""The keys that sign the hub's own tokens."""

from __future__ import annotations

from django.db import models

from apps.kernel.crypto.fields import EncryptedTextField
from apps.kernel.models import TimeOrdered


class SigningKey(TimeOrdered):
    """An RSA key (RS256). It is published at once, signs from `signs_from` until the next one does, and is
    believed until `believed_until`.
    """

    PREFIX = "sgk"

    kid = models.CharField(max_length=64, unique=True, help_text="The key's RFC 7638 thumbprint.")
    private_pem = EncryptedTextField()
    public_jwk = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)
    signs_from = models.DateTimeField()
    believed_until = models.DateTimeField(null=True)

    class Meta:
        ordering = ["signs_from"]

    def __str__(self) -> str:
        return self.kid
