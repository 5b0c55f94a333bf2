"""Who wrote what: origins and the changes they made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import models

from apps.kernel.leases import Leased
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


class Undoing(TimeOrdered, Leased):
    """The order to take back all that an origin wrote, and how far that is: work for the background.

    `position` is the change before which the next page ends. Each page settles it together with its writes.
    """

    PREFIX = "und"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    origin = models.ForeignKey(Origin, on_delete=models.CASCADE, related_name="undoings")
    actor_kind = models.CharField(max_length=16)
    actor_ref = models.CharField(max_length=120)
    actor_label = models.CharField(max_length=200, blank=True)
    total = models.PositiveIntegerField(default=0, help_text="Changes that stood when it was ordered.")
    reverted = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    conflicts = models.JSONField(default=list, blank=True)
    position = models.UUIDField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0, help_text="Times in a row that it got no page further.")
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True, help_text="Why it was given up.")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["origin"], name="undoing_one_at_a_time", condition=models.Q(finished_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"Undo of {self.origin}"

    @property
    def percent(self) -> int:
        return min(100, 100 * (self.reverted + self.refused) // self.total) if self.total else 0


class ChangeQuerySet(models.QuerySet["Change"]):
    """Lets the changes of one result find what was created together, not one by one."""

    def _fetch_all(self) -> None:
        was_fetched = self._result_cache is not None
        super()._fetch_all()
        if not was_fetched:
            for row in self._result_cache or ():
                if isinstance(row, Change):
                    row._together = self._result_cache


class Operation(models.TextChoices):
    """What a change did to its record."""

    CREATED = "created", "Created"
    UPDATED = "updated", "Updated"
    DELETED = "deleted", "Deleted"
    RESTORED = "restored", "Restored"


class _ChangeColumns(TimeOrdered):
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
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    origin = models.ForeignKey(
        Origin, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    operation = models.CharField(max_length=8, choices=Operation.choices)
    version = models.PositiveIntegerField(help_text="The record's version after the change.")
    before = JSONText(null=True, blank=True)
    written = JSONText(
        null=True,
        blank=True,
        db_column="after",
        help_text="Null for a creation, whose values are the record's, less what was changed since.",
    )
    created_at = models.DateTimeField()
    undone_by = models.UUIDField(null=True, blank=True, help_text="The origin that took it back.")

    class Meta:
        abstract = True


class LaterChange(_ChangeColumns):
    """A change of a record that was there: what is written. Read `Change`, which has the creations too."""

    class Meta:
        db_table = "records_change"
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["record", "id"], name="change_record"),
            models.Index(fields=["origin", "id"], name="change_origin"),
            models.Index(fields=["dataset", "id"], name="change_dataset"),
        ]

    def __str__(self) -> str:
        return f"{self.operation} (version {self.version})"


class Change(_ChangeColumns):
    """One write to one record, to be read: a view of creations, as records tell of them, and later changes.

    created: `after` is the whole record; updated: `before` and `after` hold the fields that changed (a
    field that was absent is missing from `before`); deleted: `before` is the whole record; restored: as
    updated, on a record that had been deleted. A creation has its record's id (ADR 0016).
    """

    PREFIX = "chg"
    Operation = Operation
    _together: Sequence[Change] | None = None
    _created: dict[str, Any] | None = None

    objects = ChangeQuerySet.as_manager()

    class Meta:
        managed = False
        db_table = "records_changes"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_operation_display()} (version {self.version})"

    @property
    def after(self) -> dict[str, Any] | None:
        """What the change wrote. For creations it is worked out, for all of one result in two queries."""
        if self.operation != Change.Operation.CREATED or self.written is not None:
            return self.written
        if self._created is None:
            _work_out(self._together or [self])
        return self._created


def _work_out(changes: Sequence[Change]) -> None:
    """Give each creation what its record was at first: what it is now, less the later changes."""
    from apps.records.models.records import Record

    wanted = {
        c.record_id: c
        for c in changes
        if c.operation == Change.Operation.CREATED and c.written is None and c._created is None
    }
    ids = list(wanted)
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        rows = Record.objects.filter(pk__in=part).values_list("pk", "data")
        found: dict[Any, dict[str, Any]] = {pk: dict(data) for pk, data in rows}
        later = LaterChange.objects.filter(
            record_id__in=part,
            operation__in=(Change.Operation.UPDATED, Change.Operation.RESTORED),
        ).order_by("-id")
        for record, before, written in later.values_list("record_id", "before", "written"):
            if record in found:
                found[record] = taken_back(found[record], before, written)
        for pk in part:
            wanted[pk]._created = found.get(pk, {})


def taken_back(
    data: dict[str, Any], before: dict[str, Any] | None, after: dict[str, Any] | None
) -> dict[str, Any]:
    """A record's values without one update: as they were before it."""
    kept = {name: value for name, value in data.items() if name not in (after or {})}
    return kept | (before or {})
