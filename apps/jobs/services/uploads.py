"""Taking files in: stored as they come, judged at once."""

from __future__ import annotations

import os.path
import tempfile
from collections.abc import Callable
from typing import Any, BinaryIO

from django.conf import settings
from django.core.files.base import File
from django.db import transaction

from apps.audit.services import entries
from apps.jobs.errors import NotReady
from apps.jobs.formats import FormatError, Options, Table, formats, open_table
from apps.jobs.formats.encodings import NAMES
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import previews, storage
from apps.jobs.services.files import KEPT_DAYS, expiry
from apps.jobs.statuses import JOB_TRANSITIONS, ArtifactKind, JobStatus, JobType
from apps.kernel.errors import FieldError, InvalidInput, TooLarge
from apps.kernel.leases import fenced_update
from apps.kernel.states import move
from apps.records.models import Dataset
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor
from apps.tenants.services import numbers

FALLBACK = "iso-8859-1"
PASTED = "Pasted rows"
"""What rows that were pasted are called."""
FILE_FIELDS = (
    "filename",
    "original_name",
    "file_type",
    "file_size",
    "file_path",
    "mime_type",
    "sha256",
    "preview",
    "total_records",
    "total_is_exact",
)
PREVIEW_FIELDS = (
    "encoding",
    "delimiter",
    "has_header",
    "header_row",
    "sheet",
    "pad_short_rows",
    "fill_merged",
    "record_path",
    "member",
)


def max_bytes() -> int:
    """How large a file may be, from the variable HUB_IMPORT_MAX_MB."""
    return int(settings.HUB_IMPORT_MAX_BYTES)


def receive(
    *,
    organization: Organization,
    dataset: Dataset,
    file: File[Any],
    actor: Actor,
    user: User | None = None,
    name: str = "",
    description: str = "",
    project: Any = None,
    made: Callable[[Job], None] | None = None,
) -> Job:
    """Store an uploaded file and make a pending import of it, with its preview.

    `made` is called with the job in the transaction that creates it.

    Raises TooLarge, FormatError (a sentence that says what the file is, if it is no table), InvalidInput.
    """
    if dataset.organization_id != organization.pk:
        raise InvalidInput("The dataset belongs to another organization.")
    original = _clean_name(file.name or "upload")
    job = begun(
        organization=organization,
        dataset=dataset,
        actor=actor,
        user=user,
        name=name.strip() or original,
        description=description.strip(),
        project=project,
    )
    with _seekable(file) as content:
        _take_in(job, content, original)
    try:
        _create(job, actor, made)
    except BaseException:
        storage.delete(job.file_path)
        raise
    return job


def begun(*, actor: Actor, user: User | None, name: str, organization: Organization, **values: Any) -> Job:
    """An import, not saved, that has no file yet."""
    return Job(
        organization=organization,
        job_type=JobType.IMPORT,
        name=name[:200],
        created_by=user,
        actor_kind=actor.kind,
        actor_ref=actor.ref,
        actor_label=actor.label[:200],
        timezone=organization.timezone,
        **values,
    )


def attach(*, job: Job, file: BinaryIO, name: str) -> None:
    """The file that a job waited for is there: stored, judged, ready for its columns to be matched.

    Raises as `receive` does, and RaceLost if the job is not wanted any more; nothing is stored then.
    """
    _take_in(job, file, _clean_name(name))
    found = {field: getattr(job, field) for field in (*PREVIEW_FIELDS, *FILE_FIELDS)}
    try:
        with transaction.atomic():
            fenced_update(job, **found, source_url=None)
            _keep_source(job)
            move(job, JobStatus.PENDING, JOB_TRANSITIONS, attempts=0)
    except BaseException:
        storage.delete(job.file_path)
        raise


def _take_in(job: Job, content: BinaryIO, original: str) -> None:
    """Store the file, and note on the job what it is."""
    sha256, size = storage.digest_of(content)
    if size > max_bytes():
        raise too_large()
    if not size:
        raise InvalidInput("The file is empty.", code="empty_file", errors=[_at_file("The file is empty.")])
    try:
        table, preview = _looked_at(content, original, job.dataset)
    except FormatError as error:
        error.errors = error.errors or [_at_file(error.detail, error.code)]
        raise
    job.original_name, job.file_size, job.sha256 = original, size, sha256
    apply_findings(job, table, preview)
    extension = formats[job.file_type].extensions[0]
    if original == PASTED:
        job.original_name += ".tsv" if job.delimiter == "\t" else extension
    job.mime_type = formats[job.file_type].mime_type
    job.filename = storage.random_name(extension)
    job.file_path = storage.save(job, job.filename, content)


def nested_of(dataset: Dataset) -> dict[str, Any]:
    """The options by which a reader keeps whole what the dataset keeps whole, by name or label."""

    def called(kind: str) -> frozenset[str]:
        fields = [field for field in dataset.fields if field.type == kind]
        return frozenset(name for field in fields for name in (field.name, field.title))

    return {"whole": called("json"), "amounts": called("money")}


def _looked_at(content: BinaryIO, filename: str, dataset: Dataset) -> tuple[Table, dict[str, Any]]:
    """The table and its preview. A text in mixed encodings is shown in one that always works; it is said."""
    try:
        table = open_table(content, Options(**nested_of(dataset)), filename=filename)
        return table, previews.make(table)
    except FormatError as error:
        if error.code != "wrong_encoding":
            raise
        table = open_table(content, Options(encoding=FALLBACK, **nested_of(dataset)), filename=filename)
        table.notices.insert(0, f"{error.detail} It is shown as {NAMES[FALLBACK]}.")
        return table, previews.make(table)


