"""Log records without secrets, also in the texts of exceptions."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from apps.kernel.redaction.text import redact_text
from apps.kernel.redaction.values import redact

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_plain = logging.Formatter()


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`, redacted."""
    found = {k: v for k, v in vars(record).items() if k not in _STANDARD and not k.startswith("_")}
    cleaned = redact(found)
    return cleaned if isinstance(cleaned, dict) else {}


class RedactingFilter(logging.Filter):
    """Put on a handler: what passes has no secret in its message, extras, exception or stack."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:
            message = str(record.msg)
        record.msg, record.args = redact_text(message), None
        for name, value in extras(record).items():
            setattr(record, name, value)
        if record.exc_info and not record.exc_text:
            record.exc_text = redact_text(_plain.formatException(record.exc_info))
        if record.stack_info:
            record.stack_info = redact_text(record.stack_info)
        return True


class RedactingFormatter(logging.Formatter):
    """The standard formatter, redacting the finished line."""

    def format(self, record: logging.LogRecord) -> str:
        return redact_text(super().format(record))

    def formatException(self, ei: Any) -> str:
        return redact_text(super().formatException(ei))


class JSONLogFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, request_id, extra, exception, stack."""

    def format(self, record: logging.LogRecord) -> str:
        try:
            message = record.getMessage()
        except Exception:
            message = str(record.msg)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact_text(message),
        }
        extra = extras(record)
        request_id = extra.pop("request_id", None)
        if request_id:
            line["request_id"] = str(request_id)
        if extra:
            line["extra"] = extra
        if record.exc_info:
            line["exception"] = redact_text(self.formatException(record.exc_info))
        elif record.exc_text:
            line["exception"] = redact_text(record.exc_text)
        if record.stack_info:
            line["stack"] = redact_text(record.stack_info)
        return json.dumps(line, ensure_ascii=False, default=_shown, skipkeys=True)


def _shown(value: object) -> str:
    try:
        return redact_text(str(value))
    except Exception:
        return f"<{type(value).__name__}>"
