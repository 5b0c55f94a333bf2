"""What the operator decided about the versions of the API; what they are is declared in code."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.utils import timezone

from apps.apikeys.statuses import VersionStatus
from apps.kernel.api.versions import Feature, State, VersionSpec, versions
from apps.kernel.models import Stamped, TimeOrdered


class ApiVersion(TimeOrdered, Stamped):
    """One version of the API, the same for every organization of the hub.

    The moments decide, to the second; `status` follows them for lists and filters.
    """

    PREFIX = "ver"

    version = models.CharField(max_length=12, unique=True, editable=False)
    status = models.CharField(
        max_length=12, choices=VersionStatus.choices, default=VersionStatus.ACTIVE, editable=False
    )
    deprecated_at = models.DateTimeField("deprecated from", null=True, blank=True)
    sunset_at = models.DateTimeField(
        "ends at", null=True, blank=True, help_text="From this moment on it answers 410."
    )
    default_revision = models.DateField(
        null=True,
        blank=True,
        help_text="What callers get who hold no date. An upgrade of the hub never moves it.",
    )
    successor = models.CharField(
        max_length=12, blank=True, help_text="Where to go from here; empty: the next version."
    )
    flags = models.JSONField(
        default=dict, blank=True, help_text="Features that are not as declared, such as bulk_replace: false."
    )
    note = models.TextField(blank=True, help_text="Told to developers in the changelog.")

    class Meta:
        verbose_name = "API version"
        ordering = ["version"]

    def __str__(self) -> str:
        return self.version

    @property
    def spec(self) -> VersionSpec | None:
        """What the code declares; None for a version that it no longer knows."""
        return versions.get(self.version)

    @property
    def features(self) -> dict[str, bool]:
        """Every declared feature, and whether it is on."""
        declared: tuple[Feature, ...] = self.spec.features if self.spec else ()
        return {one.name: bool(self.flags.get(one.name, one.default)) for one in declared}

    def state(self) -> State:
        return State(
            deprecated_at=self.deprecated_at,
            sunset_at=self.sunset_at,
            default_revision=self.default_revision,
            flags=dict(self.flags),
            successor=self.successor,
            note=self.note,
        )

    def status_at(self, now: datetime | None = None) -> str:
        """The status that the moments make."""
        state, now = self.state(), now or timezone.now()
        if state.is_sunset(now):
            return VersionStatus.SUNSET
        return VersionStatus.DEPRECATED if state.is_deprecated(now) else VersionStatus.ACTIVE

    def facts(self) -> dict[str, Any]:
        """The fields that people decide, for the audit log."""
        names = ("deprecated_at", "sunset_at", "default_revision", "successor", "flags", "note")
        return {name: getattr(self, name) for name in names}
