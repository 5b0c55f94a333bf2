"""Giving a key its secret, moving its status, and telling of both: what the services of keys share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.apikeys import key_format, signing
from apps.apikeys.models import APIKey
from apps.apikeys.services import verified
from apps.apikeys.statuses import KEY_TRANSITIONS, KeyStatus
from apps.audit.services import entries
from apps.events.services import outbox
from apps.kernel.crypto import hashing
from apps.kernel.states import move
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

PURPOSE = "api-key"
# A policy that is set on an old key does not rotate it before somebody could take notice.
_SHORTEST_NOTICE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key, with the one copy of its text that there will ever be.

    `signing_secret` is that of a key whose calls must be signed, else empty.
    """

    key: APIKey
    secret: str = field(repr=False)
    signing_secret: str = field(default="", repr=False)


def issue(key: APIKey, *, wait: bool = False) -> IssuedKey:
    """Give a new row its number and its secret, and save it.

    With `wait` the text is kept, sealed, until somebody collects it.
    """
    new = key_format.generate(
        key_type=key.key_type, environment=key.environment, family=settings.API_KEY_PREFIX
    )
    key.number = numbers.assign(organization=key.organization, prefix="KEY")
    key.public_part = new.public_part
    key.prefix = new.prefix
    key.pepper_id, key.digest = hashing.digest(new.text, purpose=PURPOSE)
    if key.signature_required:
        key.signing_secret = signing.generate_secret()
    if wait:
        key.waiting_secret = new.text
    if key.rotate_every_days is not None:
        key.next_rotation_at = timezone.now() + timedelta(days=key.rotate_every_days)
    key.save(force_insert=True)
    return IssuedKey(key, new.text, key.signing_secret or "")


def rotation_due(created_at: datetime, days: int) -> datetime:
    """When a policy of so many days first rotates a key that was made then."""
    return max(created_at + timedelta(days=days), timezone.now() + _SHORTEST_NOTICE)


def move_key(key: APIKey, to: KeyStatus, actor: Actor, verb: str, reason: str, **also: Any) -> APIKey:
    """Move a key's status, with the audit entry and the event of the deed. Raises RaceLost."""
    before = key.status
    if to in (KeyStatus.REVOKED, KeyStatus.EXPIRED):
        also |= {"waiting_secret": None, "next_rotation_at": None}
    with transaction.atomic():
        move(key, to, KEY_TRANSITIONS, **also)
        verified.forget(key.pk)
        changes: dict[str, Any] = {"status": [before, str(to)]}
        if reason:
            changes["reason"] = ["", reason]
        entries.record(
            organization=key.organization, actor=actor, action=f"api_key.{verb}", target=key, changes=changes
        )
        publish(key, verb, **({"reason": reason} if reason else {}))
    return key


def publish(key: APIKey, verb: str, **more: str) -> None:
    """The event of a deed. It carries neither the key nor its hash."""
    data = {
        "id": key.number,
        "name": key.name,
        "prefix": key.prefix,
        "status": str(key.status),
        "key_type": str(key.key_type),
        "environment": str(key.environment),
        "expires_at": key.expires_at,
        **more,
    }
    outbox.publish(organization=key.organization, type=f"api_key.{verb}", data=data, subject=key.number)
