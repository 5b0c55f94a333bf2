from apps.webhooks.models.deliveries import BatchItem, Delivery, DeliveryAttempt, Payload
from apps.webhooks.models.endpoints import WebhookEndpoint
from apps.webhooks.models.inbound import (
    InboundAttempt,
    InboundCount,
    InboundReceiver,
    InboundRejection,
    InboundWebhook,
    MerchantTransaction,
)

__all__ = [
    "BatchItem",
    "Delivery",
    "DeliveryAttempt",
    "InboundAttempt",
    "InboundCount",
    "InboundReceiver",
    "InboundRejection",
    "InboundWebhook",
    "MerchantTransaction",
    "Payload",
    "WebhookEndpoint",
]
