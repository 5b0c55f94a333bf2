"""Making, checking, rotating and ending API keys. The only writer of them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.apikeys import key_format
from apps.apikeys.errors import KeyRefused
from apps.apikeys.models import APIKey
from apps.apikeys.services import alerts, ceilings, limits, verified
from apps.apikeys.services.keymaking import PURPOSE, IssuedKey, issue, move_key, publish, rotation_due
from apps.apikeys.services.rotation import rotate
from apps.apikeys.statuses import KeyStatus
from apps.apikeys.validation import clean
from apps.audit.services import entries
from apps.kernel.crypto import hashing
from apps.kernel.errors import Conflict, InvalidInput
from apps.kernel.redaction import redact_text
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor

UNRESTRICTED = ("*:*",)
ALL_PERMISSIONS = {"read": True, "write": True, "delete": True, "admin": True}
DEFAULT_PERMISSIONS = {"read": True, "write": True, "delete": False, "admin": False}
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
    "signature_required",
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
    rate_limits: Mapping[str, Any] | None = None,
    **others: Any,
) -> IssuedKey:
    """Issue a key. Without `expires_at` it lives API_KEY_EXPIRY days, unless `never_expires`.

    Scopes {"*:*"} and all permissions make it unrestricted. `others` are fields of SETTINGS; `rate_limits`
    are `whole` and `endpoints` of `limits.put`. Raises InvalidInput for values that make no sense,
    ScopeNotHeld for more than `ceiling` (what the creator may do themselves; None for the hub's own
    commands), OwnLimits for more calls than the program that makes the key may make.
    """
    if not never_expires and expires_at is None:
        days = settings.API_KEY_EXPIRY
        never_expires = days == 0
        expires_at = None if never_expires else timezone.now() + timedelta(days=days)
        if ceiling is not None and ceiling.until is not None:
            never_expires = False
            expires_at = min(expires_at or ceiling.until, ceiling.until)
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
        ceilings.check_life(key, ceiling)
    issued = issue(key)
    entries.record(
        organization=organization, actor=actor, action="api_key.created", target=key, changes=_told(key)
    )
    maker = None if ceiling is None else ceiling.maker
    if maker is not None:
        limits.inherit(key, maker, actor)
    if rate_limits is not None:
        _limit(key, rate_limits, actor, only_lower=limits.is_limited(organization, maker))
    publish(key, "created")
    return issued


def _limit(key: APIKey, wanted: Mapping[str, Any], actor: Actor, *, only_lower: bool) -> None:
    try:
        limits.put(target=limits.of_key(key), actor=actor, only_lower=only_lower, **wanted)
    except InvalidInput as exc:
        errors = [replace(error, pointer=f"/rate_limits{error.pointer}") for error in exc.errors]
        raise InvalidInput(exc.detail, errors=errors) from None


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
    if key.pepper_id != hashing.get_peppers().active_id:
        _rehash(key, text)
    return key


def revoke(*, key: APIKey, actor: Actor, reason: str = "", ceiling: ceilings.Ceiling | None = None) -> APIKey:
    """End a key for ever. Revoking a revoked key changes nothing. Raises ScopeNotHeld for a mightier key."""
    if ceiling is not None:
        ceilings.check(key, ceiling)
    if key.status == KeyStatus.REVOKED:
        return key
    reason = redact_text(reason)[:200]  # "leaked sk_live_…" must not keep what leaked
    return move_key(
        key,
        KeyStatus.REVOKED,
        actor,
        "revoked",
        reason,
        revoked_at=timezone.now(),
        revoke_reason=reason,
    )


def suspend(
    *, key: APIKey, actor: Actor, reason: str = "", ceiling: ceilings.Ceiling | None = None
) -> APIKey:
    """Refuse a key until it is resumed. Raises RaceLost unless it is active, ScopeNotHeld."""
    if ceiling is not None:
        ceilings.check(key, ceiling)
    return move_key(key, KeyStatus.SUSPENDED, actor, "suspended", redact_text(reason))


def resume(*, key: APIKey, actor: Actor, ceiling: ceilings.Ceiling | None = None) -> APIKey:
    """Let a suspended key in again. Raises RaceLost unless it is suspended, Conflict once it has expired."""
    if key.expires_at is not None and timezone.now() >= key.expires_at:
        raise Conflict(f"{key.number} has expired and cannot be resumed. Create a new key instead.")
    if ceiling is not None:
        ceilings.check(key, ceiling)
    if key.status != KeyStatus.SUSPENDED:
        raise Conflict(f"{key.number} is {key.status}; only a suspended key can be resumed.")
    return move_key(key, KeyStatus.ACTIVE, actor, "resumed", "")


def _rehash(key: APIKey, text: str) -> None:
    """Move a key to the active pepper, now that its text is at hand; unless somebody did meanwhile."""
    pepper_id, digest = hashing.digest(text, purpose=PURPOSE)
    with contextlib.suppress(DatabaseError), transaction.atomic():  # a busy database: the next call does it
        APIKey.objects.filter(pk=key.pk, pepper_id=key.pepper_id).update(pepper_id=pepper_id, digest=digest)
        key.pepper_id, key.digest = pepper_id, digest


@transaction.atomic
def change(*, key: APIKey, actor: Actor, ceiling: ceilings.Ceiling | None = None, **values: Any) -> APIKey:
    """Change a key's name, description or restrictions, or take scopes and permissions away.

    A key is never raised: more scopes or permissions than it has take a new key. Raises InvalidInput,
    ScopeNotHeld, and Conflict for a revoked key.
    """
    key = APIKey.objects.select_for_update().select_related("organization").get(pk=key.pk)
    if key.status == KeyStatus.REVOKED:
        raise Conflict(f"{key.number} is revoked for ever; nothing about it can be changed.")
    if key.is_expired and {"expires_at", "never_expires"} & set(values):
        raise Conflict(f"{key.number} has expired and stays so. Create a new key instead.")
    values = _only(values, (*_CHANGEABLE, "permissions"))
    permissions = values.pop("permissions", None)
    if permissions is not None:
        values |= _permission_fields({**key.permissions, **permissions})
    if "expires_at" in values or "never_expires" in values:
        values["never_expires"] = bool(values.get("never_expires", values.get("expires_at") is None))
        values["expires_at"] = None if values["never_expires"] else values.get("expires_at", key.expires_at)
    if values.get("rotate_every_days", key.rotate_every_days) != key.rotate_every_days:
        days = values["rotate_every_days"]
        values["next_rotation_at"] = None if days is None else rotation_due(key.created_at, days)
    before = {name: getattr(key, name) for name in values}
    held = ceilings.of_key(key)
    for name, value in values.items():
        setattr(key, name, value)
    clean(key, held=held.scopes)
    ceilings.check_not_raised(key, held)
    if ceiling is not None:
        ceilings.check(key, ceiling)
        if "expires_at" in values:
            ceilings.check_life(key, ceiling)
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
        move_key(key, KeyStatus.EXPIRED, SYSTEM, "expired", "")
        count += 1
    return count


def mark_exposed(*, key: APIKey, actor: Actor) -> None:
    """Note that a key was seen where keys must not be, once."""
    with transaction.atomic():
        if APIKey.objects.filter(pk=key.pk, exposed_at=None).update(exposed_at=timezone.now()):
            entries.record(organization=key.organization, actor=actor, action="api_key.exposed", target=key)
            publish(key, "exposed")
            alerts.notify(
                key,
                alerts.Kind.EXPOSED,
                f"{key} was sent in an address, where logs and histories keep it. Rotate it.",
                window=key.number,
            )


_CHANGEABLE = ("name", "description", "scopes", "expires_at", "never_expires", "api_version", *SETTINGS)


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
