"""`/webhooks` and `/deliveries`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api import etag
from apps.kernel.api.views import HubViewSet, Parameter, paged
from apps.kernel.errors import BadRequest, FieldError, InvalidInput, NotFound
from apps.tenants.models import Project
from apps.webhooks import selectors
from apps.webhooks.api import replay_serializers as replay_wire
from apps.webhooks.api import serializers as wire
from apps.webhooks.api.replays import ordered
from apps.webhooks.api.shapes import flat, kept_secrets, nested
from apps.webhooks.models import Delivery, DeliveryAttempt, WebhookEndpoint
from apps.webhooks.services import deliveries, endpoints, forgetting, pausing, previews, replays
from apps.webhooks.statuses import Chosen, DeliveryStatus, EndpointStatus, HealthStatus

_READ, _WRITE = "webhooks:read", "webhooks:write"
_SINCE = Parameter("since", "Only what was created from this time on.", type="date-time")
_UNTIL = Parameter("until", "Only what was created before this time.", type="date-time")
_DELIVERIES = [
    Parameter("status", "Only deliveries in these states, separated by commas."),
    _SINCE,
    _UNTIL,
]


class WebhookViewSet(HubViewSet):
    """Endpoints: where events are sent to."""

    model = WebhookEndpoint
    serializer_class = wire.EndpointSerializer
    scopes = {
        "list": _READ,
        "retrieve": _READ,
        "create": _WRITE,
        "update": _WRITE,
        "partial_update": _WRITE,
        "destroy": "webhooks:delete",
        "test": _WRITE,
        "preview": _READ,
        "pause": _WRITE,
        "resume": _WRITE,
        "rotate_secret": _WRITE,
        "replay": _WRITE,
        "deliveries": _READ,
        "logs": _READ,
        "statistics": _READ,
        "all_statistics": _READ,
    }
    inputs = {
        "create": wire.NewEndpointSerializer,
        "update": wire.EndpointChangeSerializer,
        "partial_update": wire.EndpointChangeSerializer,
        "test": wire.TestSerializer,
        "preview": wire.PreviewInputSerializer,
        "pause": wire.PauseSerializer,
        "rotate_secret": wire.RotateSerializer,
        "replay": replay_wire.ReplaySerializer,
    }
    outputs = {
        "create": (201, wire.CreatedEndpointSerializer),
        "retrieve": wire.EndpointDetailSerializer,
        "test": wire.TestResultSerializer,
        "preview": wire.PreviewSerializer,
        "rotate_secret": (201, wire.SecretSerializer),
        "replay": (202, replay_wire.ReplayedSerializer),
        "deliveries": wire.DeliverySerializer,
        "logs": wire.DeliverySerializer,
        "statistics": wire.StatisticsSerializer,
        "all_statistics": wire.OrganizationStatisticsSerializer,
    }
    query_parameters = {
        "list": [
            Parameter(
                "status",
                "Only endpoints in this state.",
                choices=tuple(EndpointStatus.values),
                column="status",
            ),
            Parameter(
                "health",
                "Only endpoints of this health.",
                choices=tuple(HealthStatus.values),
                column="health_status",
            ),
            Parameter("event", "Only endpoints that get this type of event."),
        ],
        "deliveries": _DELIVERIES,
        "logs": _DELIVERIES,
        "statistics": [_SINCE],
        "all_statistics": [_SINCE],
    }
    search_fields = ("name", "number")

    def get_queryset(self) -> QuerySet[WebhookEndpoint]:
        event = self.parameters.get("event", "") if self.what == "list" else ""
        return selectors.endpoints_of(self.organization, event=event).select_related(
            "organization", "project"
        )

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read an endpoint, with its numbers and last deliveries"""
        endpoint = self.get_object()
        return self._answer(endpoint, render=lambda obj: wire.EndpointDetailSerializer(obj).data)

    def create(self, request: Request) -> Response:
        """Create an endpoint

        The answer holds the signing secret, this once.
        """
        values = self._values(self.validated())
        endpoint = _checked(
            lambda: endpoints.create(organization=self.organization, actor=self.actor, **values)
        )
        data = {**self.represent(endpoint), "secret": endpoint.secret}
        headers = {
            "Location": f"{request.path}/{endpoint.number}",
            "ETag": etag.etag_of(endpoint),
            "Cache-Control": "no-store",
        }
        return Response(data, status=201, headers=headers)

    def update(self, request: Request, id: str) -> Response:
        """Replace the settings of an endpoint

        What is not given goes back to its default; a masked secret (`***`) stays as it is.
        """
        return self._change(partial=False)

    def partial_update(self, request: Request, id: str) -> Response:
        """Change settings of an endpoint

        Only what is given changes; a masked secret (`***`) stays as it is.
        """
        return self._change(partial=True)

    def _change(self, *, partial: bool) -> Response:
        endpoint = self.get_object()
        expected = endpoint.version if self.check_if_match(endpoint) else None
        values = self._values(self.validated(partial=partial))
        status = values.pop("status", None)
        if not partial:
            values = _defaults() | values
        values = kept_secrets(values, endpoint)
        _checked(
            lambda: endpoints.update(endpoint=endpoint, actor=self.actor, expected_version=expected, **values)
        )
        if status == EndpointStatus.INACTIVE and endpoint.status != status:
            pausing.deactivate(endpoint=endpoint, actor=self.actor)
        elif status == EndpointStatus.ACTIVE and endpoint.status != status:
            pausing.resume(endpoint=endpoint, actor=self.actor)
        return self._answer(endpoint)

    def destroy(self, request: Request, id: str) -> Response:
        """Remove an endpoint

        What waits for it is cancelled; its deliveries stay as history.
        """
        endpoint = self.get_object()
        self.check_if_match(endpoint)
        endpoints.remove(endpoint=endpoint, actor=self.actor)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def test(self, request: Request, id: str) -> Response:
        """Send a test message now and see the answer"""
        values = self.validated()
        attempt = endpoints.send_test(
            endpoint=self.get_object(),
            actor=self.actor,
            event_type=values["event_type"],
            data=values.get("data"),
        )
        return Response(wire.TestResultSerializer(attempt).data)

    @action(detail=True, methods=["post"])
    def preview(self, request: Request, id: str) -> Response:
        """See a past event as the endpoint would get it

        Nothing is sent. Filters and the form of the message can be tried out before they are saved.
        """
        values = flat(self.validated())
        ref = values.pop("event")
        try:
            found = previews.preview(endpoint=self.get_object(), event_ref=ref, settings=values)
        except InvalidInput as error:
            raise nested(error) from None
        return Response(wire.PreviewSerializer(found).data)

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Hold deliveries until the endpoint is resumed"""
        reason = self.validated()["reason"]
        return self._answer(pausing.pause(endpoint=self.get_object(), actor=self.actor, reason=reason))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Send again, what was held first"""
        return self._answer(pausing.resume(endpoint=self.get_object(), actor=self.actor))

    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, id: str) -> Response:
        """Give the endpoint a new signing secret

        The old one signs too for `overlap_seconds` seconds. The answer holds the new secret, this once.
        """
        values = self.validated()
        keep_for, endpoint = timedelta(seconds=values["overlap_seconds"]), self.get_object()
        secret = endpoints.rotate_secret(
            endpoint=endpoint,
            actor=self.actor,
            keep_for=keep_for,
            secret=values["secret"],
            kind=values["kind"],
        )
        data = {
            "secret": secret,
            "public_key": endpoint.public_key,
            "old_secret_ends_at": timezone.now() + keep_for,
        }
        return Response(wire.SecretSerializer(data).data, status=201, headers={"Cache-Control": "no-store"})

    @action(detail=True, methods=["post"])
    def replay(self, request: Request, id: str) -> Response:
        """Send again what the endpoint got, or did not get, since a time

        With the same ids and bytes as the first time, in the background: `Location` says how far it is, at
        `replays/{id}`. `count_only` says how many it would be.
        """
        values = self.validated()
        count_only = values.pop("count_only")
        choice = replays.choose(organization=self.organization, endpoint=self.get_object(), **values)
        return ordered(self, choice, count_only=count_only)

    @action(detail=True, methods=["get"])
    @paged
    def deliveries(self, request: Request, id: str) -> Response:
        """List the deliveries of an endpoint, newest first"""
        rows = selectors.deliveries_of(
            self.organization,
            endpoint=self.get_object(),
            statuses=statuses(self.parameters.get("status", "")),
            since=self.parameters.get("since"),
            until=self.parameters.get("until"),
        )
        return self.page(rows, lambda row: wire.DeliverySerializer(row).data, filtered=True)

    @action(detail=True, methods=["get"])
    @paged
    def logs(self, request: Request, id: str) -> Response:
        """The same as `deliveries`"""
        return self.deliveries(request, id)

    @action(detail=True, methods=["get"])
    def statistics(self, request: Request, id: str) -> Response:
        """Read the numbers of an endpoint, of the last 30 days unless told otherwise"""
        sums = selectors.statistics_of([self.get_object().pk], since=self.parameters.get("since"))
        return Response(wire.StatisticsSerializer(sums).data)

    @action(detail=False, methods=["get"], url_path="statistics", url_name="all-statistics")
    def all_statistics(self, request: Request) -> Response:
        """Read the numbers of all endpoints together"""
        mine = selectors.endpoints_of(self.organization).order_by()
        sums: dict[str, Any] = selectors.statistics_of(mine.values("pk"), since=self.parameters.get("since"))
        sums["by_status"] = dict(mine.values_list("status").annotate(Count("pk")))
        sums["by_health"] = dict(mine.values_list("health_status").annotate(Count("pk")))
        sums["endpoints"] = sum(sums["by_status"].values())
        return Response(wire.OrganizationStatisticsSerializer(sums).data)

    def _values(self, validated: dict[str, Any]) -> dict[str, Any]:
        values = flat(validated)
        ref = values.get("project")
        if ref is not None:
            pk = Project.parse_public_id(ref)
            project = Project.objects.filter(organization=self.organization, pk=pk).first() if pk else None
            if project is None:
                raise NotFound(f"There is no project {ref[:60]!r} in this organization.")
            values["project"] = project
        return values

    def _answer(self, endpoint: WebhookEndpoint, render: Callable[[Any], Any] | None = None) -> Response:
        # The ETag is for If-Match alone: health and numbers change without it, so there is no 304.
        return Response(self.represent(endpoint, render), headers={"ETag": etag.etag_of(endpoint)})


