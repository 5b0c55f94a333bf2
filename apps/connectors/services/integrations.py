"""Setting integrations up, changing and removing them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from apps.audit.services import entries
from apps.connectors.engine.errors import EngineError
from apps.connectors.engine.manifest import ManifestError
from apps.connectors.models import Integration
from apps.connectors.registry import Connector, connectors
from apps.connectors.services import checking, connections, schedules, streams
from apps.connectors.services.checking import StreamSettings
from apps.connectors.statuses import INTEGRATION, LIVE, ConnectionAction, IntegrationStatus
from apps.events import inbound
from apps.events.services import outbox
from apps.kernel.errors import Conflict, FieldError, InvalidInput
from apps.kernel.states import move
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

EDITABLE = (
    "name", "display_name", "description", "code", "project", "environment", "auth_mode", "config",
    "metadata", "sync_enabled", "sync_direction", "auto_sync", "sync_interval_minutes", "sync_crontab",
    "sync_on_create", "sync_on_update", "sync_on_delete", "requests_per_minute", "requests_per_hour",
    "requests_per_day",
)  # fmt: skip
# A change of these is a change of the connection, which was not tested yet.
_CONNECTION = ("environment", "auth_mode")
_SCHEDULE = ("sync_enabled", "sync_direction", "auto_sync", "sync_interval_minutes", "sync_crontab")


def create(
    *,
    organization: Organization,
    actor: Actor,
    connector: str,
    values: Mapping[str, Any],
    credentials: Mapping[str, Any] | None = None,
    webhook_secret: str | None = None,
    streams: Sequence[StreamSettings] | None = None,
) -> Integration:
    """Set an integration up. It waits for its test (`connections.connect`) before it does anything.

    `values` are fields of EDITABLE. Raises InvalidInput with a pointer for each wrong value.
    """
    entry = connectors.get(connector)
    if entry is None:
        known = ", ".join(item.name for item in connectors)
        raise InvalidInput(
            f"There is no connector “{connector[:60]}” in the catalog.",
            errors=[FieldError("/connector", "invalid", f"There are: {known}.")],
        )
    manifest = entry.manifest
    row = Integration(
        organization=organization,
        connector=manifest.slug,
        provider=manifest.provider,
        type=manifest.type,
        category=manifest.category,
        environment=next(iter(manifest.base_urls)),
        auth_mode=manifest.auth[0].mode,
        created_by=actor.label[:200],
    )
    return _save(row, entry, actor, values, credentials, webhook_secret, streams)


def update(
    *,
    integration: Integration,
    actor: Actor,
    values: Mapping[str, Any],
    credentials: Mapping[str, Any] | None = None,
    webhook_secret: str | None = None,
    streams: Sequence[StreamSettings] | None = None,
) -> Integration:
    """Change the given fields. Credentials that are not given stay as they are; null or "" removes one.

    After a change of the connection itself it has to be tested and activated again. Raises InvalidInput;
    Conflict if the integration was removed or its connector is gone.
    """
    entry = integration.catalog_entry
    if integration.removed_at is not None:
        raise Conflict(f"{integration} was removed.")
    if entry is None:
        raise Conflict(f"The connector “{integration.connector}” is not in this hub's catalog.")
    return _save(integration, entry, actor, values, credentials, webhook_secret, streams)


def _save(
    row: Integration,
    entry: Connector,
    actor: Actor,
    values: Mapping[str, Any],
    credentials: Mapping[str, Any] | None,
    webhook_secret: str | None,
    given: Sequence[StreamSettings] | None,
) -> Integration:
    adding = row._state.adding
    before = {name: getattr(row, name) for name in EDITABLE}
    config_before = dict(row.config)
    for name, value in values.items():
        if name not in EDITABLE:
            raise TypeError(f"{name} is not a field that can be set.")
        setattr(row, name, value)
    errors = list(_basic_errors(row))
    errors += checking.credential_errors(entry.manifest, row.auth_mode, credentials or {})
    errors += checking.settings_errors(row, entry.manifest)
    errors += checking.sync_errors(row, entry.manifest)
    known = {}
    if not errors:
        known = _known_streams(row)
        errors += checking.stream_errors(row, known, given)
    if errors:
        for name, value in before.items():
            setattr(row, name, value)
        raise InvalidInput(" ".join(error.detail for error in errors[:3]), errors=errors)
    old = dict(row.credentials or {})
    row.credentials = _merged(entry, row.auth_mode, old, credentials or {})
    row.connection_method = _method(entry, row.auth_mode)
    old_secret = row.webhook_secret or "" if webhook_secret is not None and not adding else ""
    if webhook_secret is not None:
        row.webhook_secret = webhook_secret or None
    row.last_modified_by = actor.label[:200]
    changes = {
        name: [before[name], getattr(row, name)] for name in EDITABLE if before[name] != getattr(row, name)
    }
    if "project" in changes:
        changes["project"] = [str(item) if item else None for item in changes["project"]]
    touched = row.credentials != old or _connection_part(config_before) != _connection_part(row.config)
    touched = touched or any(name in changes for name in _CONNECTION)
    if touched:
        row.test_passed = None
    if adding:
        row.code = row.code or _free_code(row.name)
    elif any(name in changes for name in _SCHEDULE):
        row.next_sync_at = (
            schedules.next_run(row, timezone.now()) if row.status == IntegrationStatus.ACTIVE else None
        )
    for name in set(old) ^ set(row.credentials) | {n for n in old if old[n] != row.credentials.get(n)}:
        changes[f"credentials.{name}"] = [
            "set" if name in old else "",
            "changed" if name in row.credentials else "",
        ]
    if webhook_secret is not None:
        changes["webhook_secret"] = ["", "changed"]
    try:
        with transaction.atomic():
            if adding:
                row.number = numbers.assign(organization=row.organization, prefix="INT")
            # Status, health and leases are written by others meanwhile.
            row.save(update_fields=None if adding else [*EDITABLE, *_ALSO])
            if touched and not adding and row.status in (IntegrationStatus.ACTIVE, IntegrationStatus.ERROR):
                move(
                    row,
                    IntegrationStatus.PENDING_SETUP,
                    INTEGRATION,
                    status_reason="The connection was changed: test and activate it again.",
                    next_sync_at=None,
                )
            streams.apply(row, known, given, config_before)
            if old_secret and old_secret != webhook_secret:
                _tell_old_secret(row, old_secret)
            verb = "created" if adding else "updated"
            if adding or changes or given is not None:
                entries.record(
                    organization=row.organization,
                    actor=actor,
                    action=f"integration.{verb}",
                    target=row,
                    changes=changes,
                )
                action = ConnectionAction.CREATED if adding else ConnectionAction.UPDATED
                connections.note(row, action, actor, ", ".join(sorted(changes)) if not adding else "")
                outbox.publish(
                    organization=row.organization,
                    type=f"integration.{verb}",
                    data=connections.event_data(row),
                    subject=row.number,
                )
    except IntegrityError as error:
        if Integration.objects.live().filter(code=row.code).exclude(pk=row.pk).exists():
            detail = f"The code “{row.code}” is taken; it must be unique in the whole hub."
            raise InvalidInput(detail, errors=[FieldError("/code", "unique", detail)]) from error
        raise
    return row


_ALSO = (
    "credentials", "webhook_secret", "connection_method", "last_modified_by", "test_passed", "next_sync_at",
    "updated_at",
)  # fmt: skip


def _basic_errors(row: Integration) -> list[FieldError]:
    errors = []
    row.name = row.name.strip()
    if not row.name:
        errors.append(FieldError("/name", "required", "Give the integration a name."))
    for name, most in (("name", 120), ("display_name", 120), ("code", 60), ("description", 10_000)):
        if len(getattr(row, name)) > most:
            errors.append(FieldError(f"/{name}", "max_length", f"At most {most:,} characters."))
    if row.code and slugify(row.code) != row.code.lower():
        errors.append(FieldError("/code", "invalid", "Letters, digits, hyphens and underscores only."))
    if row.project is not None and row.project.organization_id != row.organization_id:
        errors.append(FieldError("/project", "invalid", "There is no such project."))
    return errors


def _known_streams(row: Integration) -> dict[str, Any]:
    try:
        return connections.resolve(row).streams
    except (EngineError, ManifestError) as error:
        raise InvalidInput(str(error), errors=[FieldError("/config", "invalid", str(error))]) from None


def _method(entry: Connector, mode: str) -> str:
    auth = entry.manifest.auth_mode(mode)
    return auth.method if auth else "custom"


def _merged(entry: Connector, mode: str, old: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The credentials that the authentication knows: the old ones, with the given ones put over them."""
    auth = entry.manifest.auth_mode(mode)
    known = {credential.name for credential in auth.credentials} if auth else set()
    full = {**old, **given}
    return {name: value for name, value in full.items() if name in known and value not in (None, "")}


