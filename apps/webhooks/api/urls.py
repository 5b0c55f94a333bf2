from django.urls import path

from apps.kernel.api.routers import HubRouter
from apps.webhooks.api.inbound import (
    InboundSchemesView,
    InboundSettingsView,
    InboundWebhookViewSet,
    MerchantTransactionViewSet,
)
from apps.webhooks.api.receive import ReceiveView
from apps.webhooks.api.replays import ReplayViewSet
from apps.webhooks.api.views import DeliveryViewSet, WebhookViewSet

router = HubRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")
router.register("deliveries", DeliveryViewSet, basename="delivery")
router.register("replays", ReplayViewSet, basename="replay")
router.register("inbound-webhooks", InboundWebhookViewSet, basename="inbound-webhook")
router.register("merchant-transactions", MerchantTransactionViewSet, basename="merchant-transaction")

urlpatterns = [
    path("webhooks/receive/<str:code>", ReceiveView.as_view(), name="webhook-receive"),
    path("inbound-schemes", InboundSchemesView.as_view(), name="inbound-schemes"),
    path("integrations/<str:id>/inbound", InboundSettingsView.as_view(), name="integration-inbound"),
    *router.urls,
]
