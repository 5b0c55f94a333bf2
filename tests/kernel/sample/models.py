"""Tables that make the kernel's abstract models and fields concrete."""

from __future__ import annotations

from django.db import models

from apps.kernel.crypto.fields import EncryptedJSONField, EncryptedTextField
from apps.kernel.leases import Leased
from apps.kernel.models import Stamped, TimeOrdered


class Vault(TimeOrdered, Stamped):
    """A row with secrets."""

    PREFIX = "vlt"

    name = models.CharField(max_length=50, default="")
    token = EncryptedTextField(null=True)
    credentials = EncryptedJSONField(default=dict)

    def __str__(self) -> str:
        return f"Vault {self.name}"


class Chore(TimeOrdered, Leased):
    """A row that workers lease."""

    PREFIX = "chr"

    rank = models.IntegerField(default=0)
    result = models.CharField(max_length=50, default="")
    secret = EncryptedTextField(null=True)

    def __str__(self) -> str:
        return f"Chore {self.rank}"
