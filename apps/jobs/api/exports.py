"""`/export…`: ordering, watching and downloading exports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.http import FileResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api.base import EXPORTED, Jobs, JobView, file_response, order_export
from apps.jobs.api.inputs import ExportSerializer
from apps.jobs.api.serializers import ExportStatusSerializer, JobSerializer
from apps.jobs.models import Job
from apps.jobs.services import downloads
from apps.jobs.statuses import JobType
from apps.kernel.api.addresses import client_ip
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.views import Parameter
from apps.kernel.errors import NotFound, Unauthenticated


class ExportView(JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": ExportSerializer}
    outputs = {"post": (202, JobSerializer)}

    def post(self, request: Request) -> Response:
        """Start an export"""
        job = order_export(self, self.validated(ExportSerializer))
        return self.accepted(job, JobSerializer, f"export/{job.number}")


def _export_of(view: Jobs, ref: str) -> Job:
    job = selectors.job_of(view.organization, ref)
    if job.job_type != JobType.EXPORT:
        raise NotFound(f"There is no export “{ref[:40]}”.")
    return job


class ExportStatusView(JobView):
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
            token = downloads.link_token(downloads.output_of(job), self.actor)
            path = self.location(f"export/{job.number}/download")
            data["download_url"] = request.build_absolute_uri(f"{path}?token={quote(token)}")
            data["download_expires_at"] = timezone.now() + timedelta(seconds=downloads.LINK_SECONDS)
        return Response(data)


class ExportDownloadView(JobView):
    # Either the link's own signature lets one in, or the usual credentials do (checked below).
    scopes = {"get": PUBLIC}
    query_parameters = {"get": [Parameter("token", "The signature of the link in `download_url`.")]}
    media_types = {"get": EXPORTED}
    sparse = False

    def get(self, request: Request, id: str) -> FileResponse:
        """Download an exported file

        With the signed link of `GET /export/{id}`, or with credentials that have the scopes `jobs:read` and
        `records:read`.
        """
        token = self.parameters.get("token")
        if token:
            return file_response(downloads.opened_by_link(id, token, ip=client_ip(request)))
        if request.auth is None:
            raise Unauthenticated("Use the signed link of the export, or give an API key.")
        self.also_needs("jobs:read")
        self.also_needs("records:read")
        artifact = downloads.output_of(_export_of(self, id))
        downloads.note(artifact, self.actor)
        return file_response(artifact)
