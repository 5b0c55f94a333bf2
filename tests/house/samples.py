"""Makes rows of any model of the house for one organization, with hostile text wherever text may stand."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import models
from django.utils import timezone

from apps.kernel import ids
from apps.tenants.models import Organization, User

ATTACK = "\"><img src=x onerror=alert(1)>'<script>alert(2)</script>"
LINK_ATTACK = "javascript:alert(3)"
# Fields that name something: hostile text could never have been stored in them.
IDENTIFIERS = frozenset(
    {
        "number", "slug", "type", "code", "kind", "key_field", "title_field", "icon", "timezone", "currency",
        "event_type", "connector", "format", "mode", "operation", "status", "state", "content_type", "prefix",
        "object_type", "actor_kind", "name_slug", "encoding", "stream", "method", "auth_type", "direction",
    }
)  # fmt: skip
# What a model needs beyond its types for its rows to be possible.
POSSIBLE: dict[str, dict[str, Any]] = {
    "apikeys.RateLimit": {"per_minute": 100},
    "connectors.SyncJob": {"status": "completed"},
    "records.LaterChange": {"before": {"name": ATTACK}, "written": {"name": f"{ATTACK}!"}},
}
# Views, and the tables that their rows are written to.
STORED_AS = {"records.Change": "records.LaterChange"}
_numbers = itertools.count(1)


class Maker:
    """`make(Model)` gives a stored row of the organization; foreign keys are made along and shared."""

    def __init__(self, organization: Organization) -> None:
        self.organization = organization
        self._made: dict[type[models.Model], models.Model] = {Organization: organization}

    def make(self, model: type[models.Model], **values: Any) -> Any:
        """One row. Written past `save`, so that append-only models can be made, too."""
        if model._meta.label in STORED_AS:
            stored = self.make(apps.get_model(STORED_AS[model._meta.label]), **values)
            return model._base_manager.get(pk=stored.pk)
        n = next(_numbers)
        given = {
            f.name: value
            for f in model._meta.concrete_fields
            for value in [self._value(f, n)]
            if value is not _LEFT
        }
        row = model(**{**given, **POSSIBLE.get(model._meta.label, {}), **values})
        model._base_manager.bulk_create([row])
        return row

    def one(self, model: type[models.Model]) -> models.Model:
        if model not in self._made:
            if issubclass(model, User):
                self._made[model] = User.objects.create_user(f"user{next(_numbers)}@example.com", None)
            else:
                self._made[model] = self.make(model)
        return self._made[model]

    def _value(self, field: Any, n: int) -> Any:
        if field.primary_key:
            return ids.uuid7() if isinstance(field, models.UUIDField) else _LEFT
        if isinstance(field, models.ForeignKey):
            if field.null and not issubclass(field.remote_field.model, Organization):
                return _LEFT
            if field.one_to_one or (field.name == "user" and issubclass(field.remote_field.model, User)):
                return User.objects.create_user(f"user{n}@example.com", None, first_name=ATTACK)
            return self.one(field.remote_field.model)
        return _plain(field, n)


class _Left:
    """Stands for: leave the field at its default."""


_LEFT: Any = _Left()


def _plain(field: Any, n: int) -> Any:
    if getattr(field, "choices", None):
        return field.default if field.has_default() else field.flatchoices[0][0]
    kind = type(field).__name__
    if kind == "EncryptedTextField":
        return f"sk_secret_{n}"
    if kind == "EncryptedJSONField":
        return _LEFT if field.has_default() else {"password": f"sk_secret_{n}"}
    if kind == "JSONText":
        return _LEFT if field.null or field.has_default() else {"name": ATTACK}
    if isinstance(field, (models.CharField, models.TextField)):
        if isinstance(field, models.URLField) or "url" in field.name:
            return LINK_ATTACK
        if isinstance(field, models.SlugField):
            return f"sample-{n}"
        if field.name == "number":
            return f"SMP-2026-{n:05}"
        if field.name in IDENTIFIERS:
            return (
                field.default
                if field.has_default() and field.default
                else ""
                if field.blank
                else f"S-{n}"[: field.max_length]
            )
        length = field.max_length or 300
        text = f"{n}{ATTACK}"
        return text if length >= len(text) else f"{n}"[:length]
    if field.null or field.has_default():
        return _LEFT
    if isinstance(field, models.DateTimeField):
        return timezone.now() - dt.timedelta(minutes=n)
    if isinstance(field, models.DateField):
        return dt.date(2026, 1, 1)
    if isinstance(field, models.BooleanField):
        return False
    if isinstance(field, models.DecimalField):
        return Decimal(1)
    if isinstance(field, models.IntegerField):
        return n
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(field, models.BinaryField):
        return n.to_bytes(8, "big")
    return {"note": ATTACK}
