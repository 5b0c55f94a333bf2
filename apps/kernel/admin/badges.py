"""Coloured words for states. One colour means one thing on every screen."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

GOOD, BAD, WARN, BUSY, QUIET = "good", "bad", "warn", "busy", "quiet"

TONES: dict[str, str] = {
    **dict.fromkeys(
        [
            "active",
            "healthy",
            "succeeded",
            "success",
            "completed",
            "delivered",
            "processed",
            "connected",
            "enabled",
            "verified",
            "created",
            "restored",
            "open",
            "online",
            "ok",
            "pass",
            "yes",
            "published",
            "valid",
            "paid",
        ],
        GOOD,
    ),
    **dict.fromkeys(
        [
            "error",
            "failed",
            "fail",
            "critical",
            "offline",
            "dead",
            "unhealthy",
            "deleted",
            "expired",
            "revoked",
            "rejected",
            "invalid",
            "declined",
            "voided",
            "dead_letter",
        ],
        BAD,
    ),
    **dict.fromkeys(
        [
            "warning",
            "warn",
            "degraded",
            "retrying",
            "late",
            "paused",
            "pending_setup",
            "partial",
            "partially_completed",
            "disconnected",
            "completed_with_errors",
            "expiring",
            "deprecated",
            "suspended",
            "conflict",
            "needs_attention",
            "check_failed",
        ],
        WARN,
    ),
    **dict.fromkeys(
        [
            "running",
            "processing",
            "delivering",
            "testing",
            "syncing",
            "queued",
            "pending",
            "scheduled",
            "fetching",
            "validating",
            "importing",
            "exporting",
            "updated",
            "checking",
            "ready",
            "in_progress",
            "sent",
            "new",
        ],
        BUSY,
    ),
    **dict.fromkeys(
        [
            "inactive",
            "disabled",
            "cancelled",
            "skipped",
            "ignored",
            "draft",
            "archived",
            "unchanged",
            "unknown",
            "closed",
            "never",
            "none",
        ],
        QUIET,
    ),
}


def tone_of(status: str) -> str:
    """The tone of a status word; grey for one that nobody declared."""
    return TONES.get(status.lower(), QUIET)


def badge(text: object, tone: str = QUIET, *, title: str = "", dot: bool = True) -> SafeString:
    """A badge with any text in a tone: good, bad, warn, busy or quiet."""
    return format_html(
        '<span class="hub-badge hub-{}"{}>{}{}</span>',
        tone if tone in (GOOD, BAD, WARN, BUSY, QUIET) else QUIET,
        format_html(' title="{}"', title) if title else "",
        mark_safe('<i class="hub-dot" aria-hidden="true"></i>') if dot else "",
        text,
    )


def status_badge(status: object, label: object = "", *, title: str = "") -> SafeString:
    """The badge of a status value, such as `partially_completed` → “Partially completed” in amber."""
    word = str(status or "")
    if not word:
        return badge("Never", QUIET, title=title)
    return badge(label or word.replace("_", " ").capitalize(), tone_of(word), title=title)


def yes_no(value: bool | None, *, yes: str = "Yes", no: str = "No", unknown: str = "–") -> SafeString:
    """A badge for a boolean: green or grey."""
    if value is None:
        return mark_safe('<span class="hub-muted">–</span>')
    return badge(yes if value else no, GOOD if value else QUIET)
