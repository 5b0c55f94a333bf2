"""Making, checking, rotating and ending API keys. The only writer of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.apikeys import key_format
from apps.apikeys.errors import KeyRefused
from apps.apikeys.models import APIKey
from apps.apikeys.services import ceilings, verified
from apps.apikeys.statuses import KEY_TRANSITIONS, KeyStatus
from apps.apikeys.validation import clean
from apps.audit.services import entries
from apps.events.services import outbox
from apps.kernel.crypto import hashing
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.kernel.states import move
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor
from apps.tenants.services import numbers

PURPOSE = "api-key"
UNRESTRICTED = ("*:*",)
ALL_PERMISSIONS = {"read": True, "write": True, "delete": True, "admin": True}
DEFAULT_PERMISSIONS = {"read": True, "write": True, "delete": False, "admin": False}
DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)

# What a caller may set besides what `create` names.
RESTRICTIONS = (
    "allowed_resources",
    "allowed_endpoints",
    "ip_whitelist",
    "ip_blacklist",
    "allowed_origins",
    "allowed_referers",
    "allowed_user_agents",
    "require_https",
    "max_request_size",
)
# Of what, and whom, to tell.
ALERTS = (
    "notify_on_high_usage",
    "usage_threshold",
    "notify_on_suspicious_activity",
    "notify_on_expiration",
    "alert_emails",
)
# How often it is rotated by the hub itself.
ROTATION = ("rotate_every_days", "rotation_overlap")
SETTINGS = (*RESTRICTIONS, *ALERTS, *ROTATION)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key, with the one copy of its text that there will ever be."""

    key: APIKey
    secret: str = field(repr=False)


@transaction.atomic
def create(
    *,
    organization: Organization,
    name: str,
    actor: Actor,
    scopes: Collection[str] = (),
    key_type: str = APIKey.Type.SECRET,
    environment: str = APIKey.Environment.PRODUCTION,
    permissions: Mapping[str, bool] | None = None,
    expires_at: datetime | None = None,
    never_expires: bool = False,
    description: str = "",
    api_version: str = "",
    ceiling: ceilings.Ceiling | None = None,
    **others: Any,
) -> IssuedKey:
    """Issue a key. Without `expires_at` it lives API_KEY_EXPIRY days, unless `never_expires`.

    Scopes {"*:*"} and all permissions make it unrestricted. `others` are fields of SETTINGS.
    Raises InvalidInput for values that make no sense, ScopeNotHeld for more than `ceiling` (what the creator
    may do themselves; None for the hub's own commands).
    """
    if not never_expires and expires_at is None:
        days = settings.API_KEY_EXPIRY
        never_expires = days == 0
        expires_at = None if never_expires else timezone.now() + timedelta(days=days)
    key = APIKey(
        organization=organization,
        name=name,
        description=description,
        key_type=key_type,
        environment=environment,
        scopes=list(scopes),
        expires_at=None if never_expires else expires_at,
        never_expires=never_expires,
        api_version=api_version,
        created_by=actor.label or f"{actor.kind} {actor.ref}".strip(),
        **_permission_fields(permissions or DEFAULT_PERMISSIONS),
        **_only(others, SETTINGS),
    )
    clean(key, new=True)
    if ceiling is not None:
        ceilings.check(key, ceiling)
    secret = _issue(key)
    entries.record(
        organization=organization, actor=actor, action="api_key.created", target=key, changes=_told(key)
    )
    _publish(key, "created")
    return IssuedKey(key, secret)


def verify(text: str) -> APIKey:
    """The active key of a presented text, as it is stored now.

    Raises KeyRefused, with the same words and after the same work, whether the key is misspelt, unknown,
    wrong, revoked, suspended or expired. Nothing is counted against a key whose secret did not match.
    """
    part = key_format.public_part(text)
    key = verified.look_up(part) if part is not None else None
    if key is None:
        # The hash that a known key would have cost, so that time does not tell the unknown from the wrong.
        hashing.verify(text, hashing.get_peppers().active_id, bytes(32), PURPOSE)
        raise KeyRefused("The API key is not valid.")
    if not hashing.verify(text, key.pepper_id, bytes(key.digest), PURPOSE):
        raise KeyRefused("The API key is not valid.")
    if not key.is_active or not key.organization.is_active:
        refusal = KeyRefused("The API key is not valid.")
        refusal.key_id = key.pk
        raise refusal
    return key


