"""Who did what: append-only, hash-chained per organization."""

from __future__ import annotations

from typing import Any, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from apps.kernel.models import TimeOrdered


class AuditEntry(TimeOrdered):
    """One thing that somebody did. Never changed, never deleted."""

    PREFIX = "aud"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="audit_entries", null=True, blank=True
    )
    sequence = models.PositiveBigIntegerField()
    at = models.DateTimeField(db_index=True)
    action = models.CharField(max_length=80)
    actor_kind = models.CharField(max_length=16)
    actor_ref = models.CharField(max_length=120, blank=True)
    actor_label = models.CharField(max_length=200, blank=True)
    ip = models.GenericIPAddressField(null=True, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    object_type = models.CharField(max_length=80, blank=True)
    object_ref = models.CharField(max_length=120, blank=True)
    object_label = models.CharField(max_length=200, blank=True)
    changes = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(fields=["organization", "sequence"], name="audit_sequence_unique"),
        ]
        indexes = [
            models.Index(fields=["organization", "object_type", "object_ref", "id"], name="audit_object"),
            models.Index(fields=["organization", "actor_kind", "actor_ref", "id"], name="audit_actor"),
            models.Index(fields=["organization", "action", "id"], name="audit_action"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label or self.actor_kind}: {self.action} {self.object_label}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Audit entries are never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Audit entries are never deleted.")
