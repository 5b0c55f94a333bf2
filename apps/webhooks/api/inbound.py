"""`/inbound-webhooks`, and the settings of an integration's inbound address."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.kernel.api.views import HubAPIView, HubViewSet, Parameter
from apps.webhooks import inbound_selectors as selectors
from apps.webhooks.inbound.schemes import schemes
from apps.webhooks.inbound_statuses import InboundStatus, TransactionStatus
from apps.webhooks.models import InboundWebhook, MerchantTransaction
from apps.webhooks.services.inbound import processing, receivers

_READ, _WRITE = "webhooks:read", "webhooks:write"


class InboundWebhookSerializer(serializers.Serializer[Any]):
    """One webhook in a list."""

    id = serializers.CharField(source="public_id")
    integration = serializers.CharField(source="receiver.number", help_text="The integration's number.")
    scheme = serializers.CharField(source="source", help_text="How it was signed: the provider's scheme.")
    event_type = serializers.CharField()
    external_id = serializers.CharField(help_text="The provider's id of the event.")
    status = serializers.ChoiceField(choices=InboundStatus.choices)
    signature_verified = serializers.BooleanField()
    received_at = serializers.DateTimeField()
    processed_at = serializers.DateTimeField(allow_null=True)
    retry_count = serializers.IntegerField()
    max_retries = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    error_message = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes of the body.")
    duplicates = serializers.IntegerField(help_text="How often the same event came again.")


class InboundAttemptSerializer(serializers.Serializer[Any]):
    """One try at working it off."""

    started_at = serializers.DateTimeField()
    duration_ms = serializers.IntegerField()
    status = serializers.CharField()
    error_code = serializers.CharField()
    error_message = serializers.CharField()
    effects = serializers.ListField(child=serializers.DictField())


class InboundWebhookDetailSerializer(InboundWebhookSerializer):
    """One webhook, with what was sent and what came of it."""

    method = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField(), help_text="As sent; secrets are masked.")
    content_type = serializers.CharField()
    payload = serializers.JSONField(
        allow_null=True, help_text="The body's JSON or form; null if it is neither."
    )
    body = serializers.SerializerMethodField(help_text="The raw body as text.")
    signature = serializers.CharField()
    remote_ip = serializers.CharField(allow_null=True)
    response = serializers.JSONField(
        allow_null=True, help_text="What was answered, where more than a 2xx was."
    )
    effects = serializers.ListField(child=serializers.DictField())
    metadata = serializers.JSONField()
    attempts = serializers.SerializerMethodField()

    def get_body(self, obj: InboundWebhook) -> str:
        return bytes(obj.body).decode("utf-8", "replace")

    def get_attempts(self, obj: InboundWebhook) -> list[dict[str, Any]]:
        return [dict(InboundAttemptSerializer(one).data) for one in selectors.attempts_of(obj)]


class InboundWebhookViewSet(HubViewSet):
    """What providers have sent."""

    model = InboundWebhook
    serializer_class = InboundWebhookSerializer
    scopes = {"list": _READ, "retrieve": _READ, "destroy": "webhooks:delete", "retry": _WRITE}
    outputs = {
        "retrieve": InboundWebhookDetailSerializer,
        "retry": (202, InboundWebhookSerializer),
    }
    query_parameters = {
        "list": [
            Parameter(
                "status",
                "Only webhooks in this state.",
                choices=tuple(InboundStatus.values),
                column="status",
            ),
            Parameter("integration", "Only webhooks of the integration with this number."),
            Parameter("event_type", "Only webhooks of this type.", column="event_type"),
            Parameter("external_id", "Only webhooks with this id of the provider's.", column="external_id"),
        ]
    }

    def get_queryset(self) -> QuerySet[InboundWebhook]:
        number = self.parameters.get("integration") if self.what == "list" else None
        return selectors.webhooks_of(self.organization, number=number, bodies=self.what != "list")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List inbound webhooks"""
        return self.page(self.get_queryset())

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read an inbound webhook, with its body, tries and effects"""
        return self.answer(self.get_object(), render=lambda obj: InboundWebhookDetailSerializer(obj).data)

    def destroy(self, request: Request, id: str) -> Response:
        """Delete an inbound webhook

        The same event, sent again, would be taken as new.
        """
        processing.remove(webhook=self.get_object(), actor=self.actor)
        return Response(status=204)

    @action(detail=True, methods=["post"])
    def retry(self, request: Request, id: str) -> Response:
        """Work a webhook off again

        From the beginning, by the present routes. One that waits or is worked off is refused with 409.
        """
        found = processing.retry(webhook=self.get_object(), actor=self.actor)
        return Response(InboundWebhookSerializer(found).data, status=202)


class RouteSerializer(serializers.Serializer[Any]):
    """What webhooks of some types cause."""

    name = serializers.CharField(required=False, max_length=120, allow_blank=True)
    enabled = serializers.BooleanField(required=False)
    match = serializers.ListField(
        child=serializers.CharField(max_length=200), help_text="Event types; * stands for any text."
    )
    where = serializers.CharField(
        required=False, max_length=500, allow_blank=True, help_text="A JMESPath condition on the payload."
    )
    effect = serializers.CharField(max_length=40, help_text="event, sync or record.")

    def get_fields(self) -> dict[str, Any]:
        # “with” cannot be the name of an attribute.
        return {**super().get_fields(), "with": serializers.DictField(required=False)}


class InboundSettingsSerializer(serializers.Serializer[Any]):
    """An integration's inbound address."""

    integration = serializers.CharField(source="number")
    url = serializers.SerializerMethodField(help_text="What the provider is given.")
    enabled = serializers.BooleanField()
    scheme = serializers.CharField(help_text="How the provider signs; empty: not chosen, nothing is taken.")
    options = serializers.DictField()
    routes = serializers.ListField(child=serializers.DictField())
    max_retries = serializers.IntegerField()
    silence_after_minutes = serializers.IntegerField(allow_null=True)
    silent_since = serializers.DateTimeField(allow_null=True)
    has_secret = serializers.SerializerMethodField()
    last_received_at = serializers.SerializerMethodField()
    statistics = serializers.SerializerMethodField(help_text="Sums of the last 24 hours.")

    def get_url(self, obj: Any) -> str:
        url: str = self.context["source"].url
        return url

    def get_has_secret(self, obj: Any) -> bool:
        return bool(self.context["source"].secret)

    def get_last_received_at(self, obj: Any) -> str | None:
        last = selectors.last_received_at(obj)
        return last.isoformat() if last else None

    def get_statistics(self, obj: Any) -> dict[str, int]:
        return selectors.sums_of(obj)


