"""`/import/{id}/corrections…`, `/import/{id}/causes`: what is wrong by cause, and setting it right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.jobs.api.base import JobView
from apps.jobs.api.imports import import_of
from apps.jobs.api.serializers import CauseSerializer, CorrectionSerializer
from apps.jobs.models import Cause, Correction, Job
from apps.jobs.services import corrections
from apps.jobs.services.corrections import Edit
from apps.jobs.statuses import CorrectionKind, Severity
from apps.kernel.api.keyset import Order
from apps.kernel.api.serializers import StrictSerializer
from apps.kernel.api.views import Parameter, paged
from apps.kernel.errors import FieldError, InvalidInput


class CauseRefSerializer(StrictSerializer):
    """A cause of the last check."""

    code = serializers.CharField(max_length=60)
    field = serializers.CharField(max_length=60, required=False, allow_blank=True, default="")
    column = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class NewCorrectionSerializer(StrictSerializer):
    """A correction of one cell (`row`, `column`, `value`), of one row (`skip`, `accept`), or of a `cause`."""

    row = serializers.IntegerField(
        min_value=1, required=False, help_text="Number of the data row, from 1, as in the list of errors."
    )
    cause = CauseRefSerializer(required=False, help_text="All rows of this cause instead of one.")
    kind = serializers.ChoiceField(CorrectionKind.choices, default=CorrectionKind.SET)
    column = serializers.CharField(max_length=200, required=False, default="")
    value = serializers.CharField(
        required=False, allow_blank=True, default="", trim_whitespace=False, max_length=corrections.MAX_VALUE
    )
    find = serializers.CharField(
        required=False, allow_blank=True, default="", trim_whitespace=False, max_length=corrections.MAX_VALUE
    )


class CorrectionsSerializer(StrictSerializer):
    corrections = serializers.ListField(
        child=NewCorrectionSerializer(), allow_empty=False, max_length=corrections.MAX_AT_ONCE
    )


class TakeBackSerializer(StrictSerializer):
    corrections = serializers.ListField(
        child=serializers.CharField(max_length=60),
        required=False,
        max_length=corrections.MAX_AT_ONCE,
        help_text="Ids; without it all are taken back.",
    )


class TakenBackSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()


class MadeSerializer(serializers.Serializer[Any]):
    data = CorrectionSerializer(many=True)  # type: ignore[assignment]


class CorrectionsView(JobView):
    model = Correction
    scopes = {"get": "jobs:read", "post": "jobs:write"}
    inputs = {"post": CorrectionsSerializer}
    outputs = {"get": CorrectionSerializer, "post": (201, MadeSerializer)}
    serializer_class = CorrectionSerializer

    def order_of(self) -> Order:
        return Order("id", False)

    @paged
    def get(self, request: Request, id: str) -> Response:
        """List the corrections of an import

        They are applied in this order, at each check and at the run.
        """
        job = import_of(self, id)
        secret = corrections.sensitive_columns(job)
        return self.page(Correction.objects.filter(job=job), lambda item: represent(item, secret))

    def post(self, request: Request, id: str) -> Response:
        """Correct cells and rows of an import

        The file stays as it was sent. Check again to see what is still wrong. All corrections are made, or
        none of them.
        """
        self.also_needs("records:write")
        job = import_of(self, id)
        made = corrections.make(
            job=job,
            actor=self.actor,
            wanted=_wanted(job, self.validated(CorrectionsSerializer)["corrections"]),
        )
        secret = corrections.sensitive_columns(job)
        return Response({"data": [represent(item, secret) for item in made]}, status=201)


def _wanted(job: Job, given: Sequence[dict[str, Any]]) -> list[Edit | corrections.Fix]:
    wanted: list[Edit | corrections.Fix] = []
    for number, item in enumerate(given):
        cause, row = item.get("cause"), item.get("row")
        if (cause is None) == (row is None):
            detail = "Name either the row or the cause."
            raise InvalidInput(detail, errors=[FieldError(f"/corrections/{number}/row", "required", detail)])
        if cause is not None:
            found = corrections.cause_of(job, **cause)
            wanted.append(corrections.Fix(found, item["kind"], item["value"], item["find"]))
        elif row is not None:
            wanted.append(Edit(row, item["kind"], item["column"], item["value"], item["find"]))
    return wanted


def represent(item: Correction, secret: set[str]) -> dict[str, Any]:
    return {**CorrectionSerializer(item).data, "value": corrections.shown_value(item, secret)}


class TakeBackView(JobView):
    scopes = {"post": "jobs:write"}
    inputs = {"post": TakeBackSerializer}
    outputs = {"post": TakenBackSerializer}

    def post(self, request: Request, id: str) -> Response:
        """Take back corrections of an import: those that are named, or all of them"""
        self.also_needs("records:write")
        job = import_of(self, id)
        named = self.validated(TakeBackSerializer).get("corrections")
        found = None if named is None else [corrections.correction_of(job, ref) for ref in named]
        return Response({"count": corrections.take_back(job=job, actor=self.actor, corrections=found)})


class CausesView(JobView):
    model = Cause
    scopes = {"get": "jobs:read"}
    outputs = {"get": CauseSerializer}
    serializer_class = CauseSerializer
    query_parameters = {
        "get": [
            Parameter("severity", "Errors or warnings.", choices=tuple(Severity.values), column="severity")
        ]
    }

    def order_of(self) -> Order:
        return Order("id", False)

    @paged
    def get(self, request: Request, id: str) -> Response:
        """List what is wrong with an import, by cause

        Of the last check, the most frequent first, with the most frequent wrong values of each.
        `jobs/{id}/errors` lists the errors row by row.
        """
        return self.page(Cause.objects.filter(job=import_of(self, id)))
