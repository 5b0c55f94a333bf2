"""`/jobs…`: imports and exports alike."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.http import FileResponse
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api.base import FILES, Jobs, file_response, order_export
from apps.jobs.api.inputs import CancelSerializer, NewJobSerializer, StartSerializer, UndoSerializer
from apps.jobs.api.serializers import (
    ErrorSerializer,
    JobSerializer,
    JobStatisticsSerializer,
    UndoneSerializer,
)
from apps.jobs.models import Job
from apps.jobs.services import control, downloads, imports
from apps.jobs.statuses import WRITABLE, ArtifactKind, JobStatus, JobType, Severity
from apps.kernel.api.keyset import Order
from apps.kernel.api.views import HubViewSet, Parameter, paged


class JobViewSet(Jobs, HubViewSet):  # type: ignore[misc]
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
        "statistics": "jobs:read",
    }
    inputs = {
        "create": NewJobSerializer,
        "start": StartSerializer,
        "cancel": CancelSerializer,
        "retry": StartSerializer,
        "undo": UndoSerializer,
    }
    outputs = {
        "create": (202, JobSerializer),
        "start": (202, JobSerializer),
        "resume": (202, JobSerializer),
        "retry": (202, JobSerializer),
        "undo": UndoneSerializer,
        "errors": ErrorSerializer,
        "statistics": JobStatisticsSerializer,
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
                "`errors` lists all errors as CSV; `rejected` holds the rows that were left out, to correct; "
                "`vanishing` the records that a “replace” would delete, as its check found.",
                choices=(
                    ArtifactKind.ERRORS.value,
                    ArtifactKind.REJECTED.value,
                    ArtifactKind.VANISHING.value,
                ),
                default=ArtifactKind.ERRORS.value,
            ),
            Parameter(
                "format",
                "`csv` or `xlsx`; in Excel the wrong cells of rejected rows are coloured, with the reason as "
                "a note. Without it rejected rows come as the file came, all else as CSV.",
                choices=tuple(kind.value for kind in WRITABLE),
            ),
        ],
    }
    media_types = {"errors_file": FILES}
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
        confirmed = self.validated(StartSerializer)["confirm_deletions"]
        job = imports.start(job=self.get_object(), actor=self.actor, confirm_deletions=confirmed)
        return self._answer(job)

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
        confirmed = self.validated(StartSerializer)["confirm_deletions"]
        job = control.retry(job=self.get_object(), actor=self.actor, confirm_deletions=confirmed)
        return self._answer(job)

    @action(detail=True, methods=["post"])
    def undo(self, request: Request, id: str) -> Response:
        """Take back everything that an import wrote

        Records that somebody changed later stay and are listed. With `dry_run` it only tells. What is too
        much for one request goes on in the background: `in_background` is true then, and asking again tells
        how far it is.
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
                "in_background": result.in_background,
                "total": result.total if result.in_background else result.reverted + result.refused,
                "conflicts": conflicts,
            }
        )

    @action(detail=False, methods=["get"])
    def statistics(self, request: Request) -> Response:
        """Count jobs and the rows that they moved"""
        return Response(JobStatisticsSerializer(selectors.statistics_of(self.organization)).data)

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
        asked = self.parameters
        artifact = downloads.file_of(self.get_object(), asked["kind"], asked.get("format") or "")
        downloads.note(artifact, self.actor)
        return file_response(artifact)

    def order_of(self) -> Any:
        return Order("id", False) if self.action == "errors" else super().order_of()
