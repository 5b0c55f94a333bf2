"""Links to the files of jobs: signed, bound to the organization, and valid for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core import signing
from django.core.files.base import File
from django.http import FileResponse
from django.utils import timezone

from apps.audit.services import entries
from apps.jobs.errors import NotReady
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import files, storage
from apps.jobs.statuses import ArtifactKind
from apps.kernel.errors import FieldError, InvalidInput, NotFound
from apps.tenants.principals import SYSTEM, Actor

SALT = "jobs.download"
LINK_SECONDS = 3600


def link_token(artifact: JobArtifact, actor: Actor = SYSTEM, *, seconds: int = LINK_SECONDS) -> str:
    """What a download link carries. It opens this one file until it, or the file, expires.

    It names who asked for it: the audit log says so at each download.
    """
    until = int((timezone.now() + timedelta(seconds=seconds)).timestamp())
    payload = [artifact.public_id, artifact.job.organization_id.hex, until, actor.kind, actor.ref]
    return signing.dumps(payload, salt=SALT, compress=False)


def opened_by_link(job_number: str, token: str, *, ip: str | None = None) -> JobArtifact:
    """The file that a link opens, with an audit entry that it did.

    Raises NotFound for a link that is forged, stale or of another job.
    """
    gone = NotFound("This link is not valid (any more). Ask for a new one.", code="link_expired")
    try:
        public_id, organization, until, kind, ref = signing.loads(token, salt=SALT)
    except (signing.BadSignature, ValueError, TypeError):
        raise gone from None
    pk = JobArtifact.parse_public_id(str(public_id))
    artifact = (
        JobArtifact.objects.select_related("job__organization", "job__dataset").filter(pk=pk).first()
        if pk
        else None
    )
    if (
        artifact is None
        or artifact.job.organization_id.hex != organization
        or artifact.job.number != job_number
        or until < timezone.now().timestamp()
        or artifact.is_expired
    ):
        raise gone
    note(artifact, Actor(str(kind), str(ref), "Signed link", ip=ip))
    return artifact


def output_of(job: Job) -> JobArtifact:
    """The exported file. Raises NotReady before it is there, NotFound after its time."""
    artifact = JobArtifact.objects.select_related("job").filter(job=job, kind=ArtifactKind.OUTPUT).first()
    if artifact is None:
        if job.is_complete:
            raise NotFound(f"The file of {job.number} is no longer kept. Export again.")
        raise NotReady(f"{job.number} is {job.get_status_display().lower()}; its file is not ready yet.")
    if artifact.is_expired:
        raise NotFound(f"The file of {job.number} is no longer kept. Export again.")
    return artifact


def problem_file(job: Job, kind: str, format_name: str = "") -> JobArtifact:
    """The rejected rows or all errors of an import, made now if the job has not ended well.

    `format_name` is csv or xlsx; without it rejected rows come as the file came, errors as CSV. Raises
    NotFound if nothing was wrong, or the file is no longer kept.
    """
    stored = JobArtifact.objects.select_related("job").filter(job=job, kind=kind).order_by("id")
    if not stored.exists() and job.rejections.exists():
        _untidied(job)
        files.keep(files.write_problem_files(job))
    artifact = stored.filter(format=format_name).first() if format_name else stored.first()
    if artifact is None and format_name:
        _untidied(job)
        artifact = files.write_problem_file(job, kind, format_name)
        if artifact is not None:
            files.keep_also(artifact)
    if artifact is None or artifact.is_expired:
        raise NotFound(f"{job.number} has no such file: no row was wrong, or it is no longer kept.")
    return artifact


def _untidied(job: Job) -> None:
    """Have the job's stored files looked through again: one is about to be written that no row names yet."""
    Job.objects.filter(pk=job.pk).update(files_tidied_at=None)


def file_of(job: Job, kind: str, format_name: str = "") -> JobArtifact:
    """Any of a job's files, those of problems in the format asked for.

    Raises NotFound, NotReady, or InvalidInput for a format in which the file is not kept.
    """
    if kind == ArtifactKind.OUTPUT:
        return output_of(job)
    if kind in (ArtifactKind.REJECTED, ArtifactKind.ERRORS):
        return problem_file(job, kind, format_name)
    artifact = JobArtifact.objects.select_related("job").filter(job=job, kind=kind).first()
    if artifact is None or artifact.is_expired:
        raise NotFound(f"{job.number} has no such file any more.")
    if format_name and artifact.format != format_name:
        detail = f"This file is kept as {artifact.format.upper()} only."
        raise InvalidInput(detail, errors=[FieldError("/format", "not_available", detail)])
    return artifact


def response(artifact: JobArtifact, file: File[Any]) -> FileResponse:
    """The stored file as a download that no browser shows or guesses about."""
    answer = FileResponse(
        file, as_attachment=True, filename=artifact.filename, content_type=artifact.mime_type
    )
    answer.headers["Cache-Control"] = "private, no-store"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def open_artifact(artifact: JobArtifact) -> File[Any]:
    """The stored file, open; whoever sends it closes it. Raises NotFound if it is gone."""
    return storage.open_file(artifact.file_path)


def note(artifact: JobArtifact, actor: Actor) -> None:
    """Write into the audit log that data left the house."""
    entries.record(
        organization=artifact.job.organization,
        actor=actor,
        action="job.downloaded",
        target=artifact.job,
        changes={"file": [None, artifact.filename], "kind": [None, artifact.kind]},
    )
