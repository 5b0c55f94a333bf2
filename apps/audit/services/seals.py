"""The seals of the audit log: keyed hashes, so that who holds the database cannot make them.

The key is a pepper (`apps.kernel.crypto.hashing`), which lies in the environment or in a file, never in the
database. Its id stands beside each seal, so that peppers rotate and old entries still verify.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Count

from apps.audit.models import AuditAnchor, AuditChain, AuditEntry, canonical
from apps.kernel.crypto import hashing

_ENTRY, _CHAIN, _ANCHOR = "audit-entry", "audit-chain", "audit-anchor"

# What an entry's seal covers: everything but the seal and the id of its key.
COVERED = (
    "id", "organization_id", "sequence", "at", "action", "actor_kind", "actor_ref", "actor_label", "ip",
    "request_id", "object_type", "object_ref", "object_label", "changes", "previous_hash",
)  # fmt: skip


def entry_text(values: Mapping[str, Any]) -> str:
    """What is sealed of an entry. `changes` is the text in the column."""
    parts = [values[name] for name in COVERED]
    parts[0] = values["id"].hex
    parts[1] = values["organization_id"].hex if values["organization_id"] is not None else None
    parts[3] = _moment(values["at"])
    return json.dumps(parts, separators=(",", ":"))


def seal_entry(values: Mapping[str, Any]) -> tuple[str, str]:
    """The pepper's id and the seal."""
    key_id, digest = hashing.digest(entry_text(values), purpose=_ENTRY)
    return key_id, digest.hex()


def entry_is_genuine(ring: hashing.PepperRing, values: Mapping[str, Any], key_id: str, seal: str) -> bool:
    if not key_id:
        return plain_hash(values) == seal
    return ring.verify(entry_text(values), key_id, _bytes(seal), _ENTRY)


def plain_hash(values: Mapping[str, Any]) -> str:
    """The SHA-256 of entries that were written before seals were keyed."""
    fields = {name: values[name] for name in COVERED}
    fields["at"] = values["at"].isoformat()
    fields["changes"] = json.loads(values["changes"])
    text = json.dumps(fields, cls=DjangoJSONEncoder, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def seal_chain(chain: AuditChain) -> None:
    """Set the seal of a chain's length and end."""
    chain.key_id, digest = hashing.digest(_chain_text(chain), purpose=_CHAIN)
    chain.seal = digest.hex()


def chain_is_genuine(chain: AuditChain) -> bool:
    return hashing.verify(_chain_text(chain), chain.key_id, _bytes(chain.seal), _CHAIN)


def seal_anchor(anchor: AuditAnchor) -> None:
    anchor.key_id, digest = hashing.digest(_anchor_text(anchor), purpose=_ANCHOR)
    anchor.seal = digest.hex()


def anchor_is_genuine(anchor: AuditAnchor) -> bool:
    return hashing.verify(_anchor_text(anchor), anchor.key_id, _bytes(anchor.seal), _ANCHOR)


def by_pepper() -> Counter[str]:
    """How many seals each pepper has made."""
    found: Counter[str] = Counter()
    for model in (AuditEntry, AuditChain, AuditAnchor):
        counts = model._default_manager.order_by().values_list("key_id").annotate(Count("pk"))
        found.update({name: count for name, count in counts if name})
    return found


def _chain_text(chain: AuditChain) -> str:
    return f"{chain.chain}|{chain.length}|{chain.last_hash}"


def _anchor_text(anchor: AuditAnchor) -> str:
    return f"{anchor.chain}|{anchor.length}|{anchor.hash}|{_moment(anchor.at)}"


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


__all__ = ["COVERED", "canonical", "chain_is_genuine", "entry_is_genuine", "seal_chain", "seal_entry"]
