"""Whether the audit log is what the hub has written: entries changed, missing, out of order, cut off.

Reads in batches and keeps nothing, so that a chain of millions costs time but no memory. Entries that are
appended meanwhile wait for the next verification.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models.functions import Cast
from django.utils import timezone

from apps.audit.models import HUB, AuditAnchor, AuditChain, AuditEntry
from apps.audit.services import anchors, entries, seals
from apps.kernel.crypto.hashing import PepperRing, get_peppers
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM

log = logging.getLogger("hub.audit")

BATCH = 2_000
MOST_PROBLEMS = 100  # told of one chain; all are counted
AT_ONCE = 20_000  # entries that are verified while somebody waits: about two seconds

_COLUMNS = (*(name for name in seals.COVERED if name != "changes"), "key_id", "hash", "text")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written. `sequence` is the first entry that it concerns."""

    code: str
    sequence: int
    detail: str


@dataclass
class Result:
    """What verifying one chain said."""

    chain: str
    name: str
    organization: Organization | None = field(default=None, repr=False)
    first: int = 1
    last: int = 0
    checked: int = 0
    found: int = 0
    problems: list[Problem] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def intact(self) -> bool:
        return not self.found

    def add(self, code: str, sequence: int, detail: str) -> None:
        self.found += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(code, sequence, detail))

    def as_json(self) -> dict[str, Any]:
        return {
            "chain": self.chain,
            "name": self.name,
            "intact": self.intact,
            "first": self.first,
            "last": self.last,
            "checked": self.checked,
            "problem_count": self.found,
            "problems": [asdict(problem) for problem in self.problems],
            "seconds": round(self.seconds, 3),
        }


# Told of each chain that has just been found broken: filled by the apps above.
alarms: list[Callable[[Result], None]] = []


def verify_all(*, quick: bool = False, anchor_files: Iterable[Path] = ()) -> Iterator[Result]:
    """Verify every chain: each organization's, and that of entries without one."""
    outside = outside_anchors(anchor_files)
    yield verify(None, quick=quick, outside=outside)
    for organization in Organization.objects.order_by("id").iterator():
        yield verify(organization, quick=quick, outside=outside)


def verify(
    organization: Organization | None,
    *,
    quick: bool = False,
    outside: dict[str, list[AuditAnchor]] | None = None,
) -> Result:
    """Verify one chain, note the verdict at its head, and sound the alarms if it has just turned bad.

    `quick` begins at the last anchor, where a verification found nothing wrong. `outside` holds anchors by
    chain from files; those of the database and of HUB_HOME are looked at anyway.
    """
    started = time.perf_counter()
    name = entries.chain_of(organization)
    result = Result(name, organization.name if organization is not None else "the hub", organization)
    head = AuditChain.objects.filter(pk=name).first()
    ring = get_peppers()
    known = _anchors_of(name, ring, outside if outside is not None else outside_anchors(()), result)
    start, previous = _start(organization, known) if quick else (0, "")
    result.first = start + 1
    last, last_hash = _walk(organization, start, previous, head, known, ring, result)
    _judge_end(organization, name, head, last, last_hash, known, result)
    result.last = last
    result.seconds = time.perf_counter() - started
    _note(name, result, last_hash)
    return result


def verify_now(organization: Organization | None) -> Result:
    """For somebody who waits: the whole chain, or if it is long what came since the last anchor."""
    head = status_of(organization)
    return verify(organization, quick=head is not None and head.length > AT_ONCE)


def outside_anchors(files: Iterable[Path]) -> dict[str, list[AuditAnchor]]:
    """The anchors of the given files and of the hub's own, by chain. Raises OSError for a given file."""
    found: dict[str, list[AuditAnchor]] = {}
    own = anchors.default_file()
    for path in (*files, *([own] if own.exists() else [])):
        for anchor in anchors.of_file(path):
            found.setdefault(anchor.chain, []).append(anchor)
    return found


def _anchors_of(
    name: str, ring: PepperRing, outside: dict[str, list[AuditAnchor]], result: Result
) -> dict[int, set[str]]:
    """Genuine anchors: length → hashes (more than one would be a contradiction)."""
    found: dict[int, set[str]] = {}
    for anchor in (*anchors.of_database(name), *outside.get(name, ())):
        if anchor.key_id not in ring.pepper_ids:
            continue
        if seals.anchor_is_genuine(anchor):
            found.setdefault(anchor.length, set()).add(anchor.hash)
        else:
            result.add("anchor_forged", anchor.length, f"An anchor at entry {anchor.length} is not genuine.")
    return found


def _start(organization: Organization | None, known: dict[int, set[str]]) -> tuple[int, str]:
    """After which entry a quick verification begins: the last one that is anchored and still the same."""
    for length in sorted(known, reverse=True):
        [anchored] = known[length] if len(known[length]) == 1 else [""]
        if AuditEntry.objects.filter(organization=organization, sequence=length, hash=anchored).exists():
            return length, anchored
    return 0, ""


def _rows(organization: Organization | None, after: int, to: int) -> Iterator[dict[str, Any]]:
    rows = AuditEntry.objects.filter(organization=organization).order_by("sequence", "id")
    # The text that was sealed, not what would be made of it.
    rows = rows.annotate(text=Cast("changes", models.TextField()))
    while True:
        batch = list(rows.filter(sequence__gt=after, sequence__lte=to).values_list(*_COLUMNS)[:BATCH])
        if not batch:
            return
        for row in batch:
            values = dict(zip(_COLUMNS, row, strict=True))
            values["changes"] = values.pop("text")
            yield values
        after = batch[-1][2]


