"""What kinds of records an organization holds, and how sources map onto them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from django.db import models

from apps.kernel.models import Stamped, TimeOrdered
from apps.records.fields import Field, from_dict
from apps.records.models.records import KEY_LENGTH

_TEXTS = ("text", "email", "url")


class Dataset(TimeOrdered, Stamped):
    """One kind of record of one organization.

    Built-in datasets take their fields from the code's declaration of the same slug; custom ones hold
    their own definition in `definition`, a list of field dictionaries.
    """

    PREFIX = "dst"

    class Kind(models.TextChoices):
        BUILTIN = "builtin", "Built-in"
        CUSTOM = "custom", "Custom"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="datasets", db_index=False
    )
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120, help_text="What one calls many of them, such as “Clients”.")
    singular = models.CharField(max_length=120, blank=True, help_text="One of them, such as “Client”.")
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CUSTOM)
    key_field = models.CharField(max_length=60, blank=True, help_text="The field that tells records apart.")
    title_field = models.CharField(max_length=60, blank=True, help_text="The field that names a record.")
    icon = models.CharField(max_length=40, blank=True, default="database")
    definition = models.JSONField(default=list, blank=True)
    version = models.PositiveIntegerField(default=1, help_text="Raised by each change of the fields.")
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "slug"], name="dataset_slug_unique")]

    def __str__(self) -> str:
        return self.name

    @property
    def public_id(self) -> str:
        return self.slug

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The typed fields, in order. The key is never longer than what its column takes."""
        from apps.records.catalog import datasets

        declared = datasets.get(self.slug) if self.kind == self.Kind.BUILTIN else None
        fields = declared.fields if declared else tuple(from_dict(item) for item in self.definition)
        return tuple(
            replace(f, max_length=min(f.max_length or KEY_LENGTH, KEY_LENGTH))
            if f.name == self.key_field and f.type in _TEXTS
            else f
            for f in fields
        )

    @cached_property
    def fields_by_name(self) -> dict[str, Field]:
        return {field.name: field for field in self.fields}

    @cached_property
    def slots(self) -> dict[str, str]:
        """Indexed field → the record's column that holds its sortable text (`s1` to `s6`)."""
        indexed = [f.name for f in self.fields if f.indexed and f.name != self.key_field]
        return {name: f"s{n}" for n, name in enumerate(indexed[:6], start=1)}


class DatasetCount(TimeOrdered):
    """Live records of a dataset: the sum of these deltas, folded into one by a periodic task.

    Appended instead of updated, so that no two writers wait for one row.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    delta = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.delta:+d}"


class Mapping(TimeOrdered, Stamped):
    """A reusable mapping from a source's fields to a dataset's: for imports, pulls and pushes alike.

    `spec` is the dictionary form of `apps.records.mapping.MappingSpec`.
    """

    PREFIX = "map"

    organization = models.ForeignKey(
        "tenants.Organization", on_delete=models.PROTECT, related_name="mappings", db_index=False
    )
    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="mappings")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    spec = models.JSONField(default=dict)
    columns = models.JSONField(
        default=list, blank=True, help_text="The source's columns when it was made, to recognize the source."
    )

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["organization", "name"], name="mapping_name_unique")]

    def __str__(self) -> str:
        return self.name
