"""The states of an API key. Revoked is for ever."""

from __future__ import annotations

from django.db import models

from apps.kernel.states import transitions


class KeyStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    SUSPENDED = "suspended", "Suspended"
    EXPIRED = "expired", "Expired"
    REVOKED = "revoked", "Revoked"


KEY_TRANSITIONS = transitions(
    {
        KeyStatus.ACTIVE: [KeyStatus.SUSPENDED, KeyStatus.EXPIRED, KeyStatus.REVOKED],
        KeyStatus.SUSPENDED: [KeyStatus.ACTIVE, KeyStatus.EXPIRED, KeyStatus.REVOKED],
        KeyStatus.EXPIRED: [KeyStatus.REVOKED],
    }
)
