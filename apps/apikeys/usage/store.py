"""Writing what was collected, in few statements. Several processes add to the same rows at once."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from apps.apikeys.models.usage import RequestLog, UsageAddresses, UsageBucket
from apps.apikeys.usage import histogram, sketch
from apps.apikeys.usage.counting import Call, Collected, Series, Source, Sum, lines_of
from apps.kernel import ids
from apps.kernel.redaction import redact_text

ROWS = 400  # per statement: SQLite takes 32,766 values in one

_DIMENSIONS = (
    "id", "organization_id", "level", "grain", "starts_at", "subject_kind", "subject_id", "method", "route",
    "version", "status_class",
)  # fmt: skip
_ADDED = (
    "count", "limited", "refused", "bytes_in", "bytes_out", "time_us", "statements",
    "database_us", *histogram.COLUMNS,
)  # fmt: skip
_COLUMNS = (*_DIMENSIONS, *_ADDED, "longest_us", "first_at", "last_at")


def write(collected: Collected) -> None:
    """Add everything to what the database holds, in one transaction. Raises the database's errors."""
    with transaction.atomic():
        _write_sums(collected.written_series())
        _write_addresses(collected.addresses)
        _write_lines(lines_of(collected.lines.values()))
        _write_last_used(collected.used)


def id_of(what: Series | Source) -> UUID:
    """The primary key of a bucket: the time in front, so that what is written together lies together."""
    text = "\x1f".join("" if part is None else str(part) for part in what)
    head = struct.pack(">I", what.start // 300)
    return UUID(bytes=head + blake2b(text.encode(), digest_size=12).digest())


def _write_sums(sums: dict[Series, Sum]) -> None:
    # In one order in every process, so that two never wait for each other.
    rows = sorted((_row(series, numbers) for series, numbers in sums.items()), key=lambda row: row[0])
    table = connection.ops.quote_name(UsageBucket._meta.db_table)
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    updates = [f'"{name}" = {table}."{name}" + excluded."{name}"' for name in _ADDED]
    for name, sign in (("longest_us", ">"), ("last_at", ">"), ("first_at", "<")):
        updates.append(
            f'"{name}" = CASE WHEN excluded."{name}" {sign} {table}."{name}" '
            f'THEN excluded."{name}" ELSE {table}."{name}" END'
        )
    ending = f' ON CONFLICT ("id") DO UPDATE SET {", ".join(updates)}'
    one = f"({', '.join(['%s'] * len(_COLUMNS))})"
    with connection.cursor() as cursor:
        for part in _parts(rows, ROWS):
            values = ", ".join([one] * len(part))
            cursor.execute(
                f"INSERT INTO {table} ({names}) VALUES {values}{ending}",  # noqa: S608  our own names
                [cell for row in part for cell in row],
            )


def _row(series: Series, numbers: Sum) -> list[Any]:
    return [
        id_of(series).hex,
        series.organization.hex if series.organization is not None else None,
        series.level,
        series.grain,
        _moment(series.start),
        *series[4:],
        numbers.count,
        numbers.limited,
        numbers.refused,
        numbers.bytes_in,
        numbers.bytes_out,
        numbers.time,
        numbers.statements,
        numbers.database,
        *numbers.steps,
        numbers.longest,
        _moment(numbers.first),
        _moment(numbers.last),
    ]


def _moment(at: float) -> Any:
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(at, UTC))


def _write_addresses(addresses: dict[Source, set[bytes]]) -> None:
    found = {id_of(source): (source, hashes) for source, hashes in addresses.items()}
    for part in _parts(sorted(found), ROWS):
        UsageAddresses.objects.bulk_create(
            [
                UsageAddresses(
                    id=pk,
                    organization_id=found[pk][0].organization,
                    level=found[pk][0].level,
                    grain=found[pk][0].grain,
                    starts_at=datetime.fromtimestamp(found[pk][0].start, UTC),
                    subject_kind=found[pk][0].subject_kind,
                    subject_id=found[pk][0].subject_id,
                    sketch=sketch.EMPTY,
                )
                for pk in part
            ],
            ignore_conflicts=True,
        )
        rows = UsageAddresses.objects.select_for_update().filter(pk__in=part).order_by("id")
        changed = []
        for row in rows:
            before = bytes(row.sketch)
            row.sketch = sketch.add(before, found[row.pk][1])
            if row.sketch != before:
                changed.append(row)
        UsageAddresses.objects.bulk_update(changed, ["sketch"])


def _write_lines(calls: list[Call]) -> None:
    RequestLog.objects.bulk_create(
        [
            RequestLog(
                id=ids.uuid7(),
                organization_id=call.organization,
                at=datetime.fromtimestamp(call.at, UTC),
                subject_kind=call.subject_kind,
                subject_id=call.subject_id,
                label=call.label[:200],
                method=call.method,
                path=redact_text(_clean(call.path, 1000))[:300],
                route=call.route,
                version=call.version,
                status=call.status,
                code=call.code[:64],
                refused=call.refused,
                time_us=call.time_us,
                bytes_in=call.bytes_in,
                bytes_out=call.bytes_out,
                ip=call.ip,
                user_agent=redact_text(_clean(call.user_agent, 1000))[:200],
                request_id=call.request_id,
            )
            for call in calls
        ],
        batch_size=ROWS,
    )


def _clean(text: str, longest: int) -> str:
    """Text that every database takes."""
    text = text[:longest].replace("\x00", "�")
    return text.encode("utf-8", "replace").decode()


def _write_last_used(used: dict[UUID, float]) -> None:
    """Forward only: a slower process never turns the clock back."""
    table = '"apikeys_apikey"'
    postgres = connection.vendor == "postgresql"
    one = "(%s::uuid, %s::timestamptz)" if postgres else "(%s, %s)"
    with connection.cursor() as cursor:
        for part in _parts(sorted(used.items()), ROWS):
            values = ", ".join([one] * len(part))
            cursor.execute(
                f"WITH used(key_id, at) AS (VALUES {values}) "  # noqa: S608  our own names
                f"UPDATE {table} SET last_used_at = used.at FROM used WHERE {table}.id = used.key_id "
                f"AND ({table}.last_used_at IS NULL OR {table}.last_used_at < used.at)",
                [cell for key_id, at in part for cell in (key_id.hex, _moment(at))],
            )


def _parts(rows: Sequence[Any], size: int) -> Iterable[Any]:
    for n in range(0, len(rows), size):
        yield rows[n : n + size]
