"""Log lines for people, with secrets masked; those for machines are the kernel's JSONLogFormatter."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from apps.kernel.redaction.logs import RedactingFormatter, extras


class TextFormatter(RedactingFormatter):
    """`2026-01-31T12:00:00.000Z INFO apps.jobs Import finished. rows=12`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s%(shown_extras)s")

    def format(self, record: logging.LogRecord) -> str:
        shown = (f" {name}={value}" for name, value in extras(record).items() if name != "shown_extras")
        record.shown_extras = "".join(shown)
        return super().format(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