def _connection_part(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in config.items() if name not in ("streams", "timeout", "retry_attempts")
    }


def _free_code(name: str) -> str:
    base = slugify(name)[:50] or "integration"
    taken = set(Integration.objects.live().filter(code__startswith=base).values_list("code", flat=True))
    code, n = base, 1
    while code in taken:
        n += 1
        code = f"{base}-{n}"
    return code


@transaction.atomic
def set_webhook_secret(*, integration: Integration, secret: str, actor: Actor) -> None:
    """Set the secret that inbound webhooks are signed with; "" takes it away. The rest stays untouched."""
    row = Integration.objects.select_for_update(of=("self",)).get(pk=integration.pk)
    old = row.webhook_secret or ""
    if old == secret:
        return
    row.webhook_secret = secret or None
    row.last_modified_by = actor.label[:200]
    row.save(update_fields=["webhook_secret", "last_modified_by", "updated_at"])
    if old:
        _tell_old_secret(row, old)
    entries.record(
        organization=integration.organization,
        actor=actor,
        action="integration.updated",
        target=integration,
        changes={"webhook_secret": ["", "changed"]},
    )
    connections.note(row, ConnectionAction.UPDATED, actor, "webhook_secret")
    integration.webhook_secret = row.webhook_secret


def _tell_old_secret(row: Integration, old: str) -> None:
    for listener in inbound.secret_changes:
        listener.told(row.organization_id, row.number, old)


