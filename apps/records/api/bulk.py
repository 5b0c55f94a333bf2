"""`records/{dataset}/bulk`: many rows in one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel import ids
from apps.kernel.api.parameters import Parameter
from apps.kernel.api.parsers import HubJSONParser, NDJSONParser
from apps.kernel.api.views import HubAPIView, find
from apps.kernel.errors import BadRequest, FieldError, Forbidden, HubError, InvalidInput, TooLarge
from apps.records import selectors
from apps.records.api import representations
from apps.records.api.serializers import VALUES_SCHEMA, BulkResultSerializer
from apps.records.mapping import MappingSpec
from apps.records.models import Dataset, Mapping
from apps.records.services.outcomes import BatchOutcome, Mode
from apps.records.services.upsert import upsert
from apps.tenants.principals import Actor

MOST_ROWS = 10_000
BATCH = 2000


class BulkView(HubAPIView):
    """Many rows in one call.

    A JSON array of up to 10,000 rows, or newline-delimited JSON (`application/x-ndjson`) of any length, which
    is read and written in batches: each batch of 2,000 rows is durable when it is done. Wrong rows are left
    out and reported; the others are written. With an `Idempotency-Key` a repeated call is not written twice.
    """

    scopes = {"post": "records:write"}
    parser_classes = [HubJSONParser, NDJSONParser]
    max_body_bytes = 64 * 2**20
    streams_body = True
    idempotency_lease = 900
    query_parameters = {
        "post": [
            Parameter(
                "mode",
                "create: only new records; update: only existing ones; upsert: both; replace: both, and what "
                "no row names is deleted (needs records:delete).",
                choices=tuple(str(mode) for mode in Mode),
                default=str(Mode.UPSERT),
            ),
            Parameter("dry_run", "Check everything, change nothing.", type="boolean", default=False),
            Parameter("mapping", "Id of a saved mapping; without it names are the dataset's field names."),
        ]
    }
    path_parameters = {"dataset": "The dataset, such as clients."}

    @extend_schema(
        request={
            "application/json": {"type": "array", "maxItems": MOST_ROWS, "items": VALUES_SCHEMA},
            "application/x-ndjson": {"type": "string", "description": "One JSON object per line."},
        },
        responses={200: BulkResultSerializer},
    )
    def post(self, request: Request, dataset: str) -> Response:
        """Write many records"""
        found = selectors.dataset_of(self.organization, dataset)
        mode, dry_run = self.parameters["mode"], self.parameters["dry_run"]
        if mode == Mode.REPLACE:
            self.need_feature("bulk_replace")
        if mode == Mode.REPLACE and not self.principal.allows("records:delete"):
            raise Forbidden("Mode replace deletes records: it needs the scope “records:delete”, too.")
        mapping = self._mapping(found)
        rows = self._rows(request.data)
        so_far = BatchOutcome(first_row=1)
        try:
            result = upsert(
                dataset=found,
                rows=rows,
                actor=self._actor(),
                mapping=mapping,
                mode=mode,
                dry_run=dry_run,
                batch_size=BATCH,
                on_batch=lambda batch: _add(so_far, batch),
            )
        except (BadRequest, TooLarge) as exc:
            raise _cut_short(exc, so_far, dry_run) from exc
        return Response(representations.bulk_result(result, mode=mode, dry_run=dry_run))

    def _actor(self) -> Actor:
        """The caller, under a name of its own for this call, so that undo takes back this call alone."""
        call = ids.encode(ids.uuid7_int())
        return replace(
            self.actor, ref=f"{self.actor.ref}/{call}"[:120], label=f"{self.actor.label}, bulk write"
        )

    def _mapping(self, dataset: Dataset) -> MappingSpec | None:
        ref = self.parameters.get("mapping")
        if not ref:
            return None
        mapping: Mapping = find(Mapping.objects.filter(organization=self.organization), ref)
        if mapping.dataset_id != dataset.pk:
            detail = f"The mapping “{mapping.name}” belongs to another dataset."
            raise BadRequest(detail, errors=[FieldError("?mapping", "other_dataset", detail)])
        return MappingSpec.from_dict(mapping.spec)

    def _rows(self, data: Any) -> Iterator[Any]:
        if isinstance(data, list):
            if len(data) > MOST_ROWS:
                raise TooLarge(
                    f"{len(data):,} rows in one array; at most {MOST_ROWS:,} are taken. Send "
                    "newline-delimited JSON (application/x-ndjson) for more."
                )
            return _objects(iter(data))
        if isinstance(data, Iterator):
            return _objects(data)
        detail = "An array of rows is expected."
        raise InvalidInput(detail, errors=[FieldError("", "not_an_array", detail)])


def _objects(rows: Iterator[Any]) -> Iterator[Any]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise BadRequest(f"Row {number} is not an object.", code="not_an_object")
        yield row


def _add(total: BatchOutcome, batch: BatchOutcome) -> None:
    for name in ("rows", "created", "updated", "unchanged", "restored", "deleted", "failed"):
        setattr(total, name, getattr(total, name) + getattr(batch, name))


def _cut_short(exc: HubError, done: BatchOutcome, dry_run: bool) -> HubError:
    """The problem of a body that turned out to be broken, with what had been written until then."""
    if done.rows and not dry_run:
        exc.detail += f" The {done.rows:,} rows before were written."
    exc.problem_members = {  # type: ignore[attr-defined]
        "written": {
            name: 0 if dry_run else getattr(done, name)
            for name in ("rows", "created", "updated", "unchanged", "restored", "failed")
        }
    }
    return exc
