"""What is true for the request being served: its id, for logs, problems, audit entries and events."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

from apps.kernel import ids
from apps.kernel.redaction import redact_text

request_id: ContextVar[str] = ContextVar("hub_request_id", default="")

# What a proxy or a client may call a request: long enough to be unique, and harmless in a log line.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:\-]{7,63}", re.ASCII)


def accept_request_id(given: str | None) -> str:
    """The caller's X-Request-ID if it is fit for logs and headers and no secret, else a new one."""
    if given and _ACCEPTABLE.fullmatch(given) and redact_text(given) == given:
        return given
    return ids.public("req", ids.uuid7_int())


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to each log record that is written while a request is served."""

    def filter(self, record: logging.LogRecord) -> bool:
        current = request_id.get()
        if current and not hasattr(record, "request_id"):
            record.request_id = current
        return True