@transaction.atomic
def _create(job: Job, actor: Actor, made: Callable[[Job], None] | None) -> None:
    job.number = numbers.assign(organization=job.organization, prefix="JOB")
    job.save(force_insert=True)
    _keep_source(job)
    entries.record(
        organization=job.organization,
        actor=actor,
        action="job.created",
        target=job,
        changes={
            "dataset": [None, job.dataset.slug],
            "file": [None, job.original_name],
            "sha256": [None, job.sha256],
        },
    )
    if made is not None:
        made(job)


def _keep_source(job: Job) -> None:
    JobArtifact.objects.create(
        job=job,
        kind=ArtifactKind.SOURCE,
        format=job.file_type,
        filename=job.original_name,
        file_path=job.file_path,
        file_size=job.file_size,
        mime_type=job.mime_type,
        sha256=job.sha256,
        expires_at=expiry(KEPT_DAYS),
    )


def apply_findings(job: Job, table: Table, preview: dict[str, Any]) -> None:
    """Note on the job how its file is read, and what it looks like."""
    found = table.findings
    job.file_type = found.file_type
    job.encoding = found.encoding
    job.delimiter = found.delimiter
    job.has_header = found.has_header
    job.header_row = found.header_row
    job.sheet = found.sheet[:255]
    job.record_path = found.record_path[:500]
    job.member = found.member[:500]
    job.preview = preview
    job.total_records = table.total_estimate or 0
    job.total_is_exact = table.total_is_exact


def options_of(job: Job, *, skip_rows: int = 0) -> Options:
    """How the job's file is to be read."""
    return Options(
        encoding=job.encoding or None,
        delimiter=job.delimiter or None,
        has_header=job.has_header,
        header_row=job.header_row or None,
        sheet=job.sheet or None,
        record_path=job.record_path or None,
        member=job.member or None,
        pad_short_rows=job.pad_short_rows,
        fill_merged=job.fill_merged,
        skip_rows=skip_rows,
        **nested_of(job.dataset),
    )


def reread(
    *,
    job: Job,
    encoding: str | None = None,
    delimiter: str | None = None,
    has_header: bool | None = None,
    header_row: int | None = None,
    sheet: str | None = None,
    pad_short_rows: bool | None = None,
    fill_merged: bool | None = None,
    record_path: str | None = None,
    member: str | None = None,
) -> Job:
    """Read the file in another way, as a person chose; None finds out anew. Raises FormatError, NotReady.

    What was matched before is kept if the columns are the same, and else proposed anew.
    """
    if job.status != JobStatus.PENDING:
        raise NotReady(f"{job.number} is {job.get_status_display().lower()}; its file is not read anew.")
    pad = job.pad_short_rows if pad_short_rows is None else pad_short_rows
    fill = job.fill_merged if fill_merged is None else fill_merged
    options = Options(
        encoding=encoding or None,
        delimiter=delimiter or None,
        has_header=has_header,
        header_row=header_row or None,
        sheet=sheet or None,
        record_path=record_path or None,
        member=member or job.member or None,
        pad_short_rows=pad,
        fill_merged=fill,
        **nested_of(job.dataset),
    )
    with storage.opened(job.file_path) as file:
        table = open_table(file, options, file_type=job.file_type, filename=job.original_name)
        preview = previews.make(table)
    names_before = [column["name"] for column in job.preview.get("columns", [])]
    apply_findings(job, table, preview)
    job.pad_short_rows, job.fill_merged = pad, fill
    if names_before != table.names:
        job.configured_at = None
        job.field_mapping = {}
    job.report, job.checked_at = {}, None
    updated = Job.objects.filter(pk=job.pk, status=JobStatus.PENDING).update(
        **{name: getattr(job, name) for name in (*PREVIEW_FIELDS, "file_type", "preview", "total_records")},
        total_is_exact=job.total_is_exact,
        configured_at=job.configured_at,
        field_mapping=job.field_mapping,
        report={},
        checked_at=None,
    )
    if not updated:
        raise NotReady(f"{job.number} was started meanwhile; its file is not read anew.")
    return job


def _clean_name(name: str) -> str:
    """The last part of what the client called the file, without control characters."""
    base = os.path.basename(name.replace("\\", "/"))
    return "".join(c for c in base if c.isprintable())[-200:].strip() or "upload"


def too_large() -> TooLarge:
    return TooLarge(
        f"The file is larger than {max_bytes() / 2**20:,.0f} MB, which is the most that is accepted."
    )


def _at_file(detail: str, code: str = "empty_file") -> FieldError:
    return FieldError("/file", code, detail)


class _seekable:
    """The upload as a seekable binary file; what cannot seek is copied to a temporary one."""

    def __init__(self, file: File[Any]) -> None:
        self._file = file
        self._copy: Any = None

    def __enter__(self) -> BinaryIO:
        size = getattr(self._file, "size", None)
        if isinstance(size, int) and size > max_bytes():
            raise too_large()
        inner: Any = getattr(self._file, "file", self._file)
        if hasattr(inner, "seekable") and inner.seekable():
            inner.seek(0)
            return inner
        self._copy = tempfile.TemporaryFile()
        copied = 0
        for chunk in self._file.chunks():
            copied += len(chunk)
            if copied > max_bytes():
                self._copy.close()
                raise too_large()
            self._copy.write(chunk)
        self._copy.seek(0)
        return self._copy

    def __exit__(self, *exc: object) -> None:
        if self._copy is not None:
            self._copy.close()
