"""The records themselves.

Rows are written in bulk by `apps.records.services.upsert` only, which holds organization and dataset;
their foreign keys therefore carry no constraint trigger, which would cost more than the row.
"""

from __future__ import annotations

from django.db import models

from apps.kernel.models import TimeOrdered
from apps.records.models.json import JSONText

KEY_LENGTH = 190  # characters of a key: what fits into an index on every database
SLOTS = ("s1", "s2", "s3", "s4", "s5", "s6")


class Record(TimeOrdered):
    """One row of a dataset. `data` holds canonical values (see `apps.records.fields`).

    `key` is the text of the dataset's key field. `s1`…`s6` hold the sortable text of its indexed fields,
    so that filters and sorts use an index whatever the dataset (ADR 0003).
    """

    PREFIX = "rec"

    organization = models.ForeignKey(
        "tenants.Organization",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    dataset = models.ForeignKey(
        "records.Dataset",
        on_delete=models.PROTECT,
        related_name="records",
        db_index=False,
        db_constraint=False,
    )
    key = models.CharField(max_length=190, null=True, blank=True)  # noqa: DJ001 - several without a key
    data = JSONText()
    content_hash = models.BinaryField(
        max_length=24, help_text="16 bytes of what it holds, and 8 of the row it was written from (ADR 0017)."
    )
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField(null=True, blank=True)
    origin = models.ForeignKey(
        "records.Origin",
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        db_constraint=False,
        null=True,
        editable=False,
        help_text="Who created it: what is shown as its first change (ADR 0016).",
    )
    uncreated_by = models.UUIDField(null=True, editable=False, help_text="The origin that took that back.")
    s1 = models.CharField(max_length=190, null=True, editable=False)  # noqa: DJ001
    s2 = models.CharField(max_length=190, null=True, editable=False)  # noqa: DJ001
    s3 = models.CharField(max_length=190, null=True, editable=False)  # noqa: DJ001
    s4 = models.CharField(max_length=190, null=True, editable=False)  # noqa: DJ001
    s5 = models.CharField(max_length=190, null=True, editable=False)  # noqa: DJ001
    s6 = models.CharField(max_length=190, null=True, editable=False)  # noqa: DJ001

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["dataset", "key"], name="record_key_unique")]
        indexes = [
            models.Index(fields=["dataset", "id"], name="record_live", condition=models.Q(deleted_at=None)),
            models.Index(
                fields=["dataset", "id"], name="record_deleted", condition=models.Q(deleted_at__isnull=False)
            ),
            models.Index(
                fields=["origin", "id"], name="record_origin", condition=models.Q(origin__isnull=False)
            ),
            *(
                models.Index(
                    fields=["dataset", slot, "id"],
                    name=f"record_{slot}",
                    condition=models.Q(**{f"{slot}__isnull": False}),
                )
                for slot in SLOTS
            ),
        ]

    def __str__(self) -> str:
        return self.key or self.public_id


class RecordKey(TimeOrdered):
    """The value of a unique field other than the key: what makes it unique, and findable."""

    dataset = models.ForeignKey(
        "records.Dataset", on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    field = models.CharField(max_length=60)
    value = models.CharField(max_length=190)
    record = models.ForeignKey(Record, on_delete=models.CASCADE, related_name="keys", db_constraint=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "field", "value"], name="record_unique_value")
        ]

    def __str__(self) -> str:
        return f"{self.field}={self.value}"


class SeenRecord(TimeOrdered):
    """A record that a "replace all" run has met: what its end leaves alone. Emptied when the run ends."""

    origin = models.ForeignKey("records.Origin", on_delete=models.CASCADE, related_name="+", db_index=False)
    record_id = models.UUIDField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["origin", "record_id"], name="seen_record_unique")]

    def __str__(self) -> str:
        return str(self.record_id)
