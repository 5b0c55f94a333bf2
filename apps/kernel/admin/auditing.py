"""How the admin tells the audit log what an administrator changed.

The audit app lies above the kernel, so it hands its journal over in `AppConfig.ready()`:
`auditing.journal.connect(AdminJournal())`.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from django.db import models
from django.http import HttpRequest

HIDDEN = "(hidden)"
CHANGED = "(changed)"
# A field whose name holds one of these is never written out, whatever its type.
SECRET_WORDS = ("secret", "password", "token", "credential", "private_key", "api_key", "passphrase")


@dataclass(frozen=True)
class HistoryEntry:
    """One line of an object's history, as the admin shows it."""

    at: datetime.datetime
    who: str
    action: str
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    url: str = ""


class Journal(Protocol):
    """What the audit app provides."""

    def record(
        self, request: HttpRequest, *, action: str, target: models.Model, changes: Mapping[str, Any]
    ) -> None: ...

    def history_of(self, request: HttpRequest, target: models.Model) -> Sequence[HistoryEntry]: ...


class _Journal:
    """Forwards to the connected journal; silent as long as there is none."""

    def __init__(self) -> None:
        self._connected: Journal | None = None

    def connect(self, journal: Journal) -> None:
        self._connected = journal

    def record(
        self,
        request: HttpRequest,
        *,
        action: str,
        target: models.Model,
        changes: Mapping[str, Any] | None = None,
    ) -> None:
        if self._connected is not None:
            self._connected.record(request, action=action, target=target, changes=changes or {})

    def history_of(self, request: HttpRequest, target: models.Model) -> Sequence[HistoryEntry]:
        return self._connected.history_of(request, target) if self._connected is not None else ()


journal = _Journal()


def is_secret(model_field: models.Field[Any, Any], extra: Iterable[str] = ()) -> bool:
    """Whether a field's values must not be written out: encrypted, named like a secret, or said to be one."""
    name = model_field.name
    encrypted = any("Encrypted" in cls.__name__ for cls in type(model_field).__mro__)
    return encrypted or name in set(extra) or any(word in name for word in SECRET_WORDS)


def plain(value: Any) -> Any:
    """A value as JSON holds it and a person reads it; objects by their public id or number, never by pk."""
    if isinstance(value, models.Model):
        return str(value)
    if value is None or isinstance(value, (str, int, float, bool, list, dict)):
        return value
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (Decimal, UUID, datetime.timedelta)):
        return str(value)
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def differences(
    before: models.Model | None, after: models.Model, names: Iterable[str], secret: Iterable[str] = ()
) -> dict[str, list[Any]]:
    """`{field: [before, after]}` of the named fields that differ; secrets only as changed."""
    secret = set(secret)
    found: dict[str, list[Any]] = {}
    for name in names:
        try:
            model_field = after._meta.get_field(name)
        except LookupError:
            continue
        if not isinstance(model_field, models.Field) or model_field.many_to_many:
            continue
        old = getattr(before, name) if before is not None else None
        new = getattr(after, name)
        if old == new or (before is None and new in (None, "", [], {})):
            continue
        if is_secret(model_field, secret):
            found[name] = [HIDDEN if before is not None and old else None, CHANGED]
        else:
            found[name] = [plain(old), plain(new)]
    return found
