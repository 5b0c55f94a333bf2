"""Who wrote what: origins and the changes they made."""

from __future__ import annotations

from django.db import models

from apps.kernel.models import TimeOrdered
from apps.records.models.json import JSONText


class Origin(TimeOrdered):
    """A writer of records: a user, an API key, an import job, an integration's sync. What undo takes back.

    `kind` is user, api_key, application, job, sync, command or system; `ref` identifies it within its kind.
    """

    PREFIX = "ori"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    kind = models.CharField(max_length=16)
    ref = models.CharField(max_length=120)
    label = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "kind", "ref"], name="origin_unique"),
        ]

    def __str__(self) -> str:
        return self.label or f"{self.kind} {self.ref}"


class Change(TimeOrdered):
    """One write to one record.

    created: `after` is the whole record; updated: `before` and `after` hold the fields that changed (a
    field that was absent is missing from `before`); deleted: `before` is the whole record; restored: as
    updated, on a record that had been deleted.
    """

    PREFIX = "chg"

    class Operation(models.TextChoices):
        CREATED = "created", "Created"
        UPDATED = "updated", "Updated"
        DELETED = "deleted", "Deleted"
        RESTORED = "restored", "Restored"

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    dataset = models.ForeignKey(
        "records.Dataset", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    record = models.ForeignKey(
        "records.Record",
        on_delete=models.DO_NOTHING,
        related_name="changes",
        db_index=False,
        db_constraint=False,
    )
    origin = models.ForeignKey(
        Origin, on_delete=models.PROTECT, related_name="changes", db_index=False, db_constraint=False
    )
    operation = models.CharField(max_length=8, choices=Operation.choices)
    version = models.PositiveIntegerField(help_text="The record's version after the change.")
    before = JSONText(null=True, blank=True)
    after = JSONText(null=True, blank=True)
    created_at = models.DateTimeField()
    undone_by = models.UUIDField(null=True, blank=True, help_text="The origin that took it back.")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["record", "id"], name="change_record"),
            models.Index(fields=["origin", "id"], name="change_origin"),
            models.Index(fields=["dataset", "id"], name="change_dataset"),
        ]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} (version {self.version})"
