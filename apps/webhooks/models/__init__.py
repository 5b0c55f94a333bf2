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
from apps.webhooks.models.replays import Replay
from apps.webhooks.models.tallies import AttemptTally, TallyMark

__all__ = [
    "AttemptTally",
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
    "Replay",
    "TallyMark",
    "WebhookEndpoint",
]
