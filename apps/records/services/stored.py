"""What the database has of records that rows may mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection

from apps.records.models import Dataset
from apps.records.services import bulk, wire
from apps.records.services.marks import HASH_BYTES

WORTH_A_LOOK = 500  # keys from which it is asked whether any of them can be there


@dataclass(slots=True)
class Existing:
    """A record that a row may mean."""

    record: str
    key: str | None
    hash: bytes
    version: int
    deleted: bool
    text: str | None = None  # its data as stored, if it was read


def by_keys(dataset: Dataset, keys: Sequence[str], *, with_data: bool = False) -> dict[str, Existing]:
    """The records with these keys, deleted ones too."""
    found = bulk.rows_in(
        f"SELECT key, id, substr(content_hash, 1, {HASH_BYTES}), version, deleted_at IS NOT NULL, "  # noqa: S608
        f"{'data' if with_data else 'NULL'} "
        "FROM records_record WHERE dataset_id = %s AND key {keys}",
        [bulk.hex_of(dataset.pk)],
        keys,
    )
    return {
        key: Existing(bulk.hex_of(record), key, bytes(digest), version, bool(deleted), text)
        for key, record, digest, version, deleted, text in found
    }


def stored_hashes(dataset: Dataset, keys: Sequence[str]) -> Sequence[bytes | None]:
    """For each key its record's content hash: empty if the record is deleted, None if there is none.

    PostgreSQL answers with one value for all keys: reading a row of it each would cost more than finding it.
    """
    if not keys:
        return []
    content = f"substr(content_hash, 1, {HASH_BYTES})"
    mark = f"CASE WHEN deleted_at IS NULL THEN {content} ELSE {bulk.EMPTY_BYTES} END"
    pk = bulk.hex_of(dataset.pk)
    if not bulk.is_postgres():
        found = dict(
            bulk.rows_in(
                f"SELECT key, {mark} FROM records_record WHERE dataset_id = %s AND key {{keys}}",  # noqa: S608
                [pk],
                keys,
            )
        )
        return list(map(found.get, keys))
    width = HASH_BYTES + 1
    [(answer,)] = bulk.rows_of(
        "SELECT string_agg(coalesce(found.mark, %s), ''::bytea ORDER BY wanted.n) "  # noqa: S608
        "FROM unnest(%s::text[]) WITH ORDINALITY AS wanted(key, n) LEFT JOIN LATERAL ("
        f"SELECT CASE WHEN deleted_at IS NULL THEN '\\x01'::bytea || {content} ELSE %s END AS mark "
        "FROM records_record WHERE dataset_id = %s AND key = wanted.key OFFSET 0) AS found ON TRUE",
        [bytes(width), wire.array(keys, "text"), b"\x02" + bytes(HASH_BYTES), pk],
    )
    states = answer[::width]
    hashes = [answer[n : n + HASH_BYTES] for n in range(1, len(answer), width)]
    if states.count(1) == len(keys):
        return hashes
    return [
        digest if state == 1 else b"" if state else None for state, digest in zip(states, hashes, strict=True)
    ]


def ids_by_keys(dataset: Dataset, keys: Sequence[str]) -> dict[str, str]:
    """Key → record."""
    found = bulk.rows_in(
        "SELECT key, id FROM records_record WHERE dataset_id = %s AND key {keys}",
        [bulk.hex_of(dataset.pk)],
        keys,
    )
    return {key: bulk.hex_of(record) for key, record in found}


def beyond_all(dataset: Dataset, keys: Sequence[str]) -> bool:
    """Whether all keys lie before or after all that the dataset has: what grows in order looks nothing up.

    Both databases and Python compare keys by code point.
    """
    if len(keys) < WORTH_A_LOOK:
        return False
    with connection.cursor() as cursor:
        of = "FROM records_record WHERE dataset_id = %s AND key IS NOT NULL"
        pk = bulk.hex_of(dataset.pk)
        cursor.execute(f"SELECT (SELECT MIN(key) {of}), (SELECT MAX(key) {of})", [pk, pk])
        first, last = cursor.fetchone()
    return first is None or min(keys) > last or max(keys) < first


def bodies(records: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The data of records, by id."""
    found = bulk.rows_in("SELECT id, data FROM records_record WHERE id {keys}", [], records, cast="uuid")
    return {bulk.hex_of(record): orjson.loads(text) for record, text in found}