@transaction.atomic
def remove(*, integration: Integration, actor: Actor) -> None:
    """Take an integration away: its credentials are wiped, its records, logs and history stay.

    Raises Conflict, naming the sync, if one is waiting or running.
    """
    row = (
        Integration.objects.select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=integration.pk)
    )
    running = row.sync_jobs.filter(status__in=LIVE).first()
    if running is not None:
        raise Conflict(f"{row} has the sync {running.number}, which is not finished. Cancel it first.")
    if row.removed_at is not None:
        return
    now = timezone.now()
    if row.status != IntegrationStatus.DISCONNECTED:
        move(
            row,
            IntegrationStatus.DISCONNECTED,
            INTEGRATION,
            disconnected_at=now,
            disconnected_by=actor.label[:200],
        )
    row.removed_at, row.credentials, row.webhook_secret = now, None, None
    row.auto_sync, row.next_sync_at, row.next_check_at, row.test_passed = False, None, None, None
    row.save(
        update_fields=[
            "removed_at", "credentials", "webhook_secret", "auto_sync", "next_sync_at", "next_check_at",
            "test_passed", "updated_at",
        ]
    )  # fmt: skip
    entries.record(organization=row.organization, actor=actor, action="integration.removed", target=row)
    connections.note(row, ConnectionAction.REMOVED, actor)
    outbox.publish(
        organization=row.organization,
        type="integration.removed",
        data=connections.event_data(row),
        subject=row.number,
    )
    integration.refresh_from_db()
