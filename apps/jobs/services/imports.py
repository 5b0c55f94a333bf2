"""The steps of an import: propose a mapping, take what a person decided, check, start."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.audit.services import entries
from apps.jobs.errors import NotReady
from apps.jobs.models import Job, RememberedMapping
from apps.jobs.services import live, runs
from apps.jobs.services.control import set_off
from apps.jobs.services.deletions import Unconfirmed
from apps.jobs.statuses import JOB_TRANSITIONS, ImportMode, JobStatus, Repeats
from apps.kernel.background import enqueue
from apps.kernel.errors import FieldError, InvalidInput
from apps.kernel.states import move
from apps.records.mapping import FieldMapping, MappingSpec, suggest
from apps.records.mapping import check as check_mapping
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.mapping.spec import check_row_rules
from apps.records.mapping.suggest import Suggestion, normalised
from apps.tenants.models import validate_timezone
from apps.tenants.principals import Actor

MAX_BATCH = 50_000
RULES = ("required_fields", "unique_fields", "custom_rules")
LEARNED_FROM = 50
"""How many remembered mappings of a dataset are asked about a column that no name explains."""
OURS = frozenset({"_row", "_line", "_errors"})
"""Columns of our own files of rejected rows: they say what was wrong, and are no data."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A mapping to begin with. `how` is suggested, remembered, saved or configured."""

    spec: MappingSpec
    columns: tuple[Suggestion, ...]
    how: str


def column_names(job: Job) -> list[str]:
    return [column["name"] for column in job.preview.get("columns", [])]


def fingerprint(columns: Sequence[str]) -> str:
    """Names a header, whatever the order, case and spaces of its columns."""
    names = sorted(filter(None, (normalised(name) for name in columns if name not in OURS)))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def propose(*, job: Job) -> Proposal:
    """What the columns probably mean: as configured, as decided for such a file before, or guessed."""
    names = column_names(job)
    guessed = suggest(_guessable(job), job.dataset.fields, _sample_rows(job))
    known: MappingSpec | None = None
    how = "suggested"
    if job.field_mapping:
        known, how = _fitting(job, job.field_mapping), "configured"
    if known is None and job.mapping is not None:
        known, how = _fitting(job, job.mapping.spec), "saved"
    if known is None:
        remembered = RememberedMapping.objects.filter(
            organization_id=job.organization_id, dataset=job.dataset, fingerprint=fingerprint(names)
        ).first()
        if remembered is not None:
            known, how = _fitting(job, remembered.spec), "remembered"
    if known is None:
        return _learned(job, Proposal(guessed.spec, _named(guessed.columns, names), "suggested"))
    return Proposal(known, _as_decided(known, guessed.columns, names, how), how)


def _learned(job: Job, proposal: Proposal) -> Proposal:
    """The proposal, with columns that nothing was guessed for taken as such columns were in other files."""
    taken = {column.target for column in proposal.columns}
    if all(column.target for column in proposal.columns):
        return proposal
    learned: dict[str, FieldMapping] = {}
    earlier = RememberedMapping.objects.filter(organization_id=job.organization_id, dataset=job.dataset)
    for spec in earlier.order_by("-updated_at").values_list("spec", flat=True)[:LEARNED_FROM]:
        for item in MappingSpec.from_dict(spec).fields:
            if item.source:
                learned.setdefault(normalised(item.source.removeprefix(COLUMN_PREFIX)), item)
    columns, fields = list(proposal.columns), list(proposal.spec.fields)
    for number, (column, name) in enumerate(zip(columns, _guessable(job), strict=True)):
        found = learned.get(normalised(name)) if name and not column.target else None
        if found is None or found.target in taken or found.target not in job.dataset.fields_by_name:
            continue
        taken.add(found.target)
        source = f"{COLUMN_PREFIX}{column.column}"
        fields.append(replace(found, source=source))
        columns[number] = Suggestion(column.column, found.target, 0.95, "remembered", found.transforms)
    spec = replace(proposal.spec, fields=tuple(fields))
    if check_mapping(spec, job.dataset.fields, column_names(job)):
        return proposal  # a transform may name columns that this file does not have
    return Proposal(spec, tuple(columns), proposal.how)


