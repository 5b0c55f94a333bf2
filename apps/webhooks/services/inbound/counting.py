"""Counting what comes, by hour, and keeping a bounded sample of what was refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.kernel.redaction import redact_text
from apps.webhooks.models import InboundCount, InboundReceiver, InboundRejection

SAMPLES = 20
# Of a flood, every so many-th is looked at after the first SAMPLES of the hour.
SAMPLE_EVERY = 100
SHOWN_BYTES = 2048
COLUMNS = ("received", "duplicates", "rejected", "too_large")


def count(receiver: InboundReceiver, column: str, *, at: datetime | None = None, by: int = 1) -> int:
    """Add to a receiver's count of the hour, in one statement; returns the new count."""
    assert column in COLUMNS
    hour = (at or timezone.now()).replace(minute=0, second=0, microsecond=0)
    table = InboundCount._meta.db_table
    zeros = {name: by if name == column else 0 for name in COLUMNS}
    key = InboundCount._meta.get_field("receiver").get_db_prep_value(receiver.pk, connection)
    moment = InboundCount._meta.get_field("hour").get_db_prep_value(hour, connection)
    columns = ", ".join(COLUMNS)
    sql = f"""
        INSERT INTO "{table}" (receiver_id, hour, {columns}) VALUES (%s, %s, %s, %s, %s, %s)
        ON CONFLICT (receiver_id, hour) DO UPDATE SET {column} = "{table}".{column} + excluded.{column}
        RETURNING {column}
    """  # noqa: S608 (names from the model and from COLUMNS)
    with connection.cursor() as cursor:
        cursor.execute(sql, [key, moment, *zeros.values()])
        return int(cursor.fetchone()[0])


def reject(
    receiver: InboundReceiver,
    *,
    reason: str,
    remote_ip: str | None,
    headers: Mapping[str, str],
    body: bytes,
) -> None:
    """Count a refused message, and keep it in the ring of samples if it is one of the first or every so
    many.
    """
    now = timezone.now()
    number = count(receiver, "rejected", at=now)
    if number > SAMPLES and number % SAMPLE_EVERY:
        return
    slot = (number if number <= SAMPLES else SAMPLES + number // SAMPLE_EVERY) % SAMPLES
    values: dict[str, Any] = {
        "at": now,
        "reason": reason[:300],
        "remote_ip": remote_ip,
        "headers": dict(headers),
        "beginning": redact_text(body[:SHOWN_BYTES].decode("utf-8", "replace").replace("\x00", "\ufffd")),
        "size": len(body),
    }
    with transaction.atomic():
        InboundRejection.objects.bulk_create(
            [InboundRejection(receiver=receiver, slot=slot, **values)],
            update_conflicts=True,
            unique_fields=["receiver", "slot"],
            update_fields=list(values),
        )
