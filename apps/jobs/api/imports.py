"""`/import/…`: the staged import."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api.base import FILES, Jobs, JobView
from apps.jobs.api.serializers import (
    ExecuteSerializer,
    ImportSerializer,
    JobSerializer,
    StatusSerializer,
    UploadedSerializer,
    UploadSerializer,
    settings_of,
)
from apps.jobs.formats.writers import MIME_TYPES
from apps.jobs.models import Job
from apps.jobs.selectors import location_of
from apps.jobs.services import callbacks, fetching, imports, templates, uploads
from apps.jobs.statuses import WRITABLE, JobType
from apps.kernel.api.parsers import HubJSONParser
from apps.kernel.api.views import Parameter
from apps.kernel.errors import NotFound
from apps.records.mapping import pipe_to_text
from apps.records.models import Dataset
from apps.records.selectors import dataset_of


class ImportUploadView(JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": UploadSerializer}
    outputs = {"post": (201, UploadedSerializer)}
    parser_classes = [MultiPartParser, HubJSONParser]
    streams_body = True

    def post(self, request: Request) -> Response:
        """Upload a file to import, or have it fetched

        As a multipart form with `file`, or as JSON with `url`, or with `location` and `path`. Stored and
        judged at once: the answer shows how the file is read, its first rows, and a mapping to begin with.
        Nothing is imported before `import/execute`.
        """
        values = self.validated(UploadSerializer)
        job = self._received(values, dataset_of(self.organization, values["dataset"]))
        earlier = selectors.same_file(job)
        data = {
            **JobSerializer(job).data,
            "preview": job.preview,
            "proposal": proposal_of(job),
            "same_file_as": earlier.number if earlier is not None else None,
        }
        return Response(data, status=201, headers={"Location": self.location(f"jobs/{job.number}")})

    def _received(self, values: dict[str, Any], dataset: Dataset) -> Job:
        common: dict[str, Any] = {
            "organization": self.organization,
            "dataset": dataset,
            "actor": self.actor,
            "name": values["name"],
        }
        if "file" in values:
            return uploads.receive(file=values["file"], **common)
        if "url" in values:
            return fetching.receive_from_url(url=values["url"], **common)
        self.also_needs("locations:read")
        place = location_of(self.organization, values["location"])
        return fetching.receive_from_location(location=place, path=values.get("path", ""), **common)


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


class _ImportStep(JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": ImportSerializer}
    confirmed = False

    def prepared(self) -> Job:
        """The job, configured as the body says; the proposed mapping is taken where none was decided on."""
        self.also_needs("records:write")
        values = self.validated(self.inputs["post"])
        self.confirmed = values.get("confirm_deletions", False)
        job: Job = import_of(self, values["job"])
        if values.get("options") is not None:
            job = uploads.reread(job=job, **values["options"])
        mapping = values.get("mapping")
        if mapping is None and job.configured_at is None:
            mapping = imports.propose(job=job).spec
        settings = values.get("settings")
        if settings and settings.get("notifications"):
            settings["notifications"] = callbacks.settled(
                self.organization, settings["notifications"], self.actor
            )
        if mapping is not None or settings:
            job = imports.configure(
                job=job, actor=self.actor, mapping=mapping, settings=settings_of(settings or {})
            )
        return job


def import_of(view: Jobs, ref: str) -> Job:
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
    inputs = {"post": ExecuteSerializer}
    outputs = {"post": (202, StatusSerializer)}

    def post(self, request: Request) -> Response:
        """Start an import

        Poll the status until `is_complete`. If the check found that a “replace” would delete more than the
        limits allow, the answer is 409 `deletions_not_confirmed`; `confirm_deletions` agrees to it.
        """
        job = self.prepared()
        job = imports.start(job=job, actor=self.actor, confirm_deletions=self.confirmed)
        return self.accepted(job, StatusSerializer, f"import/{job.number}/status")


class ImportStatusView(JobView):
    scopes = {"get": "jobs:read"}
    outputs = {"get": StatusSerializer}
    serializer_class = StatusSerializer
    sparse = False

    def get(self, request: Request, id: str) -> Response:
        """Get the status of an import"""
        return Response(StatusSerializer(import_of(self, id)).data)


class ImportTemplateView(JobView):
    scopes = {"get": "jobs:read"}
    query_parameters = {
        "get": [Parameter("format", "The kind of file.", choices=tuple(WRITABLE), default="xlsx")]
    }
    sparse = False
    path_parameters = {"dataset": "The dataset's slug."}
    media_types = {"get": FILES}

    def get(self, request: Request, dataset: str) -> HttpResponse:
        """Get a file to fill in

        The dataset's columns with an example; in Excel also notes, drop-downs for choices and instructions.
        """
        found = dataset_of(self.organization, dataset)
        kind = self.parameters["format"]
        response = HttpResponse(templates.make(found, kind), content_type=MIME_TYPES[kind])
        response.headers["Content-Disposition"] = f'attachment; filename="{found.slug}-template.{kind}"'
        return response
