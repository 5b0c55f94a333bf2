"""Marks: what tells that a source row says what is stored already, without mapping it (ADR 0017).

A record's content hash may be followed by the mark of the row that it was last written from: a hash of the
row's cells and of everything else that decides what becomes of them. Whoever writes other content writes
another hash, so that no mark outlives what it speaks of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from itertools import repeat
from math import isfinite
from pathlib import Path
from typing import Any

import orjson

from apps.records import fields, mapping
from apps.records.mapping import CompiledMapper, FieldMapping, MappingSpec, compile_mapping
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.models import Dataset
from apps.records.services import bulk, wire

HASH_BYTES = 16  # of a content hash
MARK_BYTES = 8
_STRICT = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


@cache
def _code() -> bytes:
    """Stands for the code that maps and checks: a release that reads values otherwise recognizes no row."""
    digest = blake2b(orjson.__version__.encode())
    for package in (fields, mapping):
        for path in sorted(Path(str(package.__file__)).parent.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Glance:
    """What is read of a batch before it is known which of its rows are new: one entry per row."""

    keys: list[str | None]
    marks: list[bytes]


class Marker:
    """Marks the rows of one run."""

    def __init__(self, dataset: Dataset, mapper: CompiledMapper, timezone: str, *, overwrite: bool) -> None:
        spec = None if mapper.spec is None else mapper.spec.to_dict()
        means = repr((spec, mapper.columns, timezone, overwrite, mapper.fields))
        self._start = blake2b(means.encode("utf-8", "surrogatepass"), digest_size=32, key=_code()).digest()
        self._name = dataset.key_field
        self._keys = compile_mapping(
            dataset.fields, _of_key_alone(mapper, self._name), columns=mapper.columns, timezone=timezone
        )

    @classmethod
    def of(cls, dataset: Dataset, mapper: CompiledMapper, timezone: str, *, overwrite: bool) -> Marker | None:
        """None where more than a row's own cells decides what becomes of it, or nothing tells its key."""
        if mapper.columns is None or mapper.needs_lookup or mapper.has_rules:
            return None
        if not dataset.key_field or dataset.key_field not in mapper.targets:
            return None
        return cls(dataset, mapper, timezone, overwrite=overwrite)

    def marks(self, rows: Sequence[Any]) -> list[bytes]:
        """A mark for each row; empty for a row with cells that have no exact form as JSON."""
        start, dumps = self._start, orjson.dumps
        try:
            bodies = [dumps(row, option=_STRICT) for row in rows]
        except (TypeError, ValueError):
            bodies = [_body(row) for row in rows]
        return [
            blake2b(start + body, digest_size=MARK_BYTES).digest()
            if body and (b"null" not in body or _is_exact(row))
            else b""
            for body, row in zip(bodies, rows, strict=True)
        ]

    def keys(self, rows: Sequence[Any]) -> list[str | None]:
        """The key of each row; None where it is wrong or missing, or another row of these has it too."""
        found = self._keys.map_rows(rows, 0)
        keys: list[str | None] = [None] * len(rows)
        many: dict[str, int] = {}
        for number, values in zip(found.rows, found.values, strict=True):
            value = values[self._name]
            if value is not None:
                keys[number] = key = value if isinstance(value, str) else str(value)
                many[key] = many.get(key, 0) + 1
        if len(many) < len(found.rows):
            # What an earlier row of a batch makes of its record is not what the database has yet.
            return [key if key is not None and many[key] == 1 else None for key in keys]
        return keys


def _of_key_alone(mapper: CompiledMapper, name: str) -> MappingSpec:
    if mapper.spec is None:
        return MappingSpec((FieldMapping(name, f"{COLUMN_PREFIX}{name}"),))
    return MappingSpec(tuple(item for item in mapper.spec.fields if item.target == name))


def _body(row: Any) -> bytes:
    try:
        return orjson.dumps(row, option=_STRICT)
    except (TypeError, ValueError):
        return b""


def _is_exact(row: Any) -> bool:
    """Not a number and infinity are null in JSON."""
    return all(isfinite(cell) for cell in row if cell.__class__ is float)


def recognized(dataset: Dataset, glance: Glance) -> list[bool]:
    """For each row whether its living record was last written from the same row."""
    keys, marks = glance.keys, glance.marks
    pk = bulk.hex_of(dataset.pk)
    if bulk.is_postgres():
        [(answer,)] = bulk.rows_of(
            "SELECT string_agg(CASE WHEN found.is_same THEN '\\x01' ELSE '\\x00' END::bytea, ''::bytea "  # noqa: S608
            "ORDER BY wanted.n) "
            "FROM unnest(%s::text[], %s::bytea[]) WITH ORDINALITY AS wanted(key, mark, n) LEFT JOIN LATERAL ("
            f"SELECT substr(content_hash, {HASH_BYTES + 1}) = wanted.mark AS is_same "
            "FROM records_record WHERE dataset_id = %s AND key = wanted.key AND deleted_at IS NULL "
            "OFFSET 0) AS found ON TRUE",
            [wire.array(keys, "text"), wire.array(marks, "bytea"), pk],
        )
        same = map(bool, answer or b"")
    else:
        held = dict(
            bulk.rows_in(
                f"SELECT key, substr(content_hash, {HASH_BYTES + 1}) FROM records_record "  # noqa: S608
                "WHERE dataset_id = %s AND deleted_at IS NULL AND key {keys}",
                [pk],
                [key for key in keys if key is not None],
            )
        )
        same = map(bytes.__eq__, map(bytes, map(held.get, keys, repeat(b""))), marks)
    return [bool(mark) and is_same for mark, is_same in zip(marks, same, strict=True)]
