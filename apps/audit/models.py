"""Who did what: append-only, one chain per organization, sealed with a key that is not in the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Expression

from apps.kernel.models import TimeOrdered

if TYPE_CHECKING:
    _Text = models.Field[Any, Any]
else:
    _Text = models.TextField

# The chain of what belongs to no organization.
HUB = "hub"


class SealedJSON(_Text):
    """JSON that is kept as the very text that was sealed: `jsonb` would write numbers and order anew."""

    def from_db_value(
        self, value: str | None, expression: Expression, connection: BaseDatabaseWrapper
    ) -> Any:
        if value is None:
            return {}
        try:
            return json.loads(value)
        except ValueError:  # not written by the hub: the verification says so, and pages still open
            return {"(unreadable)": value[:1000]}

    def get_prep_value(self, value: Any) -> str:
        return canonical(value)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> str:
        return canonical(self.value_from_object(obj))


def canonical(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, ASCII."""
    return json.dumps(
        {} if value is None else value, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":")
    )


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
    changes = SealedJSON(default=dict, blank=True)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)
    key_id = models.CharField(
        max_length=32, blank=True, help_text="The pepper that sealed it; empty for the plain hashes of old."
    )

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        constraints = [
            models.UniqueConstraint(fields=["organization", "sequence"], name="audit_sequence_unique"),
            models.UniqueConstraint(
                fields=["sequence"],
                name="audit_hub_sequence_unique",
                condition=models.Q(organization__isnull=True),
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "object_type", "object_ref", "id"], name="audit_object"),
            models.Index(fields=["organization", "actor_kind", "actor_ref", "id"], name="audit_actor"),
            models.Index(fields=["organization", "action", "id"], name="audit_action"),
            models.Index(fields=["organization", "id"], name="audit_newest"),
            models.Index(fields=["organization", "object_ref", "id"], name="audit_ref"),
        ]

    def __str__(self) -> str:
        return f"{self.actor_label or self.actor_kind}: {self.action} {self.object_label}".strip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Audit entries are never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("Audit entries are never deleted.")


class AuditChain(models.Model):
    """How long a chain is and how it ends, sealed: what shows that its tail was cut off. Locked to append."""

    chain = models.CharField(max_length=36, primary_key=True, editable=False)
    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", null=True, editable=False
    )
    length = models.PositiveBigIntegerField(default=0, editable=False)
    last_hash = models.CharField(max_length=64, blank=True, editable=False)
    key_id = models.CharField(max_length=32, editable=False)
    seal = models.CharField(max_length=64, editable=False)

    # What the last verification said; of no weight to the next one.
    checked_at = models.DateTimeField(null=True, editable=False)
    checked_to = models.PositiveBigIntegerField(default=0, editable=False)
    intact = models.BooleanField(null=True, editable=False)
    problems = models.JSONField(default=list, editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"audit chain {self.chain}"


class AuditAnchor(models.Model):
    """A chain's length and end at a moment, sealed. Copies leave the database: see `services.anchors`."""

    chain = models.CharField(max_length=36)
    length = models.PositiveBigIntegerField()
    hash = models.CharField(max_length=64)
    at = models.DateTimeField()
    key_id = models.CharField(max_length=32)
    seal = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["chain", "length"], name="audit_anchor_unique")]

    def __str__(self) -> str:
        return f"{self.chain} at {self.length}"