def statuses(text: str) -> list[str]:
    """States from a list with commas. Raises BadRequest for one that is none."""
    found = [one for one in text.split(",") if one]
    unknown = [one for one in found if one not in DeliveryStatus.values]
    if unknown:
        raise BadRequest(
            f"{unknown[0][:40]!r} is no state of a delivery; there are {', '.join(DeliveryStatus.values)}."
        )
    return found


def _delivery_ids(refs: list[str]) -> list[UUID]:
    """Ids from public ids; those of nobody's deliveries find nothing. Raises InvalidInput."""
    found = [Delivery.parse_public_id(ref) for ref in refs]
    if None in found:
        n = found.index(None)
        told = f"{refs[n][:60]!r} is no id of a delivery (dlv_…)."
        raise InvalidInput(errors=[FieldError(f"/ids/{n}", "invalid", told)])
    return [pk for pk in found if pk is not None]


def _defaults() -> dict[str, Any]:
    """What a full replacement sets where it says nothing."""
    fresh = WebhookEndpoint()
    return {
        name: getattr(fresh, name) for name in endpoints.EDITABLE if name not in ("name", "url", "events")
    }


def _checked(deed: Callable[[], WebhookEndpoint]) -> WebhookEndpoint:
    try:
        return deed()
    except InvalidInput as error:
        raise nested(error) from None


