"""`/integration-logs` and `/sync-jobs`: what integrations did."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.connectors import selectors
from apps.connectors.api import inputs, serializers
from apps.connectors.models import IntegrationLog, SyncJob
from apps.connectors.services import row_errors, syncs
from apps.connectors.statuses import SyncErrorStatus, SyncStatus, SyncTrigger, SyncType
from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter, paged

_READ = "integrations:read"


def accepted(view: HubAPIView, job: SyncJob) -> Response:
    """202 with the job, and where to look at it."""
    base = view.request.path.partition("/integrations")[0].partition("/sync-jobs")[0]
    job = selectors.sync_jobs_of(view.organization).get(pk=job.pk)
    headers = {"Location": f"{base}/sync-jobs/{job.number}"}
    return Response(serializers.SyncJobSerializer(job).data, status=202, headers=headers)


class IntegrationLogViewSet(HubViewSet):
    """Calls to providers, across integrations."""

    model = IntegrationLog
    serializer_class = serializers.LogSerializer
    scopes = {"list": _READ, "retrieve": _READ}
    outputs = {"retrieve": serializers.LogDetailSerializer}
    query_parameters = {
        "list": [
            Parameter("integration", "Only calls of this integration.", column="integration__number"),
            Parameter("sync_job", "Only calls of this sync.", column="sync_job__number"),
            Parameter("action", "Only calls for this: test, check, or “read” and a stream.", column="action"),
            Parameter("ok", "Only calls that went well, or only others.", type="boolean", column="ok"),
            Parameter("status_code", "Only answers with this status.", type="integer", column="status_code"),
            Parameter("since", "Only calls from this time on.", type="date-time", column="created_at__gte"),
            Parameter("until", "Only calls before this time.", type="date-time", column="created_at__lt"),
        ]
    }

    def get_queryset(self) -> QuerySet[IntegrationLog]:
        return selectors.logs_of(self.organization)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Get a call, with what was sent and answered"""
        return self.answer(self.get_object(), render=lambda row: serializers.LogDetailSerializer(row).data)


class SyncJobViewSet(HubViewSet):
    """Runs of syncs."""

    model = SyncJob
    serializer_class = serializers.SyncJobSerializer
    scopes = {
        "list": "syncs:read",
        "retrieve": "syncs:read",
        "cancel": "syncs:write",
        "retry": "syncs:write",
        "errors": "syncs:read",
    }
    inputs = {"cancel": inputs.NothingInput, "retry": inputs.NothingInput}
    outputs = {
        "cancel": serializers.SyncJobSerializer,
        "retry": (202, serializers.SyncJobSerializer),
        "errors": serializers.SyncErrorSerializer,
    }
    query_parameters = {
        "list": [
            Parameter("integration", "Only syncs of this integration.", column="integration__number"),
            Parameter(
                "status", "Only syncs in this state.", choices=tuple(SyncStatus.values), column="status"
            ),
            Parameter("type", "Only syncs of this type.", choices=tuple(SyncType.values), column="type"),
            Parameter(
                "trigger", "Only syncs started so.", choices=tuple(SyncTrigger.values), column="trigger"
            ),
            Parameter("since", "Only syncs from this time on.", type="date-time", column="created_at__gte"),
        ],
        "errors": [
            Parameter(
                "status",
                "Only errors in this state.",
                choices=tuple(SyncErrorStatus.values),
                column="status",
            ),
            Parameter("stream", "Only errors of this stream.", column="stream"),
        ],
    }

    def get_queryset(self) -> QuerySet[SyncJob]:
        return selectors.sync_jobs_of(self.organization)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """Cancel a sync

        A running one ends after the page that is being written; what was written stays.
        """
        job = syncs.cancel(job=self.get_object(), actor=self.actor)
        return self.answer(job)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:
        """Retry what did not go well

        Streams that failed go on in a new sync from where they stopped; if all were read, the rows that could
        not be taken over are tried again.
        """
        job = self.get_object()
        if row_errors.retry_later(job=job, actor=self.actor):
            return accepted(self, job)
        return accepted(self, syncs.retry(job=job, actor=self.actor, trigger=SyncTrigger.API))

    @action(detail=True, methods=["get"])
    @paged
    def errors(self, request: Request, id: str) -> Response:
        """List the rows that could not be taken over"""
        rows = selectors.errors_of(self.get_object())
        return self.page(rows, lambda row: serializers.SyncErrorSerializer(row).data)
