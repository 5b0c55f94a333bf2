"""Limits of keys, applications and an organization: what is set, what holds, and how much is left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys.limiter.plans import SECOND
from apps.apikeys.models import APIKey, Application, RateLimit
from apps.apikeys.principals import subject_of
from apps.apikeys.services import applications, ceilings, limits
from apps.apikeys.services.limits import MOST, Target
from apps.kernel.api import etag
from apps.kernel.api.serializers import StrictSerializer
from apps.kernel.api.views import HubAPIView, find
from apps.kernel.errors import NotFound

# On the wire → in the model.
_NAMES = {
    "requests_per_minute": "per_minute",
    "requests_per_hour": "per_hour",
    "requests_per_day": "per_day",
    "burst_limit": "burst",
    "enabled": "enabled",
}


def _count(help_text: str) -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=MOST, help_text=help_text
    )


class _Numbers(StrictSerializer):
    enabled = serializers.BooleanField(
        required=False, default=True, help_text="False: nothing less specific limits these calls either."
    )
    requests_per_minute = _count("In any 60 seconds. Null: what is less specific holds.")
    requests_per_hour = _count("In any hour.")
    requests_per_day = _count("In any 24 hours.")
    burst_limit = _count("At once; regained at the steady pace of the shortest limit.")


class EndpointLimitsSerializer(_Numbers):
    """Limits of some endpoints, besides those of all calls."""

    endpoint = serializers.CharField(
        max_length=200, help_text="Method and path without /api and version, such as `GET /records/*`."
    )


class RateLimitsSerializer(_Numbers):
    """What is set. It replaces everything that was set before."""

    endpoints = EndpointLimitsSerializer(many=True, required=False)


class EffectiveLimitSerializer(serializers.Serializer[Any]):
    """One limit that holds."""

    name = serializers.CharField(help_text="As the headers RateLimit and RateLimit-Policy name it.")
    limit = serializers.IntegerField()
    window_seconds = serializers.IntegerField()
    remaining = serializers.IntegerField()
    reset_seconds = serializers.IntegerField(help_text="After so many seconds one more call is allowed.")
    source = serializers.ChoiceField(  # type: ignore[assignment]
        [("installation", "installation"), *((str(kind), str(kind)) for kind in RateLimit.For)],
        help_text="Where it is set.",
    )
    endpoint = serializers.CharField(help_text="Empty: all calls together.")


class RateLimitsAnswerSerializer(serializers.Serializer[Any]):
    """What is set for a caller, and what holds."""

    enabled = serializers.BooleanField()
    requests_per_minute = serializers.IntegerField(allow_null=True)
    requests_per_hour = serializers.IntegerField(allow_null=True)
    requests_per_day = serializers.IntegerField(allow_null=True)
    burst_limit = serializers.IntegerField(allow_null=True)
    endpoints = EndpointLimitsSerializer(many=True)
    effective = EffectiveLimitSerializer(many=True, help_text="What holds, from wherever it is set.")
    throttled = serializers.BooleanField(help_text="Whether the next call would be refused.")
    throttled_until = serializers.DateTimeField(allow_null=True)


class _LimitsView(HubAPIView):
    inputs = {"put": RateLimitsSerializer}
    outputs = {"get": RateLimitsAnswerSerializer, "put": RateLimitsAnswerSerializer}
    sparse = False

    def target(self, id: str) -> Target:
        raise NotImplementedError

    def get(self, request: Request, id: str = "") -> Response:
        return self.shown(self.target(id))

    def shown(self, target: Target) -> Response:
        """With an ETag of what is set; how much is left changes with every call."""
        return Response(_answer(target), headers={"ETag": etag.of_value(_set(target))})

    def put(self, request: Request, id: str = "") -> Response:
        target = self.target(id)
        limits.refuse_own(target, subject_of(self.principal))
        etag.check_tag(request, etag.of_value(_set(target)))
        limits.put(
            target=target,
            actor=self.actor,
            **inner_limits(self.validated()),
            only_lower=limits.is_limited(self.organization, subject_of(self.principal)),
        )
        return self.shown(target)


class KeyLimitsView(_LimitsView):
    """Limits of a key, and of the keys that it is rotated to."""

    scopes = {"get": "api-keys:read", "put": "api-keys:write"}
    model = APIKey

    def target(self, id: str) -> Target:
        key = find(self.get_queryset().select_related("organization"), id)
        ceiling = ceilings.of_calling_key(self.principal)
        if ceiling is not None and self.request.method == "PUT":
            ceilings.check(key, ceiling)
        return limits.of_key(key)

    def get(self, request: Request, id: str = "") -> Response:
        """Limits of a key

        What is set for the key, what holds for it, and how much is left.
        """
        return super().get(request, id)

    def put(self, request: Request, id: str = "") -> Response:
        """Set the limits of a key

        They replace everything set for it before, and hold from the next call on. A program sets those of
        keys that may do no more than itself, and not its own; one with limits of its own lowers them only.
        """
        return super().put(request, id)


class ApplicationLimitsView(_LimitsView):
    """Limits of an OAuth2 application: of all its tokens together."""

    scopes = {"get": "applications:read", "put": "applications:write"}

    def target(self, id: str) -> Target:
        found = Application.objects.filter(organization=self.organization, client_id=id).first()
        if "\x00" in id or found is None:
            raise NotFound(f"There is no application “{id[:60]}”.")
        if self.request.method == "PUT":
            applications.check_held(found, self.principal)
        return limits.of_application(self.organization, found)

    def get(self, request: Request, id: str = "") -> Response:
        """Limits of an application

        `id` is the client id.
        """
        return super().get(request, id)

    def put(self, request: Request, id: str = "") -> Response:
        """Set the limits of an application"""
        return super().put(request, id)


class OrganizationLimitsView(_LimitsView):
    """Limits of each caller of the organization that has none of its own."""

    scopes = {"get": "organization:read", "put": "organization:write"}

    def target(self, id: str) -> Target:
        return limits.everybody(self.organization)

    def get(self, request: Request, id: str = "") -> Response:
        """Limits of every caller

        What holds for each key and application by itself, unless something is set for it.
        """
        return super().get(request, id)

    def put(self, request: Request, id: str = "") -> Response:
        """Set the limits of every caller"""
        return super().put(request, id)


def inner_limits(values: dict[str, Any]) -> dict[str, Any]:
    """Validated limits as the service takes them: `whole` and `endpoints`."""
    endpoints = [{"endpoint": item["endpoint"], **_inner(item)} for item in values.get("endpoints", ())]
    return {"whole": _inner(values), "endpoints": endpoints}


def _inner(values: dict[str, Any]) -> dict[str, Any]:
    return {inner: values[outer] for outer, inner in _NAMES.items() if outer in values}


def _outer(rule: RateLimit | None) -> dict[str, Any]:
    if rule is None:
        return {**dict.fromkeys(_NAMES), "enabled": True}
    return {outer: getattr(rule, inner) for outer, inner in _NAMES.items()}


def _set(target: Target) -> dict[str, Any]:
    rules = {rule.endpoint: rule for rule in limits.rules_of(target)}
    return {
        **_outer(rules.pop("", None)),
        "endpoints": [{"endpoint": rule.endpoint, **_outer(rule)} for rule in rules.values()],
    }


def _answer(target: Target) -> dict[str, Any]:
    state = limits.state_of(target)
    until = timezone.now() + timedelta(seconds=state.wait) if state.throttled else None
    return {
        **_set(target),
        "effective": [
            {
                "name": item.counter.name,
                "limit": item.counter.limit,
                "window_seconds": item.counter.seconds,
                "remaining": standing.remaining,
                "reset_seconds": -(-standing.wait // SECOND),
                "source": item.source,
                "endpoint": item.endpoint,
            }
            for item, standing in state.limits
        ],
        "throttled": state.throttled,
        "throttled_until": until,
    }
