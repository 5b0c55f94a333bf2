"""`/job-schedules`."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.api import schedule_serializers as wire
from apps.jobs.api.base import Jobs
from apps.jobs.models import JobSchedule
from apps.jobs.schedule_statuses import RunStatus, ScheduleStatus
from apps.jobs.services import schedules
from apps.jobs.statuses import JobType
from apps.kernel.api import etag
from apps.kernel.api.keyset import Order
from apps.kernel.api.views import HubViewSet, Parameter, paged
from apps.kernel.errors import FieldError, InvalidInput
from apps.records.models import Mapping
from apps.records.selectors import dataset_of

_READ, _WRITE = "schedules:read", "schedules:write"


class JobScheduleViewSet(Jobs, HubViewSet):  # type: ignore[misc]
    """Imports and exports that run by the clock."""

    model = JobSchedule
    serializer_class = wire.ScheduleSerializer
    scopes = {
        "list": _READ,
        "retrieve": _READ,
        "create": _WRITE,
        "partial_update": _WRITE,
        "destroy": "schedules:delete",
        "run": _WRITE,
        "pause": _WRITE,
        "resume": _WRITE,
        "runs": _READ,
        "files": _READ,
    }
    inputs = {"create": wire.NewScheduleSerializer, "partial_update": wire.ScheduleChangeSerializer}
    outputs = {
        "create": (201, wire.ScheduleDetailSerializer),
        "retrieve": wire.ScheduleDetailSerializer,
        "partial_update": wire.ScheduleDetailSerializer,
        "pause": wire.ScheduleDetailSerializer,
        "resume": wire.ScheduleDetailSerializer,
        "run": (202, wire.RunSerializer),
        "runs": wire.RunSerializer,
        "files": wire.FetchedFileSerializer,
    }
    query_parameters = {
        "list": [
            Parameter("job_type", "Imports or exports.", choices=tuple(JobType.values), column="job_type"),
            Parameter("dataset", "The dataset's slug.", column="dataset__slug"),
            Parameter("status", "Only in this state.", choices=tuple(ScheduleStatus.values), column="status"),
        ],
        "runs": [
            Parameter("status", "Only runs in this state.", choices=tuple(RunStatus.values), column="status")
        ],
    }
    search_fields = ("number", "name")

    def get_queryset(self) -> QuerySet[JobSchedule]:
        return selectors.schedules_of(self.organization)

    def _detail(self, schedule: JobSchedule) -> Response:
        fresh = self.get_queryset().get(pk=schedule.pk)
        return self.answer(fresh, render=lambda row: wire.ScheduleDetailSerializer(row).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read a schedule, with its next runs"""
        return self._detail(self.get_object())

    def create(self, request: Request) -> Response:
        """Make a schedule

        Of an import it also needs the scope `records:write`, of an export `records:read`.
        """
        values = self._given(self.validated())
        values["dataset"] = dataset_of(self.organization, values["dataset"])
        self._needs(values["job_type"], values)
        schedule = schedules.create(organization=self.organization, actor=self.actor, **values)
        response = self._detail(schedule)
        response.status_code = 201
        response.headers["Location"] = f"{request.path}/{schedule.number}"
        response.headers["ETag"] = etag.etag_of(schedule)
        return response

    def partial_update(self, request: Request, id: str) -> Response:
        """Change a schedule

        Only what is given changes; lists and objects as a whole. `enabled` pauses or resumes it.
        """
        schedule = self.get_object()
        self.check_if_match(schedule)
        values = self._given(self.validated(partial=True))
        self._needs(schedule.job_type, values)
        enabled = values.pop("enabled", None)
        schedules.update(schedule=schedule, actor=self.actor, **values)
        if enabled is False and schedule.status == ScheduleStatus.ACTIVE:
            schedules.pause(schedule=schedule, actor=self.actor)
        elif enabled is True and schedule.status == ScheduleStatus.PAUSED:
            schedules.resume(schedule=schedule, actor=self.actor)
        return self._detail(schedule)

    def destroy(self, request: Request, id: str) -> Response:
        """Delete a schedule and its history

        The jobs that it made stay.
        """
        schedule = self.get_object()
        self.check_if_match(schedule)
        schedules.delete(schedule=schedule, actor=self.actor)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def run(self, request: Request, id: str) -> Response:
        """Run now, besides the clock"""
        schedule = self.get_object()
        self._needs(schedule.job_type, {})
        run = schedules.run_now(schedule=schedule, actor=self.actor)
        where = self.location(f"job-schedules/{schedule.number}/runs")
        return Response(wire.RunSerializer(run).data, status=202, headers={"Location": where})

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Stop the clock of a schedule"""
        return self._detail(schedules.pause(schedule=self.get_object(), actor=self.actor))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Let a schedule run again, from its next time on"""
        schedule = self.get_object()
        self._needs(schedule.job_type, {})
        return self._detail(schedules.resume(schedule=schedule, actor=self.actor))

    @action(detail=True, methods=["get"])
    @paged
    def runs(self, request: Request, id: str) -> Response:
        """List a schedule's runs, newest first"""
        return self.page(selectors.runs_of(self.get_object()), lambda row: wire.RunSerializer(row).data)

    @action(detail=True, methods=["get"])
    @paged
    def files(self, request: Request, id: str) -> Response:
        """List the files that a schedule took, newest first"""
        rows = self.get_object().fetched.select_related("job")
        return self.page(rows, lambda row: wire.FetchedFileSerializer(row).data)

    def order_of(self) -> Any:
        return Order("id", True)

    def _needs(self, job_type: str, values: dict[str, Any]) -> None:
        """It acts for its maker, who must be allowed to do so directly."""
        self.also_needs("jobs:write")
        self.also_needs("records:write" if job_type == JobType.IMPORT else "records:read")
        if values.get("source"):
            self.also_needs("locations:read")

    def _given(self, values: dict[str, Any]) -> dict[str, Any]:
        """Names of places and mappings, resolved within the organization."""
        if values.get("source"):
            values["source"] = self.place_of(values["source"], "/source")
        if values.get("export_template"):
            values["export_template"] = self.template_of(values["export_template"], "/export_template")
        if values.get("mapping"):
            pk = Mapping.parse_public_id(values["mapping"])
            mapping = Mapping.objects.filter(organization=self.organization, pk=pk).first() if pk else None
            if mapping is None:
                raise _missing("/mapping", f"There is no mapping “{values['mapping'][:60]}”.")
            values["mapping"] = mapping
        if "destinations" in values:
            values["destinations"] = self.destinations_of(values["destinations"])
        return values


def _missing(pointer: str, detail: str) -> InvalidInput:
    return InvalidInput(detail, errors=[FieldError(pointer, "not_found", detail)])
