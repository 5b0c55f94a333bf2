"""What an export was once decided to be, under a name, to be ordered again and used by schedules."""

from __future__ import annotations

from django.db import models

from apps.kernel.models import Stamped, TimeOrdered


class ExportTemplate(TimeOrdered, Stamped):
    """Settings, filters and search of an export of one dataset: `options`, as `exports.create` takes them."""

    PREFIX = "ext"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="+", db_index=False
    )
    dataset = models.ForeignKey("records.Dataset", on_delete=models.CASCADE, related_name="+", db_index=False)
    name = models.CharField(max_length=120)
    options = models.JSONField(default=dict)
    created_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="export_template_name_unique")
        ]
        indexes = [models.Index(fields=["organization", "id"], name="export_template_org")]

    def __str__(self) -> str:
        return self.name
