"""Key rotation: every encrypted value of every app moves to the active key, online and resumable.

Each value is replaced by a compare-and-set on its old bytes, so an edit that comes between wins. Values that
are on the active key already are skipped, so an interrupted run is simply started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.apps import apps
from django.db import models, router

from apps.kernel.crypto.errors import DecryptionFailed, KeyRingError
from apps.kernel.crypto.fields import EncryptedField, Envelope
from apps.kernel.crypto.keyring import KeyRing, get_keyring

BATCH = 500
UNREADABLE = "?"


@dataclass
class ModelCounts:
    """What happened to the encrypted values of one model."""

    label: str
    reencrypted: int = 0
    current: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class Pruned:
    """The keys that were dropped, and how many values use each of those that were kept."""

    dropped: list[str]
    in_use: dict[str, int]


def encrypted_models() -> list[tuple[type[models.Model], list[EncryptedField]]]:
    """Every table with encrypted columns, with those columns."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        columns = [f for f in model._meta.local_concrete_fields if isinstance(f, EncryptedField)]
        if columns and not model._meta.proxy:
            found.append((model, columns))
    return found


def reencrypt(
    *, batch: int = BATCH, progress: Callable[[ModelCounts], None] | None = None
) -> list[ModelCounts]:
    """Encrypt everything with the active key that is not yet. `progress` is called after each batch."""
    result = []
    for model, columns in encrypted_models():
        counts = ModelCounts(model._meta.label)
        result.append(counts)
        told = None if progress is None else partial(progress, counts)
        for pk, envelopes in _rows(model, columns, batch, told):
            for column, envelope in zip(columns, envelopes, strict=True):
                if envelope is not None:
                    _reencrypt(model, column, pk, envelope, counts)
    return result


def key_ids_in_use(*, batch: int = BATCH) -> Counter[str]:
    """How many stored values each key encrypts; those that are no envelopes count under `UNREADABLE`."""
    found: Counter[str] = Counter()
    for model, columns in encrypted_models():
        for _, envelopes in _rows(model, columns, batch):
            for envelope in envelopes:
                if envelope is not None:
                    found[_key_id(envelope)] += 1
    return found


def prune(*, batch: int = BATCH) -> Pruned:
    """Drop the keys that no stored value uses. Raises KeyRingError if that cannot be told for certain.

    The tables are read again after the drop: a transaction may have committed a value under an old key
    meanwhile, and then that key comes back.
    """
    ring = get_keyring()
    if ring.path is None:
        raise KeyRingError("The keys come from the environment: remove the unused ones there.")
    before = _certain(key_ids_in_use(batch=batch))
    unused = [key_id for key_id in ring.key_ids if key_id != ring.active_id and not before[key_id]]
    if not unused:
        return Pruned([], dict(before))
    copy = KeyRing.load(ring.path)
    ring.drop_keys(unused)
    after = key_ids_in_use(batch=batch)
    used_after_all = [key_id for key_id in unused if after[key_id]]
    if used_after_all:
        ring.restore_keys(copy, used_after_all)
    return Pruned([key_id for key_id in unused if key_id not in used_after_all], dict(after))


def _certain(counts: Counter[str]) -> Counter[str]:
    if counts[UNREADABLE]:
        raise KeyRingError(
            f"{counts[UNREADABLE]} stored values are damaged, so it is not certain which keys they need: "
            "enter those secrets again first."
        )
    return counts


def _key_id(envelope: Envelope) -> str:
    try:
        return envelope.key_id
    except DecryptionFailed:
        return UNREADABLE


def _rows(
    model: type[models.Model],
    columns: list[EncryptedField],
    batch: int,
    progress: Callable[[], None] | None = None,
) -> Iterator[tuple[Any, list[Envelope | None]]]:
    """Every row of a table in the order of its primary key, in batches, whatever its managers hide."""
    names = [column.attname for column in columns]
    rows = _all(model).order_by("pk").values_list("pk", *names)
    page = list(rows[:batch])
    while page:
        for pk, *envelopes in page:
            yield pk, envelopes
        if progress:
            progress()
        page = list(rows.filter(pk__gt=page[-1][0])[:batch])


def _all(model: type[models.Model]) -> models.QuerySet[Any]:
    return models.QuerySet(model=model, using=router.db_for_write(model))


def _reencrypt(
    model: type[models.Model], column: EncryptedField, pk: Any, envelope: Envelope, counts: ModelCounts
) -> None:
    seen: Envelope | None = envelope
    while seen is not None:
        ring = get_keyring()
        try:
            if seen.key_id == ring.active_id:
                counts.current += 1
                return
            aad = column.aad(pk)
            fresh = Envelope(ring.encrypt(ring.decrypt(seen, aad), aad))
        except DecryptionFailed as exc:
            counts.failed.append(f"{model._meta.label} {pk} {column.name}: {exc}")
            return
        row = _all(model).filter(pk=pk)
        if row.filter(**{f"{column.attname}__stored_as": seen}).update(**{column.attname: fresh}):
            counts.reencrypted += 1
            return
        # Somebody wrote meanwhile, or the row is gone: look again.
        seen = row.values_list(column.attname, flat=True).first()