class InboundSettingsInput(serializers.Serializer[Any]):
    """A change of them; what is left out stays."""

    enabled = serializers.BooleanField(required=False)
    scheme = serializers.CharField(required=False, allow_blank=True, max_length=40)
    options = serializers.DictField(required=False)
    routes = RouteSerializer(many=True, required=False)
    max_retries = serializers.IntegerField(required=False, min_value=0, max_value=50)
    silence_after_minutes = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    secret = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=4096,
        write_only=True,
        help_text="The provider's secret. The old one is believed for an hour more.",
    )


class InboundSettingsView(HubAPIView):
    """How an integration's webhooks are verified, and what they cause."""

    scopes = {"get": "integrations:read", "put": "integrations:write", "patch": "integrations:write"}
    serializer_class = InboundSettingsSerializer
    inputs = {"put": InboundSettingsInput, "patch": InboundSettingsInput}
    outputs = {"put": InboundSettingsSerializer, "patch": InboundSettingsSerializer}

    def get(self, request: Request, id: str) -> Response:
        """Read an integration's inbound address, scheme and routes"""
        receiver, source = receivers.for_number(self.organization, id)
        return self._shown(receiver, source)

    def put(self, request: Request, id: str) -> Response:
        """Change the scheme, options, routes or secret of an inbound address"""
        return self._change(id)

    def patch(self, request: Request, id: str) -> Response:
        """Change some settings of an inbound address"""
        return self._change(id)

    def _change(self, number: str) -> Response:
        receiver, source = receivers.for_number(self.organization, number)
        self.check_if_match(receiver)
        values = self.validated()
        if "routes" in values:
            values["routes"] = [dict(route) for route in values["routes"]]
        secret = values.pop("secret", None)
        receivers.update(receiver=receiver, source=source, actor=self.actor, values=values, secret=secret)
        return self._shown(*receivers.for_number(self.organization, number))

    def _shown(self, receiver: Any, source: Any) -> Response:
        context = {"source": source}
        return self.answer(receiver, render=lambda obj: InboundSettingsSerializer(obj, context=context).data)


class InboundSchemeSerializer(serializers.Serializer[Any]):
    """A way of signing that the hub knows."""

    name = serializers.CharField()
    title = serializers.CharField()
    docs = serializers.CharField()
    hint = serializers.CharField()
    options = serializers.ListField(child=serializers.CharField())
    needs_secret = serializers.BooleanField()


class InboundSchemesView(HubAPIView):
    """Schemes of signatures."""

    scopes = {"get": "integrations:read"}
    serializer_class = InboundSchemeSerializer
    whole_lists = ("get",)
    sparse = False

    def get(self, request: Request) -> Response:
        """List the schemes by which inbound webhooks can be verified"""
        data = [InboundSchemeSerializer(item).data for item in schemes]
        return Response({"data": data, "next": None, "previous": None})


class MerchantTransactionSerializer(serializers.Serializer[Any]):
    """A payment that Payme or Click made for an order. Times of the provider are milliseconds since 1970."""

    id = serializers.CharField(source="public_id")
    integration = serializers.CharField(source="receiver.number")
    provider = serializers.CharField(source="receiver.scheme")
    external_id = serializers.CharField()
    dataset = serializers.CharField()
    order = serializers.CharField(source="order_key")
    amount = serializers.SerializerMethodField()
    currency = serializers.CharField()
    status = serializers.ChoiceField(choices=TransactionStatus.choices)
    reason = serializers.IntegerField(allow_null=True)
    create_time = serializers.IntegerField()
    perform_time = serializers.IntegerField()
    cancel_time = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    def get_amount(self, obj: MerchantTransaction) -> str:
        return obj.amount_text


class MerchantTransactionViewSet(HubViewSet):
    """Payments of Payme and Click."""

    model = MerchantTransaction
    serializer_class = MerchantTransactionSerializer
    scopes = {"list": _READ, "retrieve": _READ}
    query_parameters = {
        "list": [Parameter("order", "Only payments of the order with this key.", column="order_key")]
    }

    def get_queryset(self) -> QuerySet[MerchantTransaction]:
        return MerchantTransaction.objects.filter(organization=self.organization).select_related("receiver")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List payments of Payme and Click"""
        return self.page(self.get_queryset())

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read a payment"""
        return self.answer(self.get_object())
