from apps.webhooks.models.deliveries import Delivery, DeliveryAttempt, Payload
from apps.webhooks.models.endpoints import WebhookEndpoint

__all__ = ["Delivery", "DeliveryAttempt", "Payload", "WebhookEndpoint"]