def _guessable(job: Job) -> list[str]:
    """The columns' names for the guess: blank where only a person can say what is meant."""
    columns = job.preview.get("columns", [])
    counts = Counter(normalised(column["raw"]) for column in columns)
    return [
        ""
        if column["name"] in OURS or (column["raw"] and counts[normalised(column["raw"])] > 1)
        else column["name"]
        for column in columns
    ]


def _sample_rows(job: Job) -> list[list[str | None]]:
    samples: list[list[str]] = job.preview.get("samples", [])
    depth = max((len(values) for values in samples), default=0)
    return [[values[n] if n < len(values) else None for values in samples] for n in range(depth)]


def _fitting(job: Job, spec: Mapping[str, Any]) -> MappingSpec | None:
    """The mapping, if it fits the dataset and this file's columns as they are now."""
    try:
        read = MappingSpec.from_dict(spec)
    except InvalidInput:
        return None
    return None if check_mapping(read, job.dataset.fields, column_names(job)) else read


def _named(columns: Sequence[Suggestion], names: Sequence[str]) -> tuple[Suggestion, ...]:
    return tuple(
        Suggestion(name, s.target, s.confidence, s.how, s.transforms, s.fitting, s.ambiguous)
        for s, name in zip(columns, names, strict=True)
    )


