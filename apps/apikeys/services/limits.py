"""Setting, lifting and resetting limits. The only writer of RateLimit rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction

from apps.apikeys import limiter, quotas
from apps.apikeys.limiter import plans
from apps.apikeys.limiter.plans import Standing, Verdict
from apps.apikeys.models import APIKey, Application, RateLimit
from apps.apikeys.models.limits import PER_WINDOW
from apps.apikeys.principals import Subject
from apps.apikeys.quotas import Effective
from apps.apikeys.statuses import KeyStatus
from apps.audit.services import entries
from apps.kernel.errors import Conflict, FieldError, Forbidden, InvalidInput
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

MOST = 1_000_000_000
MOST_ENDPOINTS = 50
FIELDS = (*PER_WINDOW.values(), "enabled")
# Printable and without quotes, because headers name it.
_ENDPOINT = re.compile(
    r"(?:(?:GET|POST|PUT|PATCH|DELETE|OPTIONS|\*) )?/[A-Za-z0-9._~!$&'()*+,;=:@%/-]{0,180}"
)


class OwnLimits(Forbidden):
    """A program does not decide how much it may call."""

    code = "own_limits"
    title = "Nobody sets their own limits"


@dataclass(frozen=True, slots=True)
class Target:
    """Whose limits: everybody's in an organization, one key's (and its successors') or one application's."""

    organization: Organization
    kind: str
    id: str = ""
    object: models.Model | None = None

    @property
    def subject(self) -> Subject:
        return Subject(self.kind, self.id)

    @property
    def label(self) -> str:
        return str(self.object or self.organization)


def everybody(organization: Organization) -> Target:
    return Target(organization, RateLimit.For.ORGANIZATION)


def of_key(key: APIKey) -> Target:
    return Target(key.organization, RateLimit.For.KEY, key.group.hex, key)


def of_application(organization: Organization, application: Application) -> Target:
    return Target(organization, RateLimit.For.APPLICATION, application.client_id, application)


def target_of(rule: RateLimit) -> Target:
    """Whose limits a rule states; without `object` if the key or application is gone."""
    found: models.Model | None = None
    if rule.subject_kind == RateLimit.For.KEY:
        found = (
            APIKey.objects.filter(organization=rule.organization, group=rule.subject_id)
            .order_by("-id")
            .first()
        )
    elif rule.subject_kind == RateLimit.For.APPLICATION:
        found = Application.objects.filter(organization=rule.organization, client_id=rule.subject_id).first()
    return Target(rule.organization, rule.subject_kind, rule.subject_id, found)


# --- writing


@transaction.atomic
def put(
    *,
    target: Target,
    actor: Actor,
    whole: Mapping[str, Any],
    endpoints: Sequence[Mapping[str, Any]] = (),
    only_lower: bool = False,
) -> None:
    """Make `whole`, and one rule for each of `endpoints`, all the rules of the target.

    `whole` and each of `endpoints` have per_minute, per_hour, per_day, burst (None or absent: nothing is said
    about it) and enabled; an endpoint also `endpoint`. Raises InvalidInput with all mistakes, Conflict for a
    revoked key, and with `only_lower` OwnLimits if anything that holds for the target were raised or lifted.
    """
    _check_target(target)
    before = _held(target) if only_lower else {}
    errors: list[FieldError] = []
    wanted = {"": _clean(whole, "", errors)}
    if len(endpoints) > MOST_ENDPOINTS:
        errors.append(FieldError("/endpoints", "too_many", f"At most {MOST_ENDPOINTS} endpoints."))
    for n, values in enumerate(endpoints[:MOST_ENDPOINTS]):
        endpoint = _clean_endpoint(values.get("endpoint", ""), f"/endpoints/{n}/endpoint", errors)
        if endpoint in wanted:
            errors.append(
                FieldError(
                    f"/endpoints/{n}/endpoint", "duplicate", "There is a rule for this endpoint above."
                )
            )
        wanted[endpoint] = cleaned = _clean(values, f"/endpoints/{n}", errors)
        if _is_empty(cleaned):
            errors.append(FieldError(f"/endpoints/{n}", "empty", "Name at least one limit."))
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors[:3]), errors=errors)
    rows = RateLimit.objects.select_for_update().filter(
        organization=target.organization, subject_kind=target.kind, subject_id=target.id
    )
    present = {row.endpoint: row for row in rows}
    changes: dict[str, Any] = {}
    for endpoint, row in present.items():
        if endpoint not in wanted or _is_empty(wanted[endpoint]):
            changes |= _differences(endpoint, _values(row), None)
            row.delete()
    for endpoint, values in wanted.items():
        if not _is_empty(values):
            changes |= _write(target, endpoint, present.get(endpoint), values)
    if only_lower:
        after = _held(target)
        raised = [name for name, limit in before.items() if after.get(name, limit + 1) > limit]
        if raised:
            raise OwnLimits(
                f"This would raise or lift a limit ({', '.join(sorted(raised))}). A program with limits of "
                "its own can lower limits; people raise them."
            )
    _changed(target, actor, changes)


@transaction.atomic
def save(
    *, target: Target, actor: Actor, endpoint: str, values: Mapping[str, Any], rule: RateLimit | None = None
) -> RateLimit:
    """Create one rule, or change `rule` to it. Raises InvalidInput, Conflict for a revoked key."""
    _check_target(target)
    errors: list[FieldError] = []
    endpoint = _clean_endpoint(endpoint, "/endpoint", errors) if endpoint else ""
    cleaned = _clean(values, "", errors)
    if _is_empty(cleaned):
        errors.append(FieldError("/per_minute", "empty", "Name at least one limit, or switch the rule off."))
    twins = RateLimit.objects.filter(
        organization=target.organization,
        subject_kind=target.kind,
        subject_id=target.id,
        endpoint=endpoint,
    )
    others = twins if rule is None else twins.exclude(pk=rule.pk)
    if others.exists():
        errors.append(
            FieldError("/endpoint", "duplicate", "There is a rule for these calls already: change it.")
        )
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors[:3]), errors=errors)
    changes: dict[str, Any] = {}
    if rule is not None and (rule.subject_kind, rule.subject_id, rule.endpoint) != (
        target.kind,
        target.id,
        endpoint,
    ):
        changes |= _differences(rule.endpoint, _values(rule), None)
        rule.subject_kind, rule.subject_id, rule.endpoint = target.kind, target.id, endpoint
        rule.save(update_fields=["subject_kind", "subject_id", "endpoint", "updated_at"])
    changes |= _write(target, endpoint, rule, cleaned)
    _changed(target, actor, changes)
    return twins.get()


@transaction.atomic
def remove(*, rule: RateLimit, actor: Actor) -> None:
    """Take a rule away: what is less specific holds again."""
    target = target_of(rule)
    changes = _differences(rule.endpoint, _values(rule), None)
    rule.delete()
    _changed(target, actor, changes)


@transaction.atomic
def reset(*, target: Target, actor: Actor) -> None:
    """Forget what was counted for the target. Raises Conflict while the counters are out of reach."""
    found = quotas.read(target.organization.pk).effective(target.organization.pk, target.subject)
    if not limiter.get().reset([item.counter for item in found]):
        raise Conflict("The counters cannot be reached at the moment: Redis does not answer. Try again soon.")
    _record(target, actor, "rate_limit.reset", {})


def is_limited(organization: Organization, subject: Subject | None) -> bool:
    """Whether a program has limits of its own, so that it must not give others more."""
    return (
        subject is not None
        and subject.kind in (RateLimit.For.KEY, RateLimit.For.APPLICATION)
        and RateLimit.objects.filter(
            organization=organization, subject_kind=subject.kind, subject_id=subject.id
        ).exists()
    )


def inherit(key: APIKey, maker: Subject, actor: Actor) -> None:
    """Give a new key the limits of the program that made it: nobody calls more by making keys."""
    rows = RateLimit.objects.filter(
        organization_id=key.organization_id, subject_kind=maker.kind, subject_id=maker.id
    )
    target = of_key(key)
    changes: dict[str, Any] = {}
    for row in rows:
        changes |= _write(target, row.endpoint, None, _values(row))
    if changes:
        _changed(target, actor, changes)


def _held(target: Target) -> dict[str, int]:
    """Each limit that holds for the target by its name, as the database says now."""
    found = quotas.read(target.organization.pk).effective(target.organization.pk, target.subject)
    return {item.counter.name: item.counter.limit for item in found}


def refuse_own(target: Target, subject: Subject | None) -> None:
    """Raises OwnLimits if the caller is the very key or application."""
    if subject is not None and subject == target.subject:
        raise OwnLimits("A key or application cannot change its own limits. Ask an administrator.")
    if subject is not None and subject.kind in ("key", "application") and not target.id:
        raise OwnLimits("Limits that hold for the caller, too, are set by people. Ask an administrator.")


# --- reading


@dataclass(frozen=True, slots=True)
class State:
    """Where the limits of a target stand."""

    limits: list[tuple[Effective, Standing]]
    verdict: Verdict

    @property
    def throttled(self) -> bool:
        """Whether a call would be refused by what limits all calls."""
        return any(not standing.remaining for item, standing in self.limits if not item.endpoint)

    @property
    def wait(self) -> int:
        """Seconds until it would not."""
        waits = [
            standing.wait for item, standing in self.limits if not standing.remaining and not item.endpoint
        ]
        return -(-max(waits, default=0) // plans.SECOND)


def state_of(target: Target) -> State:
    """The limits that hold for one caller, and how much is left of each. Counts nothing."""
    found = quotas.read(target.organization.pk).effective(target.organization.pk, target.subject)
    verdict = limiter.get().check(plans.plan(item.counter for item in found), take=False, when_down="local")
    return State(list(zip(found, verdict.standings, strict=True)), verdict)


def rules_of(target: Target) -> list[RateLimit]:
    """The target's own rules; the one for all calls first."""
    return list(
        RateLimit.objects.filter(
            organization=target.organization, subject_kind=target.kind, subject_id=target.id
        ).order_by("endpoint")
    )


# --- parts


def _check_target(target: Target) -> None:
    if isinstance(target.object, APIKey) and target.object.status == KeyStatus.REVOKED:
        raise Conflict(f"{target.object.number} is revoked for ever; nothing about it can be changed.")


def _clean(values: Mapping[str, Any], pointer: str, errors: list[FieldError]) -> dict[str, Any]:
    found: dict[str, Any] = {"enabled": bool(values.get("enabled", True))}
    for name in PER_WINDOW.values():
        value = found[name] = values.get(name)
        if value is not None and not (isinstance(value, int) and 1 <= value <= MOST):
            errors.append(FieldError(f"{pointer}/{name}", "out_of_range", f"A number from 1 to {MOST:,}."))
    return found


def _clean_endpoint(text: str, pointer: str, errors: list[FieldError]) -> str:
    text = " ".join(text.split())
    if not _ENDPOINT.fullmatch(text):
        detail = "An endpoint is a method and a path without /api and version, such as GET /records/*."
        errors.append(FieldError(pointer, "invalid", detail))
    return text


def _is_empty(values: Mapping[str, Any]) -> bool:
    return bool(values["enabled"]) and all(values[name] is None for name in PER_WINDOW.values())


def _values(row: RateLimit) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}


def _write(target: Target, endpoint: str, row: RateLimit | None, values: Mapping[str, Any]) -> dict[str, Any]:
    before = None if row is None else _values(row)
    if row is None:
        row = RateLimit(
            organization=target.organization,
            subject_kind=target.kind,
            subject_id=target.id,
            endpoint=endpoint,
        )
    changes = _differences(endpoint, before, values)
    if changes:
        for name in FIELDS:
            setattr(row, name, values[name])
        row.save()
    return changes


def _differences(
    endpoint: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any]:
    found = {}
    for name in FIELDS:
        unset = True if name == "enabled" else None
        old = before[name] if before is not None else unset
        new = after[name] if after is not None else unset
        if old != new:
            found[f"{endpoint} {name}" if endpoint else name] = [old, new]
    return found


def _changed(target: Target, actor: Actor, changes: Mapping[str, Any]) -> None:
    if changes:
        _record(target, actor, "rate_limit.changed", changes)
        transaction.on_commit(limiter.bump)


def _record(target: Target, actor: Actor, action: str, changes: Mapping[str, Any]) -> None:
    entries.record(
        organization=target.organization,
        actor=actor,
        action=action,
        target=target.object or target.organization,
        changes=changes,
    )