class DeliveryViewSet(HubViewSet):
    """Deliveries: messages owed to endpoints, and every try at them."""

    model = Delivery
    serializer_class = wire.DeliverySerializer
    scopes = {
        "list": _READ,
        "retrieve": _READ,
        "retry": _WRITE,
        "retry_many": _WRITE,
        "cancel": _WRITE,
        "attempts": _READ,
        "expunge": "webhooks:delete",
    }
    inputs = {"expunge": wire.ExpungeSerializer, "retry_many": replay_wire.RetrySerializer}
    outputs = {
        "retrieve": wire.DeliveryDetailSerializer,
        "retry": (202, wire.DeliverySerializer),
        "retry_many": (202, replay_wire.ReplayedSerializer),
        "attempts": wire.AttemptSerializer,
        "expunge": wire.ExpungedSerializer,
    }
    query_parameters = {"list": _DELIVERIES}

    def get_queryset(self) -> QuerySet[Delivery]:
        asked = self.parameters if self.what == "list" else {}
        return selectors.deliveries_of(
            self.organization,
            statuses=statuses(asked.get("status", "")),
            since=asked.get("since"),
            until=asked.get("until"),
        )

    def get_object(self) -> Delivery:
        return selectors.delivery_of(self.organization, self.kwargs["id"])

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read a delivery with the exact bytes of its message"""
        return Response(
            self.represent(self.get_object(), lambda row: wire.DeliveryDetailSerializer(row).data)
        )

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:
        """Send a delivery again, now

        One that waits for its next try goes at once; one that failed starts its schedule over; one that was
        delivered is sent as a new delivery with the same id and bytes. The answer is what will be sent.
        """
        return Response(
            self.represent(deliveries.retry(delivery=self.get_object(), actor=self.actor)), status=202
        )

    @action(detail=False, methods=["post"], url_path="retry", url_name="retry-many")
    def retry_many(self, request: Request) -> Response:
        """Send many deliveries again

        Those with these `ids`, or those that fit the rest, in the background: `Location` says how far it is,
        at `replays/{id}`. `count_only` says how many it would be.
        """
        values = self.validated()
        count_only, webhook = values.pop("count_only"), values.pop("webhook")
        choice = replays.choose(
            organization=self.organization,
            what=Chosen.SELECTED,
            endpoint=selectors.endpoint_of(self.organization, webhook) if webhook else None,
            delivery_ids=_delivery_ids(values.pop("ids")),
            statuses=values.pop("status"),
            **values,
        )
        return ordered(self, choice, count_only=count_only)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """Stop trying to send a delivery"""
        return Response(self.represent(deliveries.cancel(delivery=self.get_object(), actor=self.actor)))

    @action(detail=True, methods=["post"])
    def expunge(self, request: Request, id: str) -> Response:
        """Remove what a delivery says, for good

        The data of its event, the messages made of it for every endpoint, and what receivers answered are
        erased; the deliveries stay, those that wait are cancelled. It cannot be taken back.
        """
        concerned = forgetting.expunge(
            delivery=self.get_object(), actor=self.actor, reason=self.validated()["reason"]
        )
        return Response(wire.ExpungedSerializer({"deliveries": concerned}).data)

    @action(detail=True, methods=["get"])
    @paged
    def attempts(self, request: Request, id: str) -> Response:
        """List the tries at a delivery, the last one first"""
        tries = DeliveryAttempt.objects.filter(delivery=self.get_object())
        return self.page(tries, lambda row: wire.AttemptSerializer(row).data, filtered=True)
