"""`/performance`: how fast and how well the API answered an organization, and what the numbers advise."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.apikeys.api.usage import SCOPE, SPAN, NumbersSerializer, PointSerializer, SpanSerializer, UsageView
from apps.apikeys.usage import performance, selectors
from apps.apikeys.usage.numbers import Numbers
from apps.apikeys.usage.performance import Advice, Measure, Recommendation
from apps.apikeys.usage.selectors import Group
from apps.kernel.api.views import Parameter
from apps.kernel.errors import BadRequest, FieldError

MOST = 200


class TimesSerializer(NumbersSerializer):
    """What calls add up to, with their work in the database. Times are in milliseconds."""

    error_rate = serializers.FloatField(allow_null=True, help_text="Percent of answers 400 and above.")
    server_error_rate = serializers.FloatField(allow_null=True, help_text="Percent of answers 500 and above.")
    longest_ms = serializers.SerializerMethodField()
    total_ms = serializers.SerializerMethodField()
    statements_per_call = serializers.FloatField(allow_null=True, help_text="SQL statements, on average.")
    database_share = serializers.FloatField(
        allow_null=True, help_text="Percent of the time that was spent waiting for the database."
    )

    def get_longest_ms(self, numbers: Numbers) -> float:
        return numbers.longest_us / 1000

    def get_total_ms(self, numbers: Numbers) -> float:
        return numbers.time_us / 1000


class EndpointSerializer(TimesSerializer):
    endpoint = serializers.CharField(help_text="Method and path, such as `GET /records/{dataset}`.")
    last_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Group) -> Any:
        moment = self.fields["last_at"].to_representation(instance.last_at) if instance.last_at else None
        return {"endpoint": instance.label, "last_at": moment, **TimesSerializer(instance.numbers).data}


class PerformanceSerializer(serializers.Serializer[Any]):
    span = SpanSerializer()
    totals = TimesSerializer()
    previous = TimesSerializer(help_text="The span of the same length just before.")
    series = PointSerializer(many=True)
    slowest = EndpointSerializer(many=True, help_text="The five endpoints with the longest p95.")


class EndpointsSerializer(serializers.Serializer[Any]):
    span = SpanSerializer()
    count = serializers.IntegerField(help_text="How many endpoints were called.")
    endpoints = EndpointSerializer(many=True)


class MeasureSerializer(serializers.Serializer[Measure]):
    """What was measured, and the bound from which on it is advised about."""

    name = serializers.CharField()
    value = serializers.FloatField()
    bound = serializers.FloatField()
    unit = serializers.CharField()


class RecommendationSerializer(serializers.Serializer[Recommendation]):
    code = serializers.ChoiceField(performance.CODES)
    severity = serializers.ChoiceField(performance.SEVERITIES)
    title = serializers.CharField()
    detail = serializers.CharField(help_text="The numbers in a sentence.")
    action = serializers.CharField(help_text="What to do.")
    endpoint = serializers.CharField(help_text="Method and path, or empty.")
    caller = serializers.CharField(help_text="The caller's name, or empty.")
    sample = serializers.IntegerField(help_text="The calls that it rests on.")
    measure = MeasureSerializer()
    share = serializers.FloatField(
        help_text="Percent of `share_of` in the span: the most that can be gained."
    )
    share_of = serializers.CharField()
    examples = serializers.ListField(
        child=serializers.CharField(), help_text="Request ids of the last failed calls that are kept."
    )


class AdviceSerializer(serializers.Serializer[Advice]):
    span = SpanSerializer()
    sample = serializers.IntegerField(help_text="All calls of the span.")
    recommendations = RecommendationSerializer(many=True)


class PerformanceView(UsageView):
    scopes = {"get": SCOPE}
    serializer_class = PerformanceSerializer
    query_parameters = SPAN

    def get(self, request: Request) -> Response:
        """Get the API's performance

        Latency percentiles, error rates and work in the database over a span, beside the span before; a
        series; and the endpoints that keep their callers waiting longest.
        """
        span = self.span()
        points = selectors.series(self.organization, span)
        earlier = performance.before(span, span.end - span.start)
        data = {
            "span": span,
            "totals": selectors.total(points),
            "previous": performance.total(performance.endpoints(self.organization, earlier)),
            "series": points,
            "slowest": performance.slowest(performance.endpoints(self.organization, span)),
        }
        return Response(PerformanceSerializer(data).data)


class EndpointsView(UsageView):
    scopes = {"get": SCOPE}
    serializer_class = EndpointsSerializer
    query_parameters = (
        *SPAN,
        Parameter(
            "ordering",
            "By the time of all calls together, a percentile, or a number; `-` is the largest first.",
            choices=performance.ORDERINGS,
            default="-time",
        ),
        Parameter("limit", f"How many endpoints at most (1 to {MOST}).", type="integer", default=50),
    )

    def get(self, request: Request) -> Response:
        """List the performance of endpoints

        Every endpoint that was called in the span, with latency percentiles, error rates, bytes, and SQL
        statements for each call.
        """
        limit, span = self.parameters.get("limit", 50), self.span()
        if not 1 <= limit <= MOST:
            detail = f"“limit” must be a whole number from 1 to {MOST}."
            raise BadRequest(detail, errors=[FieldError("?limit", "invalid", detail)], code="invalid")
        found = performance.endpoints(self.organization, span)
        ordering = self.parameters.get("ordering", "-time")
        data = {
            "span": span,
            "count": len(found),
            "endpoints": performance.ordered(found, ordering)[:limit],
        }
        return Response(EndpointsSerializer(data).data)


class RecommendationsView(UsageView):
    scopes = {"get": SCOPE}
    serializer_class = AdviceSerializer
    query_parameters = SPAN

    def get(self, request: Request) -> Response:
        """List recommendations

        What the numbers of the span advise, the gravest first: endpoints that fail, are slow, became slower
        than at the same time of an earlier week (in spans of more than six hours), make many SQL statements,
        send large answers or take most of the time, and callers that are stopped by limits or send calls that
        are refused. Nothing is advised on fewer than 100 calls, and what no longer holds is gone.
        """
        return Response(AdviceSerializer(performance.advise(self.organization, self.span())).data)
