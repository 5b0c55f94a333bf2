"""Telling the people who look after a key: an event and a mail, once for each kind and window.

A row of KeyAlert is both the memory of having told and the order to send the mail; the task only sends what
is due. Nothing here is in a request's way, except for the insert of a row that is not there yet.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.apikeys.models import APIKey, KeyAlert
from apps.apikeys.statuses import KeyStatus
from apps.events.services import outbox
from apps.kernel.background import enqueue
from apps.tenants.models import Membership
from apps.tenants.roles import Role

logger = logging.getLogger(__name__)

Kind = KeyAlert.Kind

# Which of the key's switches silences a kind; what has none is always told.
_SWITCH = {
    Kind.HIGH_USAGE: "notify_on_high_usage",
    Kind.SUSPICIOUS: "notify_on_suspicious_activity",
    Kind.EXPIRING: "notify_on_expiration",
    Kind.ROTATED: "notify_on_expiration",
}
# Kinds that are events of their own; the others tell of deeds that publish theirs.
_EVENTS = {Kind.HIGH_USAGE, Kind.SUSPICIOUS, Kind.EXPIRING}
# Days before its end at which a key's people are told.
NOTICE_DAYS = (30, 7, 1)
# What a mail says to do.
_ADVICE = {
    Kind.HIGH_USAGE: "If it needs more, raise its limits; “API usage” shows what it calls.",
    Kind.SUSPICIOUS: "“Last calls” on its page shows where calls came from and how they were answered. If "
    "they are not yours, rotate or revoke the key there.",
    Kind.EXPIRING: "Rotate it on its page, and give its program the new key before that.",
    Kind.EXPOSED: "Rotate it now, revoke the old one, and send the new one in a header alone.",
}
_RETRIES = (60, 300, 1800, 7200)  # seconds
_MOST_RECIPIENTS = 20


def notify(
    key: APIKey,
    kind: str,
    text: str,
    *,
    window: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> bool:
    """Tell the key's people, unless they were told of this kind in this window or do not want to know.

    `text` is a sentence for people, `data` the numbers behind it, `window` any text that names what it is
    told once for (unless given, the present UTC day). Returns whether it was told now.
    """
    switch = _SWITCH.get(Kind(kind))
    if switch is not None and not getattr(key, switch):
        return False
    now = timezone.now()
    window = window if window is not None else now.date().isoformat()
    same = KeyAlert.objects.filter(group=key.group, kind=kind, window=window)
    if same.exists():
        return False
    try:
        with transaction.atomic():
            KeyAlert.objects.create(
                organization_id=key.organization_id,
                key=key,
                group=key.group,
                kind=kind,
                window=window,
                text=text[:500],
                data=dict(data or {}),
                mail_due_at=now,
            )
            if kind in _EVENTS:
                _publish(key, kind, text, data)
            enqueue("apikeys.mail_alerts", queue="maintenance")
    except IntegrityError:
        if same.exists():  # another process was first
            return False
        raise
    return True


def newest_of(group: UUID | str) -> APIKey | None:
    """The key of a group whose settings count: its newest that is not revoked."""
    keys = APIKey.objects.select_related("organization").filter(group=group)
    return keys.exclude(status=KeyStatus.REVOKED).order_by("-id").first()


def warn_of_expiry() -> int:
    """Tell of keys that end within NOTICE_DAYS, once for each distance; returns how many were told."""
    told = 0
    now = timezone.now()
    soon = APIKey.objects.active().filter(
        expires_at__lte=now + timedelta(days=max(NOTICE_DAYS)), notify_on_expiration=True
    )
    for key in soon.select_related("organization").order_by("expires_at")[:1000]:
        assert key.expires_at is not None
        left = key.expires_at - now
        days = min(day for day in NOTICE_DAYS if left <= timedelta(days=day))
        # A short life, or an overlap, is no surprise before its last days.
        if timedelta(days=days) >= key.expires_at - key.created_at:
            continue
        successor = APIKey.objects.filter(group=key.group, id__gt=key.pk).order_by("-id").first()
        if successor is not None and not successor.is_waiting and successor.is_active:
            continue
        text = f"{key} ends on {key.expires_at:%d %B %Y, %H:%M} UTC."
        if successor is not None:
            text += f" Its successor {successor.number} has not been collected yet."
        window = f"{key.number}:{days}:{key.expires_at:%Y-%m-%dT%H}"
        told += notify(
            key, Kind.EXPIRING, text, window=window, data={"days": days, "ends_at": key.expires_at}
        )
    return told


def send_due(*, limit: int = 100) -> int:
    """Send the mails that are due; returns how many. A mail server that fails is tried again later."""
    sent = 0
    now = timezone.now()
    due = KeyAlert.objects.filter(mail_due_at__lte=now).select_related("key__organization")
    for alert in due.order_by("mail_due_at")[:limit]:
        later = _RETRIES[min(alert.attempts, len(_RETRIES) - 1)]
        mine = KeyAlert.objects.filter(pk=alert.pk, mail_due_at=alert.mail_due_at)
        last = alert.attempts >= len(_RETRIES)
        # Claimed before it is sent: of two that try, one does; a crash in between is tried again.
        again = None if last else now + timedelta(seconds=later)
        if not mine.update(mail_due_at=again, attempts=alert.attempts + 1):
            continue
        try:
            _send(alert)
        except Exception as exc:  # whatever a mail server raises, the others are sent
            logger.warning("The mail about %s was not sent: %s", alert.key.number, type(exc).__name__)
            continue
        KeyAlert.objects.filter(pk=alert.pk).update(mail_due_at=None, mailed_at=timezone.now())
        sent += 1
    return sent


def forget_old(*, days: int = 400) -> int:
    """Delete alerts that nobody will repeat; returns how many."""
    old = KeyAlert.objects.filter(at__lt=timezone.now() - timedelta(days=days), mail_due_at=None)
    return int(old.delete()[0])


def recipients(key: APIKey) -> list[str]:
    """The key's own addresses, else the organization's owners and administrators."""
    if key.alert_emails:
        return [str(address) for address in key.alert_emails][:_MOST_RECIPIENTS]
    people = Membership.objects.filter(
        organization_id=key.organization_id,
        is_active=True,
        role__in=(Role.OWNER, Role.ADMIN),
        user__is_active=True,
    )
    return list(people.order_by("user__email").values_list("user__email", flat=True)[:_MOST_RECIPIENTS])


def _send(alert: KeyAlert) -> None:
    key = alert.key
    to = recipients(key)
    if not to:
        return
    lines = [
        alert.text,
        *((_ADVICE[kind],) if (kind := Kind(alert.kind)) in _ADVICE else ()),
        "",
        f"Key: {key.name} ({key.number}, {key.prefix}_…)",
        f"Organization: {key.organization.name}",
        "",
        f"{settings.HUB_BASE_URL}/admin/apikeys/apikey/{key.pk}/change/",
        "",
        "What you are told of is set with the key, under “Alerts”.",
    ]
    # A name may hold anything; a subject is one line.
    subject = " ".join(f"API key {key.name}: {alert.get_kind_display().lower()}".split())
    send_mail(subject, "\n".join(lines), None, to)


def _publish(key: APIKey, kind: str, text: str, data: Mapping[str, Any] | None) -> None:
    told = {
        "id": key.number,
        "name": key.name,
        "prefix": key.prefix,
        "status": str(key.status),
        "key_type": str(key.key_type),
        "environment": str(key.environment),
        "expires_at": key.expires_at,
        "text": text,
        "details": dict(data or {}),
    }
    outbox.publish(organization=key.organization, type=f"api_key.{kind}", data=told, subject=key.number)


__all__ = [
    "NOTICE_DAYS",
    "Kind",
    "forget_old",
    "newest_of",
    "notify",
    "recipients",
    "send_due",
    "warn_of_expiry",
]