@transaction.atomic
def rotate(
    *,
    key: APIKey,
    actor: Actor,
    overlap: timedelta = DEFAULT_OVERLAP,
    ceiling: ceilings.Ceiling | None = None,
) -> IssuedKey:
    """Issue a successor in the same group; the old key lives to min(its own expiry, now + overlap).

    The successor may do what the key may, and lives as long as the key was given at its creation. Raises
    Conflict unless the key is active, InvalidInput for an overlap outside 0 to 30 days, ScopeNotHeld.
    """
    now = timezone.now()
    key = APIKey.objects.select_for_update().select_related("organization").get(pk=key.pk)
    if not key.is_active:
        raise Conflict(f"{key.number} is {key.status} and cannot be rotated. Create a new key instead.")
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
    secret = _issue(successor)
    end = key.expires_within(overlap, now)
    before = key.expires_at
    APIKey.objects.filter(pk=key.pk).update(
        expires_at=end, never_expires=False, last_rotated_at=now, updated_at=now
    )
    key.expires_at, key.never_expires, key.last_rotated_at = end, False, now
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
    _publish(key, "rotated", successor=successor.number)
    return IssuedKey(successor, secret)


def revoke(*, key: APIKey, actor: Actor, reason: str = "", ceiling: ceilings.Ceiling | None = None) -> APIKey:
    """End a key for ever. Revoking a revoked key changes nothing. Raises ScopeNotHeld for a mightier key."""
    if ceiling is not None:
        ceilings.check(key, ceiling)
    if key.status == KeyStatus.REVOKED:
        return key
    return _move(
        key,
        KeyStatus.REVOKED,
        actor,
        "revoked",
        reason,
        revoked_at=timezone.now(),
        revoke_reason=reason[:200],
    )


def suspend(
    *, key: APIKey, actor: Actor, reason: str = "", ceiling: ceilings.Ceiling | None = None
) -> APIKey:
    """Refuse a key until it is resumed. Raises RaceLost unless it is active, ScopeNotHeld."""
    if ceiling is not None:
        ceilings.check(key, ceiling)
    return _move(key, KeyStatus.SUSPENDED, actor, "suspended", reason)


def resume(*, key: APIKey, actor: Actor, ceiling: ceilings.Ceiling | None = None) -> APIKey:
    """Let a suspended key in again. Raises RaceLost unless it is suspended, Conflict once it has expired."""
    if key.expires_at is not None and timezone.now() >= key.expires_at:
        raise Conflict(f"{key.number} has expired and cannot be resumed. Create a new key instead.")
    if ceiling is not None:
        ceilings.check(key, ceiling)
    if key.status != KeyStatus.SUSPENDED:
        raise Conflict(f"{key.number} is {key.status}; only a suspended key can be resumed.")
    return _move(key, KeyStatus.ACTIVE, actor, "resumed", "")


@transaction.atomic
def change(*, key: APIKey, actor: Actor, ceiling: ceilings.Ceiling | None = None, **values: Any) -> APIKey:
    """Change a key's name, description or restrictions, or take scopes and permissions away.

    A key is never raised: more scopes or permissions than it has take a new key. Raises InvalidInput,
    ScopeNotHeld, and Conflict for a revoked key.
    """
    key = APIKey.objects.select_for_update().select_related("organization").get(pk=key.pk)
    if key.status == KeyStatus.REVOKED:
        raise Conflict(f"{key.number} is revoked for ever; nothing about it can be changed.")
    values = _only(values, (*_CHANGEABLE, "permissions"))
    permissions = values.pop("permissions", None)
    if permissions is not None:
        values |= _permission_fields({**key.permissions, **permissions})
    if "expires_at" in values or "never_expires" in values:
        values["never_expires"] = bool(values.get("never_expires", values.get("expires_at") is None))
        values["expires_at"] = None if values["never_expires"] else values.get("expires_at", key.expires_at)
    before = {name: getattr(key, name) for name in values}
    held = ceilings.of_key(key)
    for name, value in values.items():
        setattr(key, name, value)
    clean(key)
    ceilings.check_not_raised(key, held)
    if ceiling is not None:
        ceilings.check(key, ceiling)
    changed = {
        name: [before[name], getattr(key, name)] for name in values if before[name] != getattr(key, name)
    }
    if changed:
        key.save(update_fields=[*changed, "updated_at"])
        verified.forget(key.pk)
        entries.record(
            organization=key.organization, actor=actor, action="api_key.changed", target=key, changes=changed
        )
    return key


