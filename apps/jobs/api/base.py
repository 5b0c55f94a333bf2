"""What all doors to jobs share."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.http import FileResponse
from rest_framework.response import Response

from apps.jobs import selectors
from apps.jobs.formats.writers import EXPORT_TYPES, MIME_TYPES
from apps.jobs.models import ExportTemplate, FileLocation, Job, JobArtifact
from apps.jobs.services import callbacks, downloads, exports
from apps.kernel.api.views import HubAPIView
from apps.kernel.errors import FieldError, Forbidden, InvalidInput, NotFound
from apps.records.selectors import dataset_of


class Jobs:
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

    def place_of(self, ref: str, pointer: str) -> FileLocation:
        """A place of the organization by its public id. Raises InvalidInput at the pointer."""
        try:
            return selectors.location_of(self.organization, ref)
        except NotFound as error:
            wrong = [FieldError(pointer, "not_found", error.detail)]
            raise InvalidInput(error.detail, errors=wrong) from None

    def template_of(self, ref: str, pointer: str) -> ExportTemplate:
        """An export template of the organization. Raises InvalidInput at the pointer."""
        try:
            return selectors.export_template_of(self.organization, ref)
        except NotFound as error:
            wrong = [FieldError(pointer, "not_found", error.detail)]
            raise InvalidInput(error.detail, errors=wrong) from None

    def destinations_of(self, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Destinations with the places that they name."""
        if any(one.get("location") for one in given):
            self.also_needs("locations:read")
        return [
            {**one, "location": self.place_of(one["location"], f"/destinations/{n}/location")}
            if one.get("location")
            else {**one, "location": None}
            for n, one in enumerate(given)
        ]

    def accepted(self, job: Job, serializer: type[Any], path: str) -> Response:
        return Response(serializer(job).data, status=202, headers={"Location": self.location(path)})


class JobView(Jobs, HubAPIView):
    """A door to jobs by HTTP method."""


def order_export(view: Any, values: dict[str, Any]) -> Job:
    view.also_needs("records:read")
    dataset = dataset_of(view.organization, values.pop("dataset"))
    if ref := values.pop("template", ""):
        template = view.template_of(ref, "/template")
        if template.dataset_id != dataset.pk:
            detail = "This template is of another dataset."
            raise InvalidInput(detail, errors=[FieldError("/template", "invalid", detail)])
        # What is said besides goes before what the template says.
        values = {**template.options, **{n: v for n, v in values.items() if n in view.request.data}}
    if values.get("notifications"):
        values["notifications"] = callbacks.settled(view.organization, values["notifications"], view.actor)
    values["destinations"] = view.destinations_of(values.get("destinations", []))
    return exports.create(organization=view.organization, dataset=dataset, actor=view.actor, **values)


FILES = tuple(kind.partition(";")[0] for kind in MIME_TYPES.values())
"""What templates and lists of errors are."""
EXPORTED = tuple(kind.partition(";")[0] for kind in EXPORT_TYPES.values())
"""What exported files are."""


def file_response(artifact: JobArtifact) -> FileResponse:
    return downloads.response(artifact, downloads.open_artifact(artifact))