def _walk(
    organization: Organization | None,
    start: int,
    previous: str,
    head: AuditChain | None,
    known: dict[int, set[str]],
    ring: PepperRing,
    result: Result,
) -> tuple[int, str]:
    """Look at every entry up to the head's length; returns the last one's number and seal."""
    newest = (
        AuditEntry.objects.filter(organization=organization).aggregate(n=models.Max("sequence"))["n"] or 0
    )
    to = head.length if head is not None else newest
    expected = start + 1
    keyed = False
    for row in _rows(organization, start, to):
        sequence = row["sequence"]
        result.checked += 1
        if sequence < expected:
            result.add("duplicate", sequence, f"Entry {sequence} is there more than once.")
            continue
        if sequence > expected:
            gone = (
                f"Entry {expected} is"
                if sequence == expected + 1
                else f"Entries {expected}–{sequence - 1} are"
            )
            result.add("missing", expected, f"{gone} missing.")
        elif row["previous_hash"] != previous:
            result.add("order", sequence, f"Entry {sequence} does not follow the entry before it.")
        _judge_entry(row, keyed, known, ring, result)
        keyed = keyed or bool(row["key_id"])
        expected, previous = sequence + 1, row["hash"]
    return expected - 1, previous


def _judge_entry(
    row: dict[str, Any], keyed: bool, known: dict[int, set[str]], ring: PepperRing, result: Result
) -> None:
    sequence, key_id = row["sequence"], row["key_id"]
    if key_id and key_id not in ring.pepper_ids:
        result.add(
            "unknown_key", sequence, f"Entry {sequence} was sealed with “{key_id}”, which is not here."
        )
    elif (keyed and not key_id) or not _genuine(ring, row):
        result.add(
            "changed", sequence, f"Entry {sequence} ({row['action'][:60]}) is not as the hub wrote it."
        )
    elif row["action"] == entries.RESTARTED:
        result.add(
            "restarted",
            sequence,
            f"Entry {sequence} tells that the chain's head was missing or forged when it was written.",
        )
    if sequence in known and known[sequence] != {row["hash"]}:
        result.add("anchor", sequence, f"Entry {sequence} is not the one that was anchored.")


def _genuine(ring: PepperRing, row: dict[str, Any]) -> bool:
    try:
        return seals.entry_is_genuine(ring, row, row["key_id"], row["hash"])
    except (ValueError, TypeError, AttributeError):
        return False  # text that is no JSON, a seal that is no number


def _judge_end(
    organization: Organization | None,
    name: str,
    head: AuditChain | None,
    last: int,
    last_hash: str,
    known: dict[int, set[str]],
    result: Result,
) -> None:
    """Whether the chain ends where its head and its anchors say."""
    if head is None:
        if last:
            result.add("head_missing", last, "The chain's head is missing.")
    elif head.key_id not in get_peppers().pepper_ids:
        result.add(
            "unknown_key", head.length, f"The head was sealed with “{head.key_id}”, which is not here."
        )
    elif not seals.chain_is_genuine(head):
        result.add("head_forged", head.length, "The chain's head is not the one that the hub sealed.")
    elif last < head.length:
        result.add("truncated", last + 1, f"The last {head.length - last:,} entries are missing.")
    elif last_hash != head.last_hash and last:
        result.add("changed", last, f"Entry {last} is not the one that the head names as the last.")
    # What was appended meanwhile stands in a later head: read the entries first, then the head.
    newest = (
        AuditEntry.objects.filter(organization=organization).aggregate(n=models.Max("sequence"))["n"] or 0
    )
    now = AuditChain.objects.filter(pk=name).values_list("length", flat=True).first()
    if now is not None and newest > now:
        result.add("foreign", now + 1, f"{newest - now:,} entries stand after the chain's end.")
    beyond = [length for length in known if length > max(last, newest)]
    if beyond:
        result.add(
            "rolled_back",
            last + 1,
            f"An anchor knows entry {max(beyond)}; the chain ends at {last}. An older state was put back.",
        )


def _note(name: str, result: Result, last_hash: str) -> None:
    """Write the verdict to the head, drop an anchor, and sound the alarms at the first bad one."""
    with transaction.atomic():
        head = AuditChain.objects.select_for_update().filter(pk=name).first()
        was_intact = head is None or head.intact is not False
        if head is not None:
            head.checked_at = timezone.now()
            head.intact = result.intact
            head.problems = [asdict(problem) for problem in result.problems[:20]]
            head.checked_to = result.last
            head.save(update_fields=["checked_at", "intact", "problems", "checked_to"])
    if result.intact:
        if head is not None:
            anchors.drop(head, result.last, last_hash)
        return
    log.critical(
        "The audit log of %s is broken: %s", result.name, "; ".join(p.detail for p in result.problems[:5])
    )
    if was_intact:
        _sound(result)


def _sound(result: Result) -> None:
    try:
        entries.record(
            organization=result.organization,
            actor=SYSTEM,
            action="audit.found_broken",
            object_type="auditchain",
            object_ref=result.chain,
            object_label=result.name,
            changes={
                "problems": [None, result.found],
                "first": [None, result.problems[0].detail if result.problems else ""],
            },
        )
    except IntegrityError:  # a foreign entry stands where the next one belongs
        log.critical("Nothing can be appended to the audit log of %s.", result.name)
    for alarm in alarms:
        try:
            alarm(result)
        except Exception:
            log.exception("An alarm about the audit log could not be given")


def status_of(organization: Organization | None) -> AuditChain | None:
    """The chain's head with its last verdict; None while it has no entry."""
    return AuditChain.objects.filter(pk=entries.chain_of(organization)).first()


__all__ = ["HUB", "Problem", "Result", "alarms", "status_of", "verify", "verify_all"]