def _as_decided(
    spec: MappingSpec, guessed: Sequence[Suggestion], names: Sequence[str], how: str
) -> tuple[Suggestion, ...]:
    """Each column as the mapping takes it."""
    by_column = {f.source.removeprefix(COLUMN_PREFIX): f for f in spec.fields if f.source}
    shown = []
    for name, guess in zip(names, guessed, strict=True):
        decided = by_column.get(name)
        if decided is None:
            shown.append(Suggestion(name))
        else:
            fitting = guess.fitting if guess.target == decided.target else 1.0
            shown.append(Suggestion(name, decided.target, 1.0, how, decided.transforms, fitting))
    return tuple(shown)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run an import; None leaves as it is."""

    mode: str | None = None
    batch_size: int | None = None
    skip_errors: bool | None = None
    stop_on_error: bool | None = None
    validate_before_import: bool | None = None
    dry_run: bool | None = None
    preserve_ids: bool | None = None
    overwrite_existing: bool | None = None
    timezone: str | None = None
    name: str | None = None
    description: str | None = None
    max_errors: int | None = None
    repeats: str | None = None
    deletion_limit: int | None = None
    deletion_percent: int | None = None
    required_fields: Sequence[str] | None = None
    unique_fields: Sequence[str] | None = None
    custom_rules: Sequence[Mapping[str, Any]] | None = None
    notifications: Mapping[str, Any] | None = None

    def given(self, job: Job) -> dict[str, Any]:
        """The columns of the job that are to be written."""
        values = {name: getattr(self, name) for name in self.__slots__ if getattr(self, name) is not None}
        rules = {name: list(values.pop(name)) for name in RULES if name in values}
        if rules:
            values["validation_rules"] = {**job.validation_rules, **rules}
        if "notifications" in values:
            values["notifications"] = dict(values["notifications"])
        return values


def configure(
    *,
    job: Job,
    actor: Actor,
    mapping: Mapping[str, Any] | MappingSpec | None = None,
    settings: Settings | None = None,
) -> Job:
    """Take the mapping and the settings that a person (or program) decided on.

    Raises InvalidInput with pointers (`/mapping/fields/0/target`, `/mode`), NotReady once it was started.
    """
    if not job.is_import:
        raise NotReady("An export has no mapping.")
    if job.status != JobStatus.PENDING:
        raise NotReady(f"{job.number} is {job.get_status_display().lower()} and can no longer be changed.")
    values = (settings or Settings()).given(job)
    errors = wrong_settings(job, values)
    spec: MappingSpec | None = None
    if mapping is not None:
        try:
            spec = mapping if isinstance(mapping, MappingSpec) else MappingSpec.from_dict(mapping)
            errors += _under("/mapping", check_mapping(spec, job.dataset.fields, column_names(job)))
        except InvalidInput as error:
            errors += _under("/mapping", error.errors)
    elif job.field_mapping:
        spec = MappingSpec.from_dict(job.field_mapping)
    if spec is not None and not errors:
        errors += _missing_targets(job, spec, values)
    if errors:
        raise InvalidInput(errors[0].detail, errors=errors)
    if spec is not None:
        values |= {"field_mapping": spec.to_dict(), "configured_at": timezone.now()}
    values |= {"report": {}, "checked_at": None, "deletions_confirmed": False}
    with transaction.atomic():
        changed = Job.objects.filter(pk=job.pk, status=JobStatus.PENDING).update(
            **values, updated_at=timezone.now()
        )
        if not changed:
            raise NotReady(f"{job.number} was started meanwhile and can no longer be changed.")
        before = {name: getattr(job, name) for name in values if name not in ("report", "checked_at")}
        entries.record(
            organization=job.organization,
            actor=actor,
            action="job.configured",
            target=job,
            changes={name: [old, values[name]] for name, old in before.items() if old != values[name]},
        )
    for name, value in values.items():
        setattr(job, name, value)
    return job


def _under(prefix: str, errors: Sequence[FieldError]) -> list[FieldError]:
    return [FieldError(prefix + error.pointer, error.code, error.detail) for error in errors]


def wrong_settings(job: Job, values: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    if values.get("mode", job.mode) not in ImportMode.values:
        known = ", ".join(ImportMode.values)
        errors.append(FieldError("/mode", "invalid_choice", f"The mode must be one of {known}."))
    if not 1 <= values.get("batch_size", job.batch_size) <= MAX_BATCH:
        errors.append(
            FieldError("/batch_size", "out_of_range", f"A batch has between 1 and {MAX_BATCH:,} rows.")
        )
    if values.get("stop_on_error") and values.get("skip_errors"):
        errors.append(
            FieldError(
                "/stop_on_error", "contradiction", "Choose one: leave wrong rows out, or stop at the first."
            )
        )
    if values.get("timezone"):
        try:
            validate_timezone(values["timezone"])
        except Exception:
            detail = f"“{str(values['timezone'])[:60]}” is no time zone such as Europe/Berlin."
            errors.append(FieldError("/timezone", "unknown_timezone", detail))
    if values.get("repeats", job.repeats) not in Repeats.values:
        known = ", ".join(Repeats.values)
        errors.append(FieldError("/repeats", "invalid_choice", f"Choose one of {known}."))
    if values.get("max_errors") and values.get("stop_on_error", job.stop_on_error):
        errors.append(
            FieldError(
                "/max_errors", "contradiction", "Choose one: stop at the first wrong row, or after some."
            )
        )
    if not 0 <= (values.get("deletion_percent") or 0) <= 100:
        errors.append(FieldError("/deletion_percent", "out_of_range", "A percentage is between 0 and 100."))
    errors += _wrong_rules(job, values.get("validation_rules", {}))
    preserve = values.get("preserve_ids", job.preserve_ids)
    if not preserve and values.get("mode", job.mode) != ImportMode.CREATE:
        errors.append(
            FieldError(
                "/preserve_ids",
                "contradiction",
                "Rows that get identifiers of their own are always new: choose the mode “create”.",
            )
        )
    return errors


def _wrong_rules(job: Job, rules: Mapping[str, Any]) -> list[FieldError]:
    errors = [
        FieldError(f"/{place}", "unknown_field", f"The dataset has no field “{str(name)[:60]}”.")
        for place in ("required_fields", "unique_fields")
        for name in rules.get(place, ())
        if name not in job.dataset.fields_by_name
    ]
    try:
        read = MappingSpec.from_dict({"rules": rules.get("custom_rules", [])}).rules
    except InvalidInput as error:
        found = error.errors
    else:
        found = check_row_rules(read, job.dataset.fields)
    return errors + [
        FieldError(e.pointer.replace("/rules", "/custom_rules", 1), e.code, e.detail) for e in found
    ]


def _missing_targets(job: Job, spec: MappingSpec, values: Mapping[str, Any]) -> list[FieldError]:
    """Fields without which no row can be right."""
    mode = values.get("mode", job.mode)
    preserve = values.get("preserve_ids", job.preserve_ids)
    mapped = {item.target for item in spec.fields}
    needed = []
    key = job.dataset.key_field
    for item in job.dataset.fields:
        if item.name in mapped or (item.name == key and not preserve):
            continue
        is_key = item.name == key
        if is_key or (
            item.required and item.default is None and mode in (ImportMode.CREATE, ImportMode.REPLACE)
        ):
            why = "tells the records apart" if is_key else "is required for new records"
            needed.append(
                FieldError(
                    "/mapping/fields",
                    "required_field",
                    f"“{item.title}” {why}: choose the column that holds it.",
                )
            )
    return needed


def check(*, job: Job, actor: Actor) -> Job:
    """Order the check: the real run, rolled back, by a worker. Its report is the job's `report`."""
    _ready(job)
    live.clear(job)
    with transaction.atomic():
        fresh: dict[str, Any] = {"attempts": 0, "report": {}, "checked_at": None, "files_tidied_at": None}
        move(job, JobStatus.VALIDATING, JOB_TRANSITIONS, **fresh)
        enqueue("jobs.check", str(job.pk), queue="jobs")
    return job


