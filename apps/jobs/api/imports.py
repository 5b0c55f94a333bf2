"""`/import/…`: the staged import."""

from __future__ import annotations

from django.http import HttpResponse
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api.base import FILES, Jobs, JobView
from apps.jobs.api.inputs import (
    ExecuteSerializer,
    FetchSerializer,
    ImportSerializer,
    UploadSerializer,
    settings_of,
)
from apps.jobs.api.serializers import (
    ImportStatusSerializer,
    JobSerializer,
    StatusSerializer,
    UploadedSerializer,
    proposal_of,
)
from apps.jobs.formats.writers import MIME_TYPES
from apps.jobs.models import Job
from apps.jobs.services import callbacks, fetching, imports, templates, uploads
from apps.jobs.statuses import WRITABLE, JobType
from apps.kernel.api.views import Parameter
from apps.kernel.errors import NotFound
from apps.records.selectors import dataset_of


class ImportUploadView(JobView):
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
        dataset = dataset_of(self.organization, values.pop("dataset"))
        job = uploads.receive(organization=self.organization, dataset=dataset, actor=self.actor, **values)
        earlier = selectors.same_file(job)
        data = {
            **JobSerializer(job).data,
            "preview": job.preview,
            "proposal": proposal_of(job),
            "same_file_as": earlier.number if earlier is not None else None,
        }
        return Response(data, status=201, headers={"Location": self.location(f"jobs/{job.number}")})


class ImportFetchView(JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": FetchSerializer}
    outputs = {"post": (202, JobSerializer)}

    def post(self, request: Request) -> Response:
        """Have a file to import fetched

        From a `url`, or from a `location` (which needs the scope `locations:read`) and a `path`. A worker
        brings it; `import/{id}/status` tells how far that is, and then what was found in it, as an upload
        does. Nothing is imported before `import/execute`.
        """
        values = self.validated(FetchSerializer)
        dataset = dataset_of(self.organization, values.pop("dataset"))
        if ref := values.pop("location", ""):
            self.also_needs("locations:read")
            values["location"] = self.place_of(ref, "/location")
        job = fetching.order(organization=self.organization, dataset=dataset, actor=self.actor, **values)
        return self.accepted(job, JobSerializer, f"import/{job.number}/status")


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
    outputs = {"get": ImportStatusSerializer}
    serializer_class = ImportStatusSerializer
    sparse = False

    def get(self, request: Request, id: str) -> Response:
        """Get the status of an import"""
        return Response(ImportStatusSerializer(import_of(self, id)).data)


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
