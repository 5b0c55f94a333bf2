"""New secrets for old: by hand, by policy, and the collecting of those that were made by policy."""

from __future__ import annotations

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from apps.apikeys import signing
from apps.apikeys.errors import NothingToCollect
from apps.apikeys.models import APIKey
from apps.apikeys.services import alerts, ceilings, verified
from apps.apikeys.services.keymaking import IssuedKey, issue, publish
from apps.apikeys.statuses import KEY_TRANSITIONS, KeyStatus
from apps.audit.services import entries
from apps.kernel.crypto.fields import sealed
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.kernel.states import move
from apps.tenants.principals import SYSTEM, Actor

logger = logging.getLogger(__name__)

DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)

_INHERITED = (
    "name", "description", "key_type", "environment", "scopes", "can_read", "can_write", "can_delete",
    "can_admin", "api_version", "never_expires", "signature_required", "allowed_resources",
    "allowed_endpoints", "ip_whitelist", "ip_blacklist", "allowed_origins", "allowed_referers",
    "allowed_user_agents", "require_https", "max_request_size", "notify_on_high_usage", "usage_threshold",
    "notify_on_suspicious_activity", "notify_on_expiration", "alert_emails", "rotate_every_days",
    "rotation_overlap",
)  # fmt: skip


@transaction.atomic
def rotate(
    *,
    key: APIKey,
    actor: Actor,
    overlap: timedelta = DEFAULT_OVERLAP,
    ceiling: ceilings.Ceiling | None = None,
    wait: bool = False,
) -> IssuedKey:
    """Issue a successor in the same group; the old key lives to min(its own expiry, now + overlap).

    The successor may do what the key may, and lives as long as the key was given at its creation. With `wait`
    nobody is there to take its text: it is kept, sealed, until it is collected once. Raises Conflict unless
    the key is active, InvalidInput for an overlap outside 0 to 30 days, ScopeNotHeld.
    """
    now = timezone.now()
    key = APIKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key.pk)
    if not key.is_active:
        state = KeyStatus.EXPIRED if key.status == KeyStatus.ACTIVE else key.status  # not marked so yet
        raise Conflict(f"{key.number} is {state} and cannot be rotated. Create a new key instead.")
    _check_overlap(overlap)
    if ceiling is not None:
        ceilings.check(key, ceiling)
    successor = APIKey(
        organization=key.organization,
        group=key.group,
        last_rotated_at=now,
        created_by=actor.label or f"{actor.kind} {actor.ref}".strip(),
        **{name: getattr(key, name) for name in _INHERITED},
    )
    if key.expires_at is not None:
        successor.expires_at = now + (key.expires_at - key.created_at)
    issued = issue(successor, wait=wait)
    end = key.expires_within(overlap, now)
    before = key.expires_at
    # What nobody collected is of no use any more: the successor's text is.
    ended = {
        "expires_at": end,
        "never_expires": False,
        "last_rotated_at": now,
        "next_rotation_at": None,
        "waiting_secret": None,
    }
    APIKey.objects.filter(pk=key.pk).update(**ended, updated_at=now)
    for name, value in ended.items():
        setattr(key, name, value)
    if end <= now:
        move(key, KeyStatus.EXPIRED, KEY_TRANSITIONS)
    verified.forget(key.pk)
    entries.record(
        organization=key.organization,
        actor=actor,
        action="api_key.rotated",
        target=key,
        changes={"successor": ["", successor.number], "expires_at": [before, end]},
    )
    publish(key, "rotated", successor=successor.number)
    return issued


