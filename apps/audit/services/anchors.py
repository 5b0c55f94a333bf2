"""Anchors: what a chain's length and end were, kept where the database's owner cannot reach.

Whoever can write the database can put an older state of it back, seals and all. An anchor that lies outside
shows it: after each verification that found nothing wrong, one line a chain goes to the log (logger
`hub.audit`) and to `audit-anchors.ndjson` in HUB_HOME; copies of that file may be kept anywhere.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from apps.audit.models import AuditAnchor, AuditChain
from apps.audit.services import seals

log = logging.getLogger("hub.audit")
FILE = "audit-anchors.ndjson"


def default_file() -> Path:
    return Path(settings.HUB_HOME) / FILE


def drop(chain: AuditChain, length: int, last_hash: str) -> AuditAnchor | None:
    """Write an anchor here and outside, unless the chain has one of this length. Returns it if it is new."""
    if not length or AuditAnchor.objects.filter(chain=chain.chain, length=length).exists():
        return None
    anchor = AuditAnchor(chain=chain.chain, length=length, hash=last_hash, at=timezone.now())
    seals.seal_anchor(anchor)
    AuditAnchor.objects.bulk_create([anchor], ignore_conflicts=True)
    line = json.dumps(as_json(anchor), separators=(",", ":"))
    log.info("Audit anchor %s", line)
    _append(default_file(), line)
    return anchor


def of_database(chain: str) -> Iterator[AuditAnchor]:
    return AuditAnchor.objects.filter(chain=chain).order_by("length").iterator()


def of_file(path: Path) -> Iterator[AuditAnchor]:
    """The anchors of a file; lines that are none are passed over. Raises OSError."""
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            anchor = _parse(line)
            if anchor is not None:
                yield anchor


def as_json(anchor: AuditAnchor) -> dict[str, Any]:
    return {
        "chain": anchor.chain,
        "length": anchor.length,
        "hash": anchor.hash,
        "at": anchor.at.isoformat(),
        "key": anchor.key_id,
        "seal": anchor.seal,
    }


def newest(anchors: Iterable[AuditAnchor]) -> AuditAnchor | None:
    return max(anchors, key=lambda anchor: anchor.length, default=None)


def _parse(line: str) -> AuditAnchor | None:
    # A line of a log may have words in front.
    start = line.find('{"chain"')
    if start < 0:
        return None
    try:
        found, _ = json.JSONDecoder().raw_decode(line[start:])
        return AuditAnchor(
            chain=str(found["chain"]),
            length=int(found["length"]),
            hash=str(found["hash"]),
            at=datetime.fromisoformat(found["at"]),
            key_id=str(found["key"]),
            seal=str(found["seal"]),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
        path.chmod(0o600)
    except OSError as error:
        log.warning("The audit anchor could not be written to %s: %s", path, error.strerror)
