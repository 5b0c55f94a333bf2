"""Versions of the API: rows for what the code declares, and deprecating, ending and switching them.

Every process keeps the states in memory (`states`), since each call asks for them; a change is seen at once
where it was made, elsewhere within FRESH_FOR seconds. The moments themselves count to the second everywhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.apikeys.models import ApiVersion
from apps.apikeys.statuses import VERSION_TRANSITIONS
from apps.audit.services import entries
from apps.kernel.api.versions import State, versions
from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.states import move
from apps.tenants.principals import SYSTEM, Actor

logger = logging.getLogger("hub.api")
FRESH_FOR: float = 10.0
_states: Mapping[str, State] = {}
_read_at: float | None = None
CHANGEABLE = ("deprecated_at", "sunset_at", "default_revision", "successor", "flags", "note")


def states() -> Mapping[str, State]:
    """The state of each version that has a row: from memory, read anew when it is FRESH_FOR seconds old."""
    now = time.monotonic()
    if _read_at is None or now - _read_at > FRESH_FOR:
        read(now)
    return _states


def read(now: float | None = None) -> None:
    """Read the rows. A database that does not answer leaves what was known."""
    global _states, _read_at
    _read_at = time.monotonic() if now is None else now  # first: a call that fails is not repeated at once
    try:
        _states = {row.version: row.state() for row in ApiVersion.objects.all()}
    except DatabaseError:
        logger.warning("The versions of the API could not be read; the last known states hold.")


def forget() -> None:
    """Read the rows anew at the next call."""
    global _read_at
    _read_at = None


@transaction.atomic
def sync() -> list[str]:
    """A row for every declared version; returns the names of new ones. Run after migrations.

    The default revision of a new row is the newest of today; it stays when later releases add revisions.
    """
    known = set(ApiVersion.objects.values_list("version", flat=True))
    made = []
    for spec in versions.all():
        if spec.name not in known:
            ApiVersion.objects.get_or_create(
                version=spec.name, defaults={"default_revision": versions.newest_of(spec.name).date}
            )
            made.append(spec.name)
    transaction.on_commit(forget)
    return made


def disagreements() -> list[str]:
    """What rows and code do not agree about, each a sentence; empty if all is well."""
    rows = {row.version: row for row in ApiVersion.objects.all()}
    found = [
        f"Version {spec.name} has no row. Run “manage.py migrate”."
        for spec in versions.all()
        if spec.name not in rows
    ]
    for name, row in rows.items():
        if row.spec is None:
            if row.status_at() != "sunset":
                found.append(f"There is a row of version {name}, which this release does not have.")
            continue
        dates = row.spec.dates
        if row.default_revision is not None and row.default_revision not in dates:
            found.append(
                f"The default revision {row.default_revision} of {name} is not among its revisions "
                f"{', '.join(day.isoformat() for day in dates)}."
            )
        unknown = sorted(set(row.flags) - set(row.features))
        if unknown:
            found.append(f"Version {name} has no feature “{unknown[0]}”, which its row switches.")
        if row.successor and versions.get(row.successor) is None:
            found.append(f"The successor {row.successor} of version {name} does not exist.")
    return found


@transaction.atomic
def change(*, version: ApiVersion, actor: Actor, **values: Any) -> ApiVersion:
    """Set what people decide about a version (CHANGEABLE). Raises InvalidInput with pointers."""
    unknown = set(values) - set(CHANGEABLE)
    assert not unknown, unknown
    row = ApiVersion.objects.select_for_update().get(pk=version.pk)
    before = row.facts()
    for name, value in values.items():
        setattr(row, name, value)
    _check(row)
    changes = {name: [before[name], value] for name, value in row.facts().items() if before[name] != value}
    if not changes:
        return row
    row.save(update_fields=[*changes, "updated_at"])
    _follow(row)
    entries.record(organization=None, actor=actor, action="api_version.updated", target=row, changes=changes)
    transaction.on_commit(forget)
    return row


def mark_due() -> int:
    """Let `status` follow the moments that have come; returns how many rows moved."""
    moved = 0
    for row in ApiVersion.objects.all():
        if _follow(row):
            entries.record(
                organization=None,
                actor=SYSTEM,
                action=f"api_version.{row.status}",
                target=row,
            )
            moved += 1
    return moved


def _follow(row: ApiVersion) -> bool:
    status = row.status_at()
    if status == row.status:
        return False
    move(row, status, VERSION_TRANSITIONS)
    return True


def _check(row: ApiVersion) -> None:
    errors: list[FieldError] = []
    spec = row.spec
    dates: tuple[date, ...] = spec.dates if spec else ()
    if row.sunset_at is not None and row.deprecated_at is None:
        row.deprecated_at = min(timezone.now(), row.sunset_at)
    if row.version == versions.newest.name and (row.deprecated_at or row.sunset_at):
        errors.append(
            FieldError("/deprecated_at", "newest", "The newest version stays: there is nothing to go to.")
        )
    if row.sunset_at and row.deprecated_at and row.sunset_at < row.deprecated_at:
        errors.append(FieldError("/sunset_at", "too_early", "A version cannot end before it is deprecated."))
    if row.default_revision is not None and row.default_revision not in dates:
        told = ", ".join(day.isoformat() for day in dates)
        errors.append(FieldError("/default_revision", "unknown_revision", f"One of {told}."))
    names = [one.name for one in versions.all()]
    if row.successor and (row.successor not in names or row.successor == row.version):
        errors.append(
            FieldError("/successor", "unknown_version", f"Another version: one of {', '.join(names)}.")
        )
    errors.extend(_wrong_flags(row))
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors), errors=errors)


def _wrong_flags(row: ApiVersion) -> list[FieldError]:
    if not isinstance(row.flags, dict):
        return [FieldError("/flags", "invalid", "An object: feature → true or false.")]
    known = row.features
    wrong = [name for name, on in row.flags.items() if name not in known or not isinstance(on, bool)]
    told = ", ".join(known) or "none"
    return [
        FieldError(
            "/flags", "unknown_feature", f"“{name[:60]}”: the features are {told}, each true or false."
        )
        for name in wrong
    ]


def told(row: ApiVersion, now: datetime | None = None) -> dict[str, Any]:
    """A version as developers see it."""
    spec = row.spec
    newest = versions.newest.name
    return {
        "version": row.version,
        "status": row.status_at(now),
        "is_newest": row.version == newest,
        "is_default": row.version == versions.oldest.name,
        "released_on": spec.released if spec else None,
        "deprecated_at": row.deprecated_at,
        "sunset_at": row.sunset_at,
        "successor": versions.successor_of(row.version) or None,
        "revisions": list(spec.dates) if spec else [],
        "default_revision": versions.default_of(row.version).date if spec else None,
        "features": [
            {"name": one.name, "description": one.description, "enabled": row.features[one.name]}
            for one in (spec.features if spec else ())
        ],
        "note": row.note,
    }
