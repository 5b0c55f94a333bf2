"""Health over HTTP: one word for everybody, details for those who may see them.

The public answers name no version, no host and no detail. `live` touches nothing outside the process.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.health import selectors
from apps.health.models import HealthCheck
from apps.health.probes import keys, migrations
from apps.health.services.checks import ask
from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.views import HubAPIView
from apps.kernel.probes import Probe, Verdict

DOWN = {"pass": 200, "warn": 200, "fail": 503}


class ServiceSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.ChoiceField(["pass", "warn", "fail", "unknown"])


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["pass", "warn", "fail"])
    services = ServiceSerializer(many=True)
    timestamp = serializers.DateTimeField()


class LivenessSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["pass", "fail"])


class CheckSerializer(serializers.ModelSerializer[HealthCheck]):
    class Meta:
        model = HealthCheck
        fields = ("name", "title", "status", "detail", "observed", "unit", "since", "checked_at")
        read_only_fields = fields


class DetailedSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["pass", "warn", "fail"])
    stale = serializers.BooleanField(help_text="Nobody has asked for three minutes: no worker lives.")
    checks = CheckSerializer(many=True)
    timestamp = serializers.DateTimeField()


class HealthView(HubAPIView):
    """The newest findings in one word each, and one live query."""

    scopes = {"get": PUBLIC}
    authentication_classes: tuple[Any, ...] = ()
    serializer_class = HealthSerializer

    @extend_schema(
        operation_id="health", responses={200: HealthSerializer, 503: HealthSerializer}, tags=["health"]
    )
    def get(self, request: Request, **_: Any) -> Response:
        try:
            health = selectors.overall()
        except DatabaseError:
            return Response(
                {
                    "status": "fail",
                    "services": [{"name": "Database", "status": "fail"}],
                    "timestamp": timezone.now(),
                },
                status=503,
            )
        services = [{"name": check.title, "status": check.status} for check in health.checks]
        body = {"status": health.status, "services": services, "timestamp": timezone.now()}
        return Response(body, status=DOWN[health.status])


class LiveView(HubAPIView):
    """The web process answers. For the container's liveness check."""

    scopes = {"get": PUBLIC}
    authentication_classes: tuple[Any, ...] = ()
    serializer_class = LivenessSerializer

    @extend_schema(operation_id="health_live", responses=LivenessSerializer, tags=["health"])
    def get(self, request: Request, **_: Any) -> Response:
        return Response({"status": "pass"})


class ReadyView(HubAPIView):
    """The hub can work: database, migrations and keys. For the load balancer."""

    scopes = {"get": PUBLIC}
    authentication_classes: tuple[Any, ...] = ()
    serializer_class = LivenessSerializer

    @extend_schema(
        operation_id="health_ready",
        responses={200: LivenessSerializer, 503: LivenessSerializer},
        tags=["health"],
    )
    def get(self, request: Request, **_: Any) -> Response:
        findings = [ask(Probe("migrations", "", migrations)), ask(Probe("keys", "", keys))]
        ready = all(finding.verdict is Verdict.PASS for finding in findings)
        return Response({"status": "pass" if ready else "fail"}, status=200 if ready else 503)


class DetailedView(HubAPIView):
    """Every check with its finding, for administrators."""

    scopes = {"get": "health:read"}
    serializer_class = DetailedSerializer

    @extend_schema(operation_id="health_detailed", responses=DetailedSerializer, tags=["health"])
    def get(self, request: Request, **_: Any) -> Response:
        health = selectors.overall()
        body = {
            "status": health.status,
            "stale": health.stale,
            "checks": CheckSerializer(health.checks, many=True).data,
            "timestamp": timezone.now(),
        }
        return Response(body)
