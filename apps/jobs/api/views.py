"""`/import/…`, `/export/…`, `/jobs/…`: files in and out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

from django.db import models
from django.http import FileResponse, HttpResponse
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api.serializers import (
    CancelSerializer,
    ErrorSerializer,
    ExportSerializer,
    ExportStatusSerializer,
    ImportSerializer,
    JobSerializer,
    NewJobSerializer,
    StatusSerializer,
    UndoneSerializer,
    UndoSerializer,
    UploadedSerializer,
    UploadSerializer,
    settings_of,
)
from apps.jobs.formats.writers import MIME_TYPES
from apps.jobs.models import Job, JobArtifact
from apps.jobs.services import control, downloads, exports, imports, templates, uploads
from apps.jobs.statuses import ArtifactKind, FileType, JobStatus, JobType, Severity
from apps.kernel.api.keyset import Order
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter, paged
from apps.kernel.errors import Forbidden, NotFound, Unauthenticated
from apps.records.mapping import pipe_to_text
from apps.records.selectors import dataset_of


class _Jobs:
    """What all doors to jobs share."""

    model: ClassVar[Any] = Job
    organization: Any
    principal: Any
    request: Any

    def get_queryset(self) -> models.QuerySet[Any]:
        return selectors.jobs_of(self.organization).select_related("origin", "mapping", "project")

    def also_needs(self, scope: str) -> None:
        """A job writes and reads records for its caller, who must be allowed to do so directly."""
        if not self.principal.allows(scope):
            raise Forbidden(f"This operation also needs the scope “{scope}”.", code="insufficient_scope")

    def location(self, path: str) -> str:
        """The address of another resource, under the version that was called."""
        prefix = self.request.path.split("/import/")[0].split("/export")[0].split("/jobs")[0]
        return f"{prefix}/{path}"

    def accepted(self, job: Job, serializer: type[Any], path: str) -> Response:
        return Response(serializer(job).data, status=202, headers={"Location": self.location(path)})


class _JobView(_Jobs, HubAPIView):
    """A door to jobs by HTTP method."""


class ImportUploadView(_JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": UploadSerializer}
    outputs = {"post": (201, UploadedSerializer)}
    parser_classes = [MultiPartParser]
    streams_body = True

    def post(self, request: Request) -> Response:
        """Upload a file to import

        Stored and judged at once: the answer shows how the file is read, its first rows, and a mapping to
        begin with. Nothing is imported before `import/execute`.
        """
        values = self.validated(UploadSerializer)
        job = uploads.receive(
            organization=self.organization,
            dataset=dataset_of(self.organization, values["dataset"]),
            file=values["file"],
            actor=self.actor,
            name=values["name"],
        )
        data = {**JobSerializer(job).data, "preview": job.preview, "proposal": proposal_of(job)}
        return Response(data, status=201, headers={"Location": self.location(f"jobs/{job.number}")})


def proposal_of(job: Job) -> dict[str, Any]:
    proposal = imports.propose(job=job)
    return {
        "how": proposal.how,
        "mapping": proposal.spec.to_dict(),
        "columns": [
            {
                "column": column.column,
                "target": column.target,
                "confidence": column.confidence,
                "how": column.how,
                "transforms": pipe_to_text(column.transforms),
                "fitting": column.fitting,
                "ambiguous": list(column.ambiguous),
            }
            for column in proposal.columns
        ],
    }


class _ImportStep(_JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": ImportSerializer}

    def prepared(self) -> Job:
        """The job, configured as the body says; the proposed mapping is taken where none was decided on."""
        self.also_needs("records:write")
        values = self.validated(ImportSerializer)
        job: Job = _import_of(self, values["job"])
        if values.get("options") is not None:
            job = uploads.reread(job=job, **values["options"])
        mapping = values.get("mapping")
        if mapping is None and job.configured_at is None:
            mapping = imports.propose(job=job).spec
        settings = values.get("settings")
        if mapping is not None or settings:
            job = imports.configure(
                job=job, actor=self.actor, mapping=mapping, settings=settings_of(settings or {})
            )
        return job


def _import_of(view: _Jobs, ref: str) -> Job:
    job = selectors.job_of(view.organization, ref)
    if job.job_type != JobType.IMPORT:
        raise NotFound(f"There is no import “{ref[:40]}”.")
    return job


class ImportValidateView(_ImportStep):
    outputs = {"post": (202, StatusSerializer)}

    def post(self, request: Request) -> Response:
        """Check an import

        The real run, rolled back. Poll the status until it is `pending` again; then `report` tells what would
        be created, updated, left unchanged or refused, and why.
        """
        job = imports.check(job=self.prepared(), actor=self.actor)
        return self.accepted(job, StatusSerializer, f"import/{job.number}/status")


class ImportExecuteView(_ImportStep):
    outputs = {"post": (202, StatusSerializer)}

    def post(self, request: Request) -> Response:
        """Start an import

        Poll the status until `is_complete`.
        """
        job = imports.start(job=self.prepared(), actor=self.actor)
        return self.accepted(job, StatusSerializer, f"import/{job.number}/status")


class ImportStatusView(_JobView):
    scopes = {"get": "jobs:read"}
    outputs = {"get": StatusSerializer}
    serializer_class = StatusSerializer
    sparse = False

    def get(self, request: Request, id: str) -> Response:
        """Get the status of an import"""
        return Response(StatusSerializer(_import_of(self, id)).data)


class ImportTemplateView(_JobView):
    scopes = {"get": "jobs:read"}
    query_parameters = {
        "get": [Parameter("format", "The kind of file.", choices=tuple(FileType.values), default="xlsx")]
    }
    sparse = False
    path_parameters = {"dataset": "The dataset's slug."}

    def get(self, request: Request, dataset: str) -> HttpResponse:
        """Get a file to fill in

        The dataset's columns with an example; in Excel also notes, drop-downs for choices and instructions.
        """
        found = dataset_of(self.organization, dataset)
        kind = self.parameters["format"]
        response = HttpResponse(templates.make(found, kind), content_type=MIME_TYPES[kind])
        response.headers["Content-Disposition"] = f'attachment; filename="{found.slug}-template.{kind}"'
        return response


class JobViewSet(_Jobs, HubViewSet):  # type: ignore[misc]
    """Imports and exports."""

    serializer_class = JobSerializer
    scopes = {
        "list": "jobs:read",
        "retrieve": "jobs:read",
        "create": "jobs:write",
        "start": "jobs:write",
        "pause": "jobs:write",
        "resume": "jobs:write",
        "cancel": "jobs:write",
        "retry": "jobs:write",
        "undo": "jobs:write",
        "errors": "jobs:read",
        "errors_file": "jobs:read",
    }
    inputs = {"create": NewJobSerializer, "cancel": CancelSerializer, "undo": UndoSerializer}
    outputs = {
        "create": (202, JobSerializer),
        "start": (202, JobSerializer),
        "resume": (202, JobSerializer),
        "retry": (202, JobSerializer),
        "undo": UndoneSerializer,
        "errors": ErrorSerializer,
    }
    query_parameters = {
        "list": [
            Parameter("job_type", "Imports or exports.", choices=tuple(JobType.values), column="job_type"),
            Parameter("dataset", "The dataset's slug.", column="dataset__slug"),
            Parameter(
                "status", "Only jobs in this status.", choices=tuple(JobStatus.values), column="status"
            ),
        ],
        "errors": [
            Parameter("code", "Only errors with this code.", column="code"),
            Parameter("field", "Only errors of this field.", column="field"),
            Parameter("severity", "Errors or warnings.", choices=tuple(Severity.values), column="severity"),
        ],
        "errors_file": [
            Parameter(
                "kind",
                "`errors` lists all errors as CSV; `rejected` holds the rows that were left out, to correct.",
                choices=(ArtifactKind.ERRORS.value, ArtifactKind.REJECTED.value),
                default=ArtifactKind.ERRORS.value,
            )
        ],
    }
    ordering_fields = {"created_at": "id"}
    search_fields = ("number", "name")

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().prefetch_related("artifacts")

    def create(self, request: Request) -> Response:
        """Start an export

        The same as `POST /export`. Imports begin with `POST /import/upload`.
        """
        values = self.validated(NewJobSerializer)
        values.pop("job_type")
        job = order_export(self, values)
        return self.accepted(job, JobSerializer, f"jobs/{job.number}")

    def _answer(self, job: Job) -> Response:
        return self.accepted(job, JobSerializer, f"jobs/{job.number}")

    @action(detail=True, methods=["post"])
    def start(self, request: Request, id: str) -> Response:
        """Start an import whose columns are matched"""
        self.also_needs("records:write")
        return self._answer(imports.start(job=self.get_object(), actor=self.actor))

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Pause an import after the batch at hand"""
        return self.answer(control.pause(job=self.get_object(), actor=self.actor))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Go on with a paused import"""
        self.also_needs("records:write")
        return self._answer(control.resume(job=self.get_object(), actor=self.actor))

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """Cancel a job

        What was written stays until it is undone.
        """
        reason = self.validated(CancelSerializer)["reason"]
        return self.answer(control.cancel(job=self.get_object(), actor=self.actor, reason=reason))

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:
        """Take up a failed or cancelled job where it ended"""
        self.also_needs("records:write")
        return self._answer(control.retry(job=self.get_object(), actor=self.actor))

    @action(detail=True, methods=["post"])
    def undo(self, request: Request, id: str) -> Response:
        """Take back everything that an import wrote

        Records that somebody changed later stay and are listed. With `dry_run` it only tells.
        """
        self.also_needs("records:write")
        dry_run = self.validated(UndoSerializer)["dry_run"]
        result = control.undo(job=self.get_object(), actor=self.actor, dry_run=dry_run)
        conflicts = [{"record": c.key, "reason": c.reason} for c in result.conflicts[:100]]
        return Response(
            {
                "reverted": result.reverted,
                "refused": result.refused,
                "dry_run": dry_run,
                "conflicts": conflicts,
            }
        )

    @action(detail=True, methods=["get"])
    @paged
    def errors(self, request: Request, id: str) -> Response:
        """List what was wrong

        The last thousand errors; `errors/file` has all.
        """
        return self.page(selectors.errors_of(self.get_object()), lambda error: ErrorSerializer(error).data)

    @action(detail=True, methods=["get"], url_path="errors/file")
    def errors_file(self, request: Request, id: str) -> FileResponse:
        """Download all errors, or the rejected rows"""
        self.also_needs("records:read")
        artifact = downloads.problem_file(self.get_object(), self.parameters["kind"])
        downloads.note(artifact, self.actor)
        return file_response(artifact)

    def order_of(self) -> Any:
        return Order("id", False) if self.action == "errors" else super().order_of()


def order_export(view: Any, values: dict[str, Any]) -> Job:
    view.also_needs("records:read")
    dataset = dataset_of(view.organization, values.pop("dataset"))
    return exports.create(organization=view.organization, dataset=dataset, actor=view.actor, **values)


class ExportView(_JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": ExportSerializer}
    outputs = {"post": (202, JobSerializer)}

    def post(self, request: Request) -> Response:
        """Start an export"""
        job = order_export(self, self.validated(ExportSerializer))
        return self.accepted(job, JobSerializer, f"export/{job.number}")


def _export_of(view: _Jobs, ref: str) -> Job:
    job = selectors.job_of(view.organization, ref)
    if job.job_type != JobType.EXPORT:
        raise NotFound(f"There is no export “{ref[:40]}”.")
    return job


class ExportStatusView(_JobView):
    scopes = {"get": "jobs:read"}
    outputs = {"get": ExportStatusSerializer}
    serializer_class = ExportStatusSerializer
    sparse = False

    def get(self, request: Request, id: str) -> Response:
        """Get the status of an export

        When it is completed, `download_url` leads to the file without further credentials, for an hour.
        """
        job = _export_of(self, id)
        data: dict[str, Any] = {**JobSerializer(job).data, "download_url": None, "download_expires_at": None}
        if data["output"] is not None and self.principal.allows("records:read"):
            token = downloads.link_token(downloads.output_of(job))
            path = self.location(f"export/{job.number}/download")
            data["download_url"] = request.build_absolute_uri(f"{path}?token={quote(token)}")
            data["download_expires_at"] = timezone.now() + timedelta(seconds=downloads.LINK_SECONDS)
        return Response(data)


class ExportDownloadView(_JobView):
    # Either the link's own signature lets one in, or the usual credentials do (checked below).
    scopes = {"get": PUBLIC}
    query_parameters = {"get": [Parameter("token", "The signature of the link in `download_url`.")]}
    sparse = False

    def get(self, request: Request, id: str) -> FileResponse:
        """Download an exported file

        With the signed link of `GET /export/{id}`, or with credentials that have the scopes `jobs:read` and
        `records:read`.
        """
        token = self.parameters.get("token")
        if token:
            return file_response(downloads.artifact_of_token(id, token))
        if request.auth is None:
            raise Unauthenticated("Use the signed link of the export, or give an API key.")
        self.also_needs("jobs:read")
        self.also_needs("records:read")
        artifact = downloads.output_of(_export_of(self, id))
        downloads.note(artifact, self.actor)
        return file_response(artifact)


def file_response(artifact: JobArtifact) -> FileResponse:
    return downloads.response(artifact, downloads.open_artifact(artifact))
