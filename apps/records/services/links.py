"""Ties between rows of a remote system and records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jmespath
from django.utils import timezone

from apps.kernel import ids
from apps.records.mapping import RowProblem
from apps.records.models import KEY_LENGTH, Dataset, Link
from apps.records.services import bulk
from apps.records.services.bulk import Column
from apps.records.services.marks import HASH_BYTES
from apps.records.services.outcomes import BatchOutcome, LinkSource
from apps.records.services.planning import Row
from apps.records.services.stored import Existing


def _getter(path: str, columns: Sequence[str] | None) -> Callable[[Any], Any]:
    """How a path is read from a source row."""
    if columns is not None:
        position = list(columns).index(path)
        return lambda row: row[position]
    if path.replace("_", "a").isalnum():
        return lambda row: row.get(path) if isinstance(row, Mapping) else None
    expression = jmespath.compile(path)
    return expression.search


class Reader:
    """Reads remote identities, finds the linked records, and ties what was written."""

    def __init__(self, link: LinkSource, columns: Sequence[str] | None) -> None:
        self.link = link
        self._id = _getter(link.remote_id, columns)
        self._version = _getter(link.remote_version, columns) if link.remote_version else None

    def identify(self, rows: list[Row], part: Sequence[Any], first: int, outcome: BatchOutcome) -> None:
        """Set each row's remote id and version; rows without an id are refused."""
        kept = []
        for row in rows:
            source = part[row.number - first]
            value = self._id(source)
            if value is None or value == "" or isinstance(value, (dict, list, bool)):
                outcome.problems.append(
                    RowProblem(
                        row.number, "", self.link.remote_id, "" if value is None else str(value)[:80],
                        "remote_id_missing", f"The row has no identifier under “{self.link.remote_id}”.",
                    )
                )  # fmt: skip
                continue
            row.remote_id = str(value)
            if len(row.remote_id) > KEY_LENGTH:
                outcome.problems.append(
                    RowProblem(
                        row.number, "", self.link.remote_id, row.remote_id[:80], "remote_id_too_long",
                        f"The identifier has {len(row.remote_id)} characters, at most {KEY_LENGTH} fit.",
                    )
                )  # fmt: skip
                continue
            if self._version is not None:
                version = self._version(source)
                row.remote_version = "" if version is None else str(version)[:120]
            kept.append(row)
        rows[:] = kept

    def linked(self, dataset: Dataset, rows: Sequence[Row]) -> dict[str, Existing]:
        """The records that these remote ids are tied to."""
        found = bulk.rows_in(
            f"SELECT l.remote_id, r.id, r.key, substr(r.content_hash, 1, {HASH_BYTES}), r.version, "  # noqa: S608
            "r.deleted_at IS NOT NULL "
            "FROM records_link l JOIN records_record r ON r.id = l.record_id "
            "WHERE l.organization_id = %s AND l.source = %s AND l.stream = %s AND r.dataset_id = %s "
            "AND l.remote_id {keys}",
            [
                bulk.hex_of(dataset.organization_id),
                self.link.source,
                self.link.stream,
                bulk.hex_of(dataset.pk),
            ],
            [row.remote_id for row in rows if row.remote_id is not None],
        )  # fmt: skip
        return {
            remote: Existing(bulk.hex_of(record), key, bytes(digest), version, bool(deleted))
            for remote, record, key, digest, version, deleted in found
        }

    def tie(self, dataset: Dataset, touched: Sequence[tuple[Row, str]]) -> None:
        """Insert or refresh the link of each written row."""
        if not touched:
            return
        now = timezone.now()
        known = {
            remote: (bulk.hex_of(link), bulk.hex_of(record), version, bool(gone))
            for remote, link, record, version, gone in bulk.rows_in(
                "SELECT remote_id, id, record_id, remote_version, gone_at IS NOT NULL FROM records_link "
                "WHERE organization_id = %s AND source = %s AND stream = %s AND remote_id {keys}",
                [bulk.hex_of(dataset.organization_id), self.link.source, self.link.stream],
                [row.remote_id for row, _ in touched],
            )
        }
        fresh: list[tuple[Row, str]] = []
        old: list[tuple[Row, str, str]] = []
        same: list[str] = []
        for row, record in touched:
            tied = known.get(row.remote_id)
            if tied is None:
                fresh.append((row, record))
            elif tied[1:] == (record, row.remote_version, False):
                same.append(tied[0])
            else:
                old.append((row, record, tied[0]))
        if fresh:
            bulk.insert(
                Link,
                [
                    Column("id", ids.uuid7_bytes(len(fresh))),
                    Column("organization_id", bulk.hex_of(dataset.organization_id)),
                    Column("source", self.link.source),
                    Column("stream", self.link.stream),
                    Column("remote_id", [row.remote_id for row, _ in fresh]),
                    Column("record_id", [record for _, record in fresh]),
                    Column("remote_version", [row.remote_version for row, _ in fresh]),
                    Column("content_hash", b""),
                    Column("created_at", now),
                    Column("last_seen_at", now),
                ],
                len(fresh),
            )
        if old:
            bulk.update(
                Link,
                [link for _, _, link in old],
                [
                    Column("record_id", [record for _, record, _ in old]),
                    Column("remote_version", [row.remote_version for row, _, _ in old]),
                    Column("last_seen_at", now),
                    Column("gone_at", None),
                ],
            )
        bulk.update(Link, same, [Column("last_seen_at", now)])