def rotate_due() -> int:
    """Rotate the keys whose policy says so; returns how many. Their successors wait to be collected."""
    count = 0
    due = APIKey.objects.due_for_rotation().filter(waiting_secret__isnull=True)
    for key in due.select_related("organization").order_by("next_rotation_at")[:500]:
        try:
            with transaction.atomic():
                issued = rotate(
                    key=key, actor=SYSTEM, overlap=timedelta(seconds=key.rotation_overlap), wait=True
                )
        except Conflict:  # ended or rotated by hand in this very moment
            continue
        key.refresh_from_db()
        assert key.expires_at is not None
        alerts.notify(
            issued.key,
            alerts.Kind.ROTATED,
            f"{key.number} was rotated by its policy and works until {key.expires_at:%d %B %Y, %H:%M} UTC. "
            f"Collect its successor {issued.key.number} before that: in the admin, or by POST "
            "/api/v1/api-keys/current/collect with the old key.",
            window=issued.key.number,
            data={"successor": issued.key.number, "ends_at": key.expires_at},
        )
        count += 1
    return count


@transaction.atomic
def collect(*, key: APIKey, actor: Actor, ceiling: ceilings.Ceiling | None = None) -> IssuedKey:
    """Hand out, once, the text of a key that was made by an automatic rotation.

    Raises NothingToCollect if there is none (any more), ScopeNotHeld.
    """
    key = APIKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key.pk)
    if ceiling is not None:
        ceilings.check(key, ceiling)
    text = key.waiting_secret
    if text is None:
        raise NothingToCollect(
            f"The text of {key.number} does not wait to be collected: it was shown when the key was made, or "
            "collected since. Rotate the key for a new one."
        )
    now = timezone.now()
    key.waiting_secret, key.collected_at = None, now
    key.save(update_fields=["waiting_secret", "collected_at", "updated_at"])
    entries.record(
        organization=key.organization,
        actor=actor,
        action="api_key.collected",
        target=key,
        changes={"collected_at": ["", now]},
    )
    return IssuedKey(key, text, key.signing_secret or "")


def successor_of(key: APIKey) -> APIKey:
    """The key of the same group whose text waits to be collected. Raises NothingToCollect."""
    found = (
        APIKey.objects.filter(group=key.group, organization_id=key.organization_id, id__gt=key.pk)
        .exclude(waiting_secret__isnull=True)
        .order_by("-id")
        .first()
    )
    if found is None:
        raise NothingToCollect(f"No successor of {key.number} waits to be collected.")
    return found


@transaction.atomic
def renew_signing_secret(*, key: APIKey, actor: Actor, ceiling: ceilings.Ceiling | None = None) -> IssuedKey:
    """Make a signing secret, shown this once, and ask for signed calls from now on.

    A former one stops working at once; rotate the key for a change with an overlap. The text of the key
    itself is not known, and empty in the answer. Raises Conflict unless the key is active, ScopeNotHeld.
    """
    key = APIKey.objects.select_for_update(of=("self",)).select_related("organization").get(pk=key.pk)
    if not key.is_active:
        raise Conflict(f"{key.number} is {key.status}: only an active key gets a signing secret.")
    if ceiling is not None:
        ceilings.check(key, ceiling)
    secret = signing.generate_secret()
    before = key.signature_required
    APIKey.objects.filter(pk=key.pk).update(
        **sealed(key, signing_secret=secret), signature_required=True, updated_at=timezone.now()
    )
    key.refresh_from_db()
    verified.forget(key.pk)
    entries.record(
        organization=key.organization,
        actor=actor,
        action="api_key.signing_secret_made",
        target=key,
        changes={"signature_required": [before, True], "signing_secret": ["", "changed"]},
    )
    return IssuedKey(key, "", secret)


def _check_overlap(overlap: timedelta) -> None:
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        detail = f"The overlap is 0 to {LONGEST_OVERLAP.days} days."
        raise InvalidInput(detail, errors=[FieldError("/overlap_seconds", "out_of_range", detail)])


__all__ = [
    "DEFAULT_OVERLAP",
    "LONGEST_OVERLAP",
    "collect",
    "renew_signing_secret",
    "rotate",
    "rotate_due",
    "successor_of",
]
