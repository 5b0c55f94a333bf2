"""Secrets never show: in logs, answers, stored attempts, error reports."""

from apps.kernel.redaction.logs import JSONLogFormatter, RedactingFilter, RedactingFormatter
from apps.kernel.redaction.names import is_secret_name
from apps.kernel.redaction.reports import HubExceptionReporter, HubExceptionReporterFilter
from apps.kernel.redaction.text import MASK, redact_text, redact_url
from apps.kernel.redaction.values import Secret, redact

__all__ = [
    "MASK",
    "HubExceptionReporter",
    "HubExceptionReporterFilter",
    "JSONLogFormatter",
    "RedactingFilter",
    "RedactingFormatter",
    "Secret",
    "is_secret_name",
    "redact",
    "redact_text",
    "redact_url",
]
