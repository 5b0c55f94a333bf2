"""Abstract bases. The kernel has no tables of its own."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models

from apps.kernel import ids


class Stamped(models.Model):
    """When the row was created and last changed (aware UTC)."""

    created_at = models.DateTimeField(auto_now_add=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    class Meta:
        abstract = True


class TimeOrdered(models.Model):
    """A row whose primary key is a time-ordered UUID, shown to the outside as `<PREFIX>_…`."""

    PREFIX: ClassVar[str] = "obj"

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)

    class Meta:
        abstract = True

    @property
    def public_id(self) -> str:
        return ids.public(self.PREFIX, self.id)

    @classmethod
    def parse_public_id(cls, text: str) -> uuid.UUID | None:
        return ids.parse(cls.PREFIX, text)
