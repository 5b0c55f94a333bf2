"""Writing the audit log. One call per deed, in the transaction of the deed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models, transaction
from django.utils import timezone

from apps.audit.models import HUB, AuditChain, AuditEntry, canonical
from apps.audit.services import seals
from apps.kernel import ids
from apps.kernel.api.context import request_id as current_request
from apps.kernel.crypto.hashing import get_peppers
from apps.kernel.redaction import redact
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor

RESTARTED = "audit.chain_restarted"
_ip = AuditEntry._meta.get_field("ip")


def chain_of(organization: Organization | None) -> str:
    """The name of the chain that an organization's entries stand in."""
    return organization.pk.hex if organization is not None else HUB


@transaction.atomic
def record(
    *,
    organization: Organization | None,
    actor: Actor,
    action: str,
    target: models.Model | None = None,
    object_type: str = "",
    object_ref: str = "",
    object_label: str = "",
    changes: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Append one entry to the organization's chain.

    `changes` maps a field to `[before, after]`; secrets are masked here, whatever the caller passes.
    The chain's head is locked until the transaction ends, so entries of one organization are strictly
    ordered; organizations do not wait for each other. Call it late in a transaction.
    """
    if target is not None:
        object_type, object_ref, object_label = _label(target)
    chain = _locked(organization)
    return _append(
        chain,
        organization,
        action=action[:80],
        actor=actor,
        object_type=object_type,
        object_ref=object_ref,
        object_label=object_label,
        changes=json.loads(json.dumps(redact(dict(changes or {})), cls=DjangoJSONEncoder)),
    )


def exported(*, organization: Organization | None, actor: Actor, format: str) -> None:
    """That somebody took the log away is in the log."""
    record(
        organization=organization,
        actor=actor,
        action="audit.exported",
        object_type="auditchain",
        object_ref=chain_of(organization),
        object_label="Audit log",
        changes={"format": [None, format]},
    )


def _label(target: models.Model) -> tuple[str, str, str]:
    ref = getattr(target, "number", None) or getattr(target, "public_id", None) or str(target.pk)
    return target._meta.model_name or "", str(ref), str(target)


def _locked(organization: Organization | None) -> AuditChain:
    """The chain's head, locked. One that is missing or was tampered with leaves a mark in the chain."""
    name = chain_of(organization)
    heads = AuditChain.objects.select_for_update()
    chain = heads.filter(pk=name).first()
    if chain is None:
        new = AuditChain(chain=name, organization=organization)
        seals.seal_chain(new)
        AuditChain.objects.bulk_create([new], ignore_conflicts=True)
        chain = heads.get(pk=name)
        if chain.length == 0:
            last = _last_entry(organization)
            if last is not None:
                _restart(chain, organization, last, "The chain's head was missing.")
    elif not seals.chain_is_genuine(chain) and chain.key_id in get_peppers().pepper_ids:
        last = _last_entry(organization)
        _restart(chain, organization, last, "The chain's head was not the one that the hub had sealed.")
    return chain


def _last_entry(organization: Organization | None) -> AuditEntry | None:
    return AuditEntry.objects.filter(organization=organization).order_by("-sequence").first()


def _restart(chain: AuditChain, organization: Organization | None, last: AuditEntry | None, why: str) -> None:
    """Go on after the last entry that there is, and say so for ever."""
    chain.length = last.sequence if last is not None else 0
    chain.last_hash = last.hash if last is not None else ""
    _append(
        chain,
        organization,
        action=RESTARTED,
        actor=SYSTEM,
        object_type="auditchain",
        object_ref=chain.chain,
        object_label="",
        changes={"reason": ["", why]},
    )


def _append(
    chain: AuditChain, organization: Organization | None, *, actor: Actor, changes: Any, **values: str
) -> AuditEntry:
    entry = AuditEntry(
        id=ids.uuid7(),
        organization=organization,
        sequence=chain.length + 1,
        at=timezone.now(),
        action=values["action"],
        actor_kind=actor.kind[:16],
        actor_ref=_fit(actor.ref, 120),
        actor_label=_fit(actor.label, 200),
        ip=_ip.get_prep_value(actor.ip),
        request_id=_fit(actor.request_id or current_request.get(), 64),
        object_type=_fit(values["object_type"], 80),
        object_ref=_fit(values["object_ref"], 120),
        object_label=_fit(values["object_label"], 200),
        changes=changes,
        previous_hash=chain.last_hash,
    )
    covered = {name: getattr(entry, name) for name in seals.COVERED}
    covered["changes"] = canonical(changes)
    entry.key_id, entry.hash = seals.seal_entry(covered)
    entry.save(force_insert=True)
    chain.length, chain.last_hash = entry.sequence, entry.hash
    seals.seal_chain(chain)
    chain.save(update_fields=["length", "last_hash", "key_id", "seal"])
    return entry


def _fit(text: str, longest: int) -> str:
    """Text as every database takes it, and gives it back."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:longest]
