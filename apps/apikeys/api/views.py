"""`/api-keys`: making, listing, changing and ending API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys.api.serializers import (
    IssuedKeySerializer,
    KeyChangeSerializer,
    KeySerializer,
    NewKeySerializer,
    ReasonSerializer,
    RotationSerializer,
    SigningSecretSerializer,
    attributes,
    new_key_attributes,
)
from apps.apikeys.models import APIKey
from apps.apikeys.services import ceilings, keys, rotation
from apps.apikeys.services.keymaking import IssuedKey
from apps.apikeys.statuses import KeyStatus
from apps.kernel.api.views import ANY_CALLER, HubAPIView, HubViewSet, Parameter
from apps.kernel.errors import NotFound


class APIKeyViewSet(HubViewSet):
    """Keys with which programs call this API."""

    model = APIKey
    serializer_class = KeySerializer
    scopes = {
        "list": "api-keys:read",
        "retrieve": "api-keys:read",
        "create": "api-keys:write",
        "partial_update": "api-keys:write",
        "destroy": "api-keys:delete",
        "rotate": "api-keys:write",
        "revoke": "api-keys:delete",
        "suspend": "api-keys:write",
        "resume": "api-keys:write",
        "collect": "api-keys:write",
        "signing_secret": "api-keys:write",
    }
    inputs = {
        "create": NewKeySerializer,
        "partial_update": KeyChangeSerializer,
        "rotate": RotationSerializer,
        "revoke": ReasonSerializer,
        "suspend": ReasonSerializer,
    }
    outputs = {
        "create": (201, IssuedKeySerializer),
        "rotate": (201, IssuedKeySerializer),
        "collect": IssuedKeySerializer,
        "signing_secret": SigningSecretSerializer,
    }
    query_parameters = {
        "list": [
            Parameter(
                "status", "Only keys in this status.", choices=tuple(KeyStatus.values), column="status"
            ),
            Parameter(
                "environment",
                "Only keys of this environment.",
                choices=tuple(APIKey.Environment.values),
                column="environment",
            ),
            Parameter(
                "key_type", "Only keys of this type.", choices=tuple(APIKey.Type.values), column="key_type"
            ),
        ]
    }
    ordering_fields = {"created_at": "id", "name": "name"}
    search_fields = ("name", "number", "prefix")

    def create(self, request: Request) -> Response:
        """Create a key

        The answer holds the key itself, this once. It may be given at most the scopes that the caller has.
        """
        values = new_key_attributes(self.validated())
        issued = keys.create(
            organization=self.organization, actor=self.actor, ceiling=self.ceiling(), **values
        )
        return self._issued(issued)

    def partial_update(self, request: Request, id: str) -> Response:
        """Change a key

        Scopes and permissions can be taken away, never added: create another key for more.
        """
        key, values = self.get_object(), attributes(self.validated(partial=True))
        self.check_if_match(key)
        return self.answer(keys.change(key=key, actor=self.actor, ceiling=self.ceiling(), **values))

    def destroy(self, request: Request, id: str) -> Response:
        """Revoke a key for ever

        The same as `revoke`; the key stays in the list as revoked, with its history.
        """
        key = self.get_object()
        self.check_if_match(key)
        keys.revoke(key=key, actor=self.actor, ceiling=ceilings.of_calling_key(self.principal))
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, id: str) -> Response:
        """Rotate a key

        Issues a successor with the same rights; the old key works on for the overlap.
        """
        key = self.get_object()
        overlap = timedelta(seconds=self.validated()["overlap_seconds"])
        issued = rotation.rotate(key=key, actor=self.actor, overlap=overlap, ceiling=self.ceiling())
        return self._issued(issued)

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, id: str) -> Response:
        """Revoke a key for ever"""
        reason = self.validated()["reason"]
        ceiling = ceilings.of_calling_key(self.principal)
        key = keys.revoke(key=self.get_object(), actor=self.actor, reason=reason, ceiling=ceiling)
        return self.answer(key)

    @action(detail=True, methods=["post"])
    def suspend(self, request: Request, id: str) -> Response:
        """Suspend a key until it is resumed"""
        reason = self.validated()["reason"]
        ceiling = ceilings.of_calling_key(self.principal)
        key = keys.suspend(key=self.get_object(), actor=self.actor, reason=reason, ceiling=ceiling)
        return self.answer(key)

    @action(detail=True, methods=["post"])
    def resume(self, request: Request, id: str) -> Response:
        """Let a suspended key in again"""
        return self.answer(keys.resume(key=self.get_object(), actor=self.actor, ceiling=self.ceiling()))

    @action(detail=True, methods=["post"])
    def collect(self, request: Request, id: str) -> Response:
        """Collect a key that was made by an automatic rotation

        The answer holds the key itself, this once.
        """
        issued = rotation.collect(key=self.get_object(), actor=self.actor, ceiling=self.ceiling())
        return told_once(self, issued, status=200)

    @action(detail=True, methods=["post"], url_path="signing-secret")
    def signing_secret(self, request: Request, id: str) -> Response:
        """Make a signing secret

        The answer holds it, this once. From then on every call with the key must be signed with it; a former
        one stops working at once.
        """
        issued = rotation.renew_signing_secret(
            key=self.get_object(), actor=self.actor, ceiling=self.ceiling()
        )
        data = {**self.represent(issued.key), "signing_secret": issued.signing_secret}
        return Response(data, headers={"Cache-Control": "no-store"})

    def ceiling(self) -> ceilings.Ceiling:
        return ceilings.of(self.principal)

    def _issued(self, issued: IssuedKey) -> Response:
        response = told_once(self, issued, status=201)
        response.headers["Location"] = (
            f"{self.request.path.partition('/api-keys')[0]}/api-keys/{issued.key.number}"
        )
        return response


class CurrentKeyView(HubAPIView):
    """The key with which the call is made."""

    serializer_class = KeySerializer
    scopes = {"get": ANY_CALLER}

    def get(self, request: Request) -> Response:
        """Ask about one's own key

        Any key may ask this about itself, whatever its scopes.
        """
        return self.answer(own_key(self.principal))


class CollectView(HubAPIView):
    """The successor that waits for the calling key."""

    serializer_class = KeySerializer
    scopes = {"post": ANY_CALLER}
    outputs = {"post": IssuedKeySerializer}
    sparse = False

    def post(self, request: Request) -> Response:
        """Collect the successor of one's own key

        After an automatic rotation: the answer holds the new key, this once. The old one works on until its
        overlap ends.
        """
        successor = rotation.successor_of(own_key(self.principal))
        return told_once(self, rotation.collect(key=successor, actor=self.actor), status=200)


def own_key(principal: Any) -> APIKey:
    """The caller's key, as it is stored now. Raises NotFound for other callers."""
    key = getattr(principal, "key", None)
    if not isinstance(key, APIKey):
        raise NotFound("This call was not made with an API key.")
    return APIKey.objects.select_related("organization").get(pk=key.pk)


def told_once(view: HubAPIView, issued: IssuedKey, *, status: int) -> Response:
    """The answer that holds a secret."""
    data: dict[str, Any] = {
        **view.represent(issued.key, lambda key: KeySerializer(key).data),
        "key": issued.secret,
        "signing_secret": issued.signing_secret or None,
    }
    return Response(data, status=status, headers={"Cache-Control": "no-store"})