def start(*, job: Job, actor: Actor, confirm_deletions: bool = False, tell: str = "") -> Job:
    """Order the import; the mapping is remembered for files with the same header.

    `tell` is an address that gets a mail when the import has ended, well or not.
    `confirm_deletions` agrees to delete more than the limits of a “replace all”. Raises NotReady while the
    columns are not matched, Unconfirmed if the check found so many deletions, RaceLost if it was started
    already.
    """
    _ready(job)
    question = job.report.get("deletion_question", "")
    if question and job.mode == ImportMode.REPLACE and not (confirm_deletions or job.dry_run):
        raise Unconfirmed(f"{question} Look at the list, and confirm it to go on.")
    live.clear(job)
    with transaction.atomic():
        before = job.status
        runs.clear_problems(job)
        told = {"notifications": _telling(job, tell)} if tell else {}
        set_off(job, **runs.ZERO_COUNTERS, deletions_confirmed=confirm_deletions, **told)
        job.artifacts.filter(kind="source").update(expires_at=None)
        _remember(job)
        entries.record(
            organization=job.organization,
            actor=actor,
            action="job.started",
            target=job,
            changes={
                "status": [before, job.status],
                "mode": [None, job.mode],
                "dry_run": [None, job.dry_run],
                **({"deletions_confirmed": [False, True]} if confirm_deletions else {}),
            },
        )
    return job


def _telling(job: Job, address: str) -> dict[str, Any]:
    """The job's notifications, with one more reader."""
    known = [str(one) for one in job.notifications.get("notify_emails") or []]
    return {
        **job.notifications,
        "notify_on_completion": True,
        "notify_on_error": True,
        "notify_emails": list(dict.fromkeys([*known, address])),
    }


def _ready(job: Job) -> None:
    if not job.is_import:
        raise NotReady(f"{job.number} is an export; it runs by itself.")
    if job.status != JobStatus.PENDING:
        raise NotReady(f"{job.number} is {job.get_status_display().lower()} already.")
    if job.configured_at is None:
        raise NotReady(f"Match the columns of {job.number} first.")
    errors = check_mapping(MappingSpec.from_dict(job.field_mapping), job.dataset.fields, column_names(job))
    if errors:
        raise InvalidInput(errors[0].detail, errors=_under("/mapping", errors))


def _remember(job: Job) -> None:
    names = column_names(job)
    found, created = RememberedMapping.objects.update_or_create(
        organization=job.organization,
        dataset=job.dataset,
        fingerprint=fingerprint(names),
        defaults={"columns": names[:200], "spec": job.field_mapping},
    )
    if not created:
        RememberedMapping.objects.filter(pk=found.pk).update(uses=F("uses") + 1)
