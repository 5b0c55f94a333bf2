"""`/job-deliveries`."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api import delivery_serializers as wire
from apps.jobs.api.base import Jobs
from apps.jobs.models import JobDelivery
from apps.jobs.schedule_statuses import DeliveryStatus
from apps.jobs.services import deliveries
from apps.kernel.api.views import HubViewSet, Parameter


class JobDeliveryViewSet(Jobs, HubViewSet):  # type: ignore[misc]
    """What is owed for finished jobs."""

    model = JobDelivery
    serializer_class = wire.JobDeliverySerializer
    scopes = {"list": "jobs:read", "retrieve": "jobs:read", "create": "jobs:write", "retry": "jobs:write"}
    inputs = {"create": wire.NewDeliverySerializer}
    outputs = {"create": (202, wire.JobDeliverySerializer), "retry": (202, wire.JobDeliverySerializer)}
    query_parameters = {
        "list": [
            Parameter("job", "The job's number.", column="job__number"),
            Parameter("status", "Only in this state.", choices=tuple(DeliveryStatus.values), column="status"),
        ]
    }

    def get_queryset(self) -> QuerySet[JobDelivery]:
        return selectors.deliveries_of(self.organization)

    def create(self, request: Request) -> Response:
        """Bring the file of a finished export somewhere now

        It also needs the scope `records:read`, and to a place `locations:read`.
        """
        self.also_needs("records:read")
        values = self.validated()
        job = selectors.job_of(self.organization, values.pop("job"))
        given = self.destinations_of([values])
        (row,) = deliveries.order(job=job, destinations=given, actor=self.actor)
        where = {"Location": f"{request.path}/{row.public_id}"}
        return Response(self.represent(row), status=202, headers=where)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:
        """Try a failed delivery again"""
        row = deliveries.retry(delivery=self.get_object(), actor=self.actor)
        return Response(self.represent(row), status=202)
