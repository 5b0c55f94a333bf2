"""The settings of inbound addresses: scheme, options, secrets, routes; and what may stand in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.events import inbound
from apps.events.inbound import Source
from apps.kernel.errors import FieldError, InvalidInput, NotFound
from apps.tenants.models import Organization
from apps.tenants.principals import Actor
from apps.webhooks.inbound import schemes
from apps.webhooks.models import InboundReceiver
from apps.webhooks.services.inbound import merchants, routing

OLD_SECRET_LIVES = timedelta(hours=1)
MAX_OLD_SECRETS = 10
MAX_SECRET = 4096
EDITABLE = ("enabled", "scheme", "options", "routes", "max_retries", "silence_after_minutes")
MAX_RETRIES = 50
MAX_SILENCE = 60 * 24 * 365


def of(source: Source) -> InboundReceiver:
    """The source's receiver, made at its first call: by the scheme that its connector's provider signs by."""
    rows = InboundReceiver.objects.filter(organization_id=source.organization_id, number=source.number)
    row = next(iter(rows.order_by()), None)
    return row if row is not None else _made(source)


def _made(source: Source) -> InboundReceiver:
    values = {
        "title": source.name[:120],
        "scheme": schemes.default_for(source.connector),
        "routes": [dict(route) for route in routing.DEFAULT],
    }
    try:
        with transaction.atomic():
            return InboundReceiver.objects.create(
                organization_id=source.organization_id, number=source.number, **values
            )
    except IntegrityError:  # made by another request at the same moment
        return InboundReceiver.objects.get(organization_id=source.organization_id, number=source.number)


def for_number(organization: Organization, number: str) -> tuple[InboundReceiver, Source]:
    """The receiver of an integration, by its number, and the integration. Raises NotFound."""
    found = inbound.by_number(organization, number) if len(number) <= 40 else None
    if found is None:
        raise NotFound(f"There is no integration “{number[:60]}”.")
    source = found[1]
    receiver = of(source)
    if receiver.title != source.name[:120]:
        receiver.title = source.name[:120]
        InboundReceiver.objects.filter(pk=receiver.pk).update(title=receiver.title)
    return receiver, source


def live_secrets(receiver: InboundReceiver, source: Source) -> tuple[str, ...]:
    """The present secret first, then old ones whose time is not over."""
    present = source.secret
    found = [present] if present else []
    if receiver.__dict__.get("old_secrets") is not None:
        now = timezone.now()
        found += [item["secret"] for item in _old(receiver) if datetime.fromisoformat(item["until"]) > now]
    return tuple(found)


def _old(receiver: InboundReceiver) -> list[dict[str, str]]:
    return list(receiver.old_secrets or [])


def secret_changed(organization_id: UUID, number: str, old: str) -> None:
    """Believe the old secret for an hour more: a provider that was told the new one may still use it."""
    if not old:
        return
    rows = InboundReceiver.objects.filter(organization_id=organization_id, number=number)
    receiver = rows.select_for_update(of=("self",)).first()
    if receiver is None:
        return
    now = timezone.now()
    kept = [item for item in _old(receiver) if datetime.fromisoformat(item["until"]) > now]
    kept.insert(0, {"secret": old, "until": (now + OLD_SECRET_LIVES).isoformat()})
    receiver.old_secrets = kept[:MAX_OLD_SECRETS]
    receiver.save(update_fields=["old_secrets", "updated_at"])


@transaction.atomic
def forget_old_secrets(*, receiver: InboundReceiver, actor: Actor) -> None:
    """Believe nothing but the present secret from now on (after a leak)."""
    receiver.old_secrets = None
    receiver.save(update_fields=["old_secrets", "updated_at"])
    entries.record(
        organization=receiver.organization,
        actor=actor,
        action="inbound_receiver.old_secrets_forgotten",
        target=receiver,
    )


def update(
    *,
    receiver: InboundReceiver,
    source: Source,
    actor: Actor,
    values: Mapping[str, Any],
    secret: str | None = None,
) -> InboundReceiver:
    """Change settings. Raises InvalidInput with a pointer for each wrong value; nothing is changed then."""
    merged = {name: getattr(receiver, name) for name in EDITABLE} | dict(values)
    unknown = set(values) - set(EDITABLE)
    if unknown:
        raise TypeError(f"{', '.join(sorted(unknown))} cannot be set.")
    errors = [
        FieldError(pointer, "invalid", text[:1].upper() + text[1:])
        for pointer, text in _problems(receiver.organization, source, merged)
    ]
    if secret is not None and len(secret) > MAX_SECRET:
        errors.append(FieldError("/secret", "max_length", f"At most {MAX_SECRET:,} characters."))
    if secret is not None and secret.strip() != secret:
        errors.append(FieldError("/secret", "invalid", "It begins or ends with a space."))
    if errors:
        raise InvalidInput(" ".join(error.detail for error in errors[:3]), errors=errors)
    changes = {
        name: [getattr(receiver, name), merged[name]]
        for name in EDITABLE
        if getattr(receiver, name) != merged[name]
    }
    with transaction.atomic():
        if changes:
            for name in changes:
                setattr(receiver, name, merged[name])
            receiver.save(update_fields=[*changes, "updated_at"])
            entries.record(
                organization=receiver.organization,
                actor=actor,
                action="inbound_receiver.updated",
                target=receiver,
                changes=changes,
            )
        if secret is not None:
            keeper = inbound.by_number(receiver.organization, receiver.number)
            assert keeper is not None
            keeper[0].set_secret(receiver.organization, receiver.number, secret, actor)
            receiver.refresh_from_db()
    return receiver


def _problems(
    organization: Organization, source: Source, values: Mapping[str, Any]
) -> Sequence[tuple[str, str]]:
    problems: list[tuple[str, str]] = []
    scheme = schemes.schemes.get(values["scheme"])
    options = values["options"]
    if not isinstance(options, dict):
        problems.append(("/options", "is an object."))
    elif scheme is None:
        known = ", ".join(item.name for item in schemes.schemes)
        if values["scheme"] or options:
            problems.append(("/scheme", f"is one of: {known}."))
    else:
        problems += [(f"/options{at}", text) for at, text in schemes.option_problems(scheme, options)]
        if scheme.accepted.business:
            problems += [
                (f"/options/merchant{at}", text)
                for at, text in merchants.problems(organization, options.get("merchant"))
            ]
    problems += routing.problems(organization, source.number, values["routes"])
    for name, most in (("max_retries", MAX_RETRIES), ("silence_after_minutes", MAX_SILENCE)):
        number = values[name]
        if number is None and name == "silence_after_minutes":
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= most:
            problems.append((f"/{name}", f"is a whole number from 0 to {most:,}."))
    return problems
