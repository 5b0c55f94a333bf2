"""The states of an API key (revoked is for ever) and of a version of the API."""

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


class VersionStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    DEPRECATED = "deprecated", "Deprecated"
    SUNSET = "sunset", "Ended"


# People may put off an end, also one that has come.
VERSION_TRANSITIONS = transitions(
    {
        VersionStatus.ACTIVE: [VersionStatus.DEPRECATED, VersionStatus.SUNSET],
        VersionStatus.DEPRECATED: [VersionStatus.ACTIVE, VersionStatus.SUNSET],
        VersionStatus.SUNSET: [VersionStatus.ACTIVE, VersionStatus.DEPRECATED],
    }
)
