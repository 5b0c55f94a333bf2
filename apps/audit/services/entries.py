"""Writing the audit log. One call per deed, in the transaction of the deed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection, models, transaction
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.kernel.redaction import redact
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

_CHAINED = (
    "id", "organization_id", "sequence", "at", "action", "actor_kind", "actor_ref", "actor_label", "ip",
    "request_id", "object_type", "object_ref", "object_label", "changes", "previous_hash",
)  # fmt: skip


def digest(entry: AuditEntry) -> str:
    """SHA-256 over every field of the entry and the hash of the one before it."""
    fields = {name: getattr(entry, name) for name in _CHAINED}
    fields["at"] = entry.at.isoformat()
    text = json.dumps(fields, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _label(target: models.Model) -> tuple[str, str, str]:
    ref = getattr(target, "number", None) or getattr(target, "public_id", None) or str(target.pk)
    return target._meta.model_name or "", str(ref), str(target)[:200]


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
    The chain's last row is locked, so entries of one organization are strictly ordered.
    """
    if target is not None:
        object_type, object_ref, object_label = _label(target)
    if organization is not None and connection.vendor == "postgresql":
        Organization.objects.select_for_update(of=("self",), no_key=True).only("id").get(pk=organization.pk)
    last = (
        AuditEntry.objects.filter(organization=organization)
        .order_by("-sequence")
        .values_list("sequence", "hash")
        .first()
    )
    entry = AuditEntry(
        organization=organization,
        sequence=(last[0] if last else 0) + 1,
        at=timezone.now(),
        action=action,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        actor_label=actor.label[:200],
        ip=actor.ip,
        request_id=actor.request_id,
        object_type=object_type,
        object_ref=object_ref,
        object_label=object_label[:200],
        changes=json.loads(json.dumps(redact(dict(changes or {})), cls=DjangoJSONEncoder)),
        previous_hash=last[1] if last else "",
    )
    entry.hash = digest(entry)
    entry.save(force_insert=True)
    return entry
