"""`/replays`: orders to send again, and how far they are."""

from __future__ import annotations

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter
from apps.webhooks.api import replay_serializers as wire
from apps.webhooks.choices import Choice
from apps.webhooks.models import Replay
from apps.webhooks.services import replays
from apps.webhooks.statuses import ReplayStatus

_READ, _WRITE = "webhooks:read", "webhooks:write"


class ReplayViewSet(HubViewSet):
    """Orders to send again."""

    model = Replay
    serializer_class = wire.ReplayedSerializer
    scopes = {"list": _READ, "retrieve": _READ, "pause": _WRITE, "resume": _WRITE, "cancel": _WRITE}
    outputs = {"resume": (202, wire.ReplayedSerializer)}
    query_parameters = {
        "list": [
            Parameter("webhook", "Only those of this endpoint.", column="endpoint__number"),
            Parameter(
                "status", "Only those in this state.", choices=tuple(ReplayStatus.values), column="status"
            ),
        ]
    }

    def get_queryset(self) -> QuerySet[Replay]:
        return super().get_queryset().select_related("endpoint", "organization")

    @action(detail=True, methods=["post"])
    def pause(self, request: Request, id: str) -> Response:
        """Pause a replay

        What is owed by then is sent.
        """
        return Response(self.represent(replays.pause(replay=self.get_object(), actor=self.actor)))

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Go on with a replay that was paused, or that failed"""
        row = replays.resume(replay=self.get_object(), actor=self.actor)
        return Response(self.represent(row), status=202)

    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, id: str) -> Response:
        """Cancel a replay

        What is owed by then is sent.
        """
        return Response(self.represent(replays.cancel(replay=self.get_object(), actor=self.actor)))


def ordered(view: HubAPIView, choice: Choice, *, count_only: bool) -> Response:
    """The answer to a wish to send again: the order with its address, or only the number."""
    if count_only:
        return Response(wire.ReplayedSerializer(replays.count(choice)).data)
    row = replays.order(organization=view.organization, choice=choice, actor=view.actor)
    base = view.request.path.split("/webhooks/")[0].split("/deliveries")[0]
    headers = {"Location": f"{base}/replays/{row.number}"}
    return Response(wire.ReplayedSerializer(row).data, status=202, headers=headers)
