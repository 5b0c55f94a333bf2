"""Correct single cells and rows of a file before it is imported, one by one or a whole cause at once.

Only while the import is pending: what a run reads must not change under it. Each correction can be taken
back. Nothing is checked anew by itself; `corrected_at` later than `checked_at` tells that the check is old.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from apps.audit.services import entries
from apps.jobs.errors import NotReady
from apps.jobs.models import Cause, Correction, Job
from apps.jobs.services import rowsets
from apps.jobs.services.corrected import OF_ROW
from apps.jobs.services.problems import MASK, Rejected, unpack
from apps.jobs.statuses import CorrectionKind, JobStatus
from apps.kernel.errors import FieldError, InvalidInput, NotFound
from apps.records.mapping import MappingSpec
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.tenants.principals import Actor

MAX_CORRECTIONS = 10_000
MAX_AT_ONCE = 1_000
MAX_VALUE = 100_000
OF_CELLS = (CorrectionKind.SET, CorrectionKind.REPLACE, CorrectionKind.TRIM)


@dataclass(frozen=True, slots=True)
class Edit:
    """One correction of one row: `value` for the cell of `column`, or the row is skipped or accepted."""

    row: int
    kind: str = CorrectionKind.SET
    column: str = ""
    value: str = ""
    find: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """One correction of all rows of a cause."""

    cause: Cause
    kind: str = CorrectionKind.SET
    value: str = ""
    find: str = ""


@transaction.atomic
def make(*, job: Job, actor: Actor, wanted: Sequence[Edit | Fix]) -> list[Correction]:
    """Several corrections, in their order: all of them or none. Raises as `edit` and `fix`."""
    made: list[Correction] = []
    number = 0
    for is_edit, group in groupby(wanted, key=lambda item: isinstance(item, Edit)):
        items: list[Any] = list(group)
        if is_edit:
            made += edit(job=job, actor=actor, edits=items, first=number)
        for place, item in enumerate([] if is_edit else items, number):
            given = {"kind": item.kind, "value": item.value, "find": item.find}
            made.append(fix(job=job, actor=actor, cause=item.cause, at=f"/corrections/{place}", **given))
        number += len(items)
    return made


@transaction.atomic
def edit(*, job: Job, actor: Actor, edits: Sequence[Edit], first: int = 0) -> list[Correction]:
    """Correct cells and rows, each edit in the place of an earlier one of the same cell.

    Raises InvalidInput with pointers (`/corrections/0/column`, numbered from `first`), NotReady once the
    import was started.
    """
    if not edits:
        return []
    if len(edits) > MAX_AT_ONCE:
        _refuse("", "too_many", f"At most {MAX_AT_ONCE:,} corrections can be made at once.")
    errors: list[FieldError] = []
    for number, item in enumerate(edits, first):
        errors += _wrong(job, f"/corrections/{number}", item.kind, item.column, item.value, item.find)
        if item.row < 1 or (job.total_is_exact and item.row > job.total_records):
            detail = f"The file has no row {item.row:,}."
            errors.append(FieldError(f"/corrections/{number}/row", "unknown_row", detail))
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    _open(job)
    _room(job, len(edits))
    known = {row.row: row for row in wrong_rows(job, numbers={item.row for item in edits})}
    secret = sensitive_columns(job)
    made = []
    for item in edits:
        seen = known.get(item.row)
        column = item.column if item.kind in OF_CELLS else ""
        single = Correction.objects.filter(job=job, first_row=item.row, rows=1, column=column, code="")
        before = single.exclude(before="").values_list("before", flat=True).first()
        if item.kind in (CorrectionKind.SET, CorrectionKind.SKIP, CorrectionKind.ACCEPT):
            single.delete()
        made.append(
            Correction.objects.create(
                job=job,
                kind=item.kind,
                column=column,
                find=item.find,
                value=item.value if item.kind in OF_CELLS else "",
                before=before or ("" if column in secret else _before(job, seen, column)),
                first_row=item.row,
                line=seen.line if seen is not None else 0,
                numbers=rowsets.pack([item.row]),
                made_by=actor.label[:200],
            )
        )
    _audit(job, actor, "job.corrected", made)
    return made


@transaction.atomic
def fix(
    *, job: Job, actor: Actor, cause: Cause, kind: str, value: str = "", find: str = "", at: str = ""
) -> Correction:
    """Correct all rows of a cause: set the cell, replace a part of it, trim it; skip or accept the rows.

    Raises InvalidInput, NotReady.
    """
    errors = _wrong(job, at, kind, cause.column, value, find)
    if kind == CorrectionKind.ACCEPT and cause.code not in OF_ROW:
        errors.append(
            FieldError(
                f"{at}/kind", "not_applicable", "Only rows with too many or too few cells can be accepted."
            )
        )
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    _open(job)
    _room(job, 1)
    first = next(rowsets.unpack(cause.numbers), 0)
    made = Correction.objects.create(
        job=job,
        kind=kind,
        column=cause.column if kind in OF_CELLS else "",
        find=find,
        value=value if kind in OF_CELLS else "",
        code=cause.code,
        first_row=first,
        rows=cause.rows,
        numbers=bytes(cause.numbers),
        made_by=actor.label[:200],
    )
    _audit(job, actor, "job.corrected", [made])
    return made


@transaction.atomic
def take_back(*, job: Job, actor: Actor, corrections: Sequence[Correction] | None = None) -> int:
    """Forget corrections, or all of them with None; returns how many. Raises NotReady."""
    _open(job)
    meant = Correction.objects.filter(job=job)
    if corrections is not None:
        meant = meant.filter(pk__in=[item.pk for item in corrections])
    count = meant.delete()[0]
    if count:
        entries.record(
            organization=job.organization,
            actor=actor,
            action="job.corrections_taken_back",
            target=job,
            changes={"corrections": [count, 0]},
        )
    return count


def _open(job: Job) -> None:
    """Claim the right to correct: one conditional UPDATE, which also says that the last check is old."""
    now = timezone.now()
    if not job.is_import:
        raise NotReady("An export has nothing to correct.")
    if not Job.objects.filter(pk=job.pk, status=JobStatus.PENDING).update(corrected_at=now, updated_at=now):
        job.refresh_from_db(fields=["status"])
        raise NotReady(
            f"{job.number} is {job.get_status_display().lower()}; its file can no longer be corrected."
        )
    job.corrected_at = now


def _room(job: Job, more: int) -> None:
    if Correction.objects.filter(job=job).count() + more > MAX_CORRECTIONS:
        _refuse(
            "",
            "too_many",
            f"A file takes at most {MAX_CORRECTIONS:,} corrections. Correct causes as a whole, or the file.",
        )


def _refuse(pointer: str, code: str, detail: str) -> None:
    raise InvalidInput(detail, errors=[FieldError(pointer, code, detail)])


def _wrong(job: Job, at: str, kind: str, column: str, value: str, find: str) -> list[FieldError]:
    errors = []
    if kind not in CorrectionKind.values:
        known = ", ".join(CorrectionKind.values)
        errors.append(FieldError(f"{at}/kind", "invalid_choice", f"A correction is one of {known}."))
    elif kind in OF_CELLS:
        if column not in {item["name"] for item in job.preview.get("columns", [])}:
            named = f"The file has no column “{column[:60]}”." if column else "Name the column of the cell."
            errors.append(FieldError(f"{at}/column", "unknown_column", named))
        if kind == CorrectionKind.REPLACE and not find:
            errors.append(FieldError(f"{at}/find", "required", "Say what is to be replaced."))
    for name, text in (("value", value), ("find", find)):
        if len(text) > MAX_VALUE:
            errors.append(FieldError(f"{at}/{name}", "too_long", f"At most {MAX_VALUE:,} characters."))
        elif "\0" in text:
            errors.append(FieldError(f"{at}/{name}", "nul_byte", "A NUL character is no text."))
    return errors


def _audit(job: Job, actor: Actor, action: str, made: Sequence[Correction]) -> None:
    """Which columns and how many rows; never the values, which may be secrets."""
    entries.record(
        organization=job.organization,
        actor=actor,
        action=action,
        target=job,
        changes={
            "kinds": [None, sorted({item.kind for item in made})],
            "columns": [None, sorted({item.column for item in made if item.column})],
            "rows": [None, sum(item.rows for item in made)],
        },
    )


def _before(job: Job, row: Rejected | None, column: str) -> str:
    names = [item["name"] for item in job.preview.get("columns", [])]
    if row is None or column not in names:
        return ""
    at = names.index(column)
    value = row.values[at] if at < len(row.values) else ""
    return "" if value is None else str(value)[:200]


def sensitive_columns(job: Job) -> set[str]:
    """The columns that feed fields whose values are not shown."""
    if not job.field_mapping:
        return set()
    secret = {field.name for field in job.dataset.fields if field.sensitive}
    return {
        item.source.removeprefix(COLUMN_PREFIX)
        for item in MappingSpec.from_dict(job.field_mapping).fields
        if item.target in secret and item.source
    }


def wrong_rows(job: Job, *, numbers: set[int]) -> list[Rejected]:
    """Those of the kept wrong rows that have these numbers, in the file's order."""
    found: list[Rejected] = []
    missing = set(numbers)
    packs = list(job.rejections.order_by("first_row").values_list("pk", "first_row"))
    wanted: set[Any] = set()
    for number in missing:
        wanted.update(pk for pk, first in packs[: bisect.bisect_right(packs, number, key=itemgetter(1))][-1:])
    for rejection in job.rejections.filter(pk__in=wanted).order_by("first_row"):
        found += [row for row in unpack(rejection) if row.row in missing]
    return sorted(found, key=lambda row: row.row)


def cause_of(job: Job, *, code: str, field: str = "", column: str = "") -> Cause:
    """A cause of the last check. Raises NotFound."""
    found = Cause.objects.filter(job=job, code=code, field=field, column=column).order_by("id").first()
    if found is None:
        raise NotFound(f"The last check of {job.number} found no such errors.")
    return found


def correction_of(job: Job, ref: str) -> Correction:
    """One correction by its public id. Raises NotFound."""
    pk = Correction.parse_public_id(ref)
    found = Correction.objects.filter(job=job, pk=pk).first() if pk else None
    if found is None:
        raise NotFound(f"{job.number} has no correction “{ref[:40]}”.")
    return found


def totals(job: Job) -> dict[str, Any]:
    """How many corrections there are, and whether the last check does not know them yet."""
    sums = Correction.objects.filter(job=job).aggregate(count=Count("id"), rows=Sum("rows", default=0))
    stale = bool(job.corrected_at and (job.checked_at is None or job.corrected_at > job.checked_at))
    return {**sums, "stale": stale and bool(job.report)}


def shown_value(correction: Correction, secret: set[str]) -> str:
    return MASK if correction.column in secret and correction.value else correction.value