def expire_due() -> int:
    """Mark the keys whose life has ended; returns how many. They have been refused since that very second."""
    count = 0
    due = APIKey.objects.filter(
        status__in=[KeyStatus.ACTIVE, KeyStatus.SUSPENDED], expires_at__lte=timezone.now()
    ).select_related("organization")
    for key in due[:1000]:
        _move(key, KeyStatus.EXPIRED, SYSTEM, "expired", "")
        count += 1
    return count


def mark_exposed(*, key: APIKey, actor: Actor) -> None:
    """Note that a key was seen where keys must not be, once."""
    with transaction.atomic():
        if APIKey.objects.filter(pk=key.pk, exposed_at=None).update(exposed_at=timezone.now()):
            entries.record(organization=key.organization, actor=actor, action="api_key.exposed", target=key)
            _publish(key, "exposed")


def _check_overlap(overlap: timedelta) -> None:
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        detail = f"The overlap is 0 to {LONGEST_OVERLAP.days} days."
        raise InvalidInput(detail, errors=[FieldError("/overlap_seconds", "out_of_range", detail)])


_INHERITED = (
    "name", "description", "key_type", "environment", "scopes", "can_read", "can_write", "can_delete",
    "can_admin", "api_version", "never_expires", "signature_required", *SETTINGS,
)  # fmt: skip
_CHANGEABLE = ("name", "description", "scopes", "expires_at", "never_expires", "api_version", *SETTINGS)


def _issue(key: APIKey) -> str:
    """Give a new row its number and its secret, and save it. Returns the text of the key."""
    new = key_format.generate(
        key_type=key.key_type, environment=key.environment, family=settings.API_KEY_PREFIX
    )
    key.number = numbers.assign(organization=key.organization, prefix="KEY")
    key.public_part = new.public_part
    key.prefix = new.prefix
    key.pepper_id, key.digest = hashing.digest(new.text, purpose=PURPOSE)
    key.save(force_insert=True)
    return new.text


def _move(key: APIKey, to: KeyStatus, actor: Actor, verb: str, reason: str, **also: Any) -> APIKey:
    before = key.status
    with transaction.atomic():
        move(key, to, KEY_TRANSITIONS, **also)
        verified.forget(key.pk)
        changes: dict[str, Any] = {"status": [before, str(to)]}
        if reason:
            changes["reason"] = ["", reason]
        entries.record(
            organization=key.organization, actor=actor, action=f"api_key.{verb}", target=key, changes=changes
        )
        _publish(key, verb, **({"reason": reason} if reason else {}))
    return key


def _publish(key: APIKey, verb: str, **more: str) -> None:
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


def _told(key: APIKey) -> dict[str, Any]:
    told = ("name", "key_type", "environment", "scopes", "expires_at", "never_expires", *RESTRICTIONS)
    found = {name: ["", getattr(key, name)] for name in told if getattr(key, name)}
    return {**found, "permissions": ["", [name for name, given in key.permissions.items() if given]]}


def _permission_fields(permissions: Mapping[str, bool]) -> dict[str, bool]:
    unknown = set(permissions) - set(ALL_PERMISSIONS)
    if unknown:
        raise TypeError(f"Permissions are read, write, delete and admin, not {', '.join(sorted(unknown))}.")
    return {f"can_{name}": bool(given) for name, given in permissions.items()}


def _only(values: Mapping[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    unknown = set(values) - set(allowed)
    if unknown:
        raise TypeError(f"Not to be set on a key: {', '.join(sorted(unknown))}.")
    return dict(values)


__all__ = [
    "ALL_PERMISSIONS",
    "UNRESTRICTED",
    "IssuedKey",
    "change",
    "create",
    "expire_due",
    "mark_exposed",
    "resume",
    "revoke",
    "rotate",
    "suspend",
    "verify",
]
