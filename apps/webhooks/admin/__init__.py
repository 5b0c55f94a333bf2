"""The staff door of webhooks: endpoints and what was sent to them."""

from apps.webhooks.admin import deliveries as deliveries
from apps.webhooks.admin import endpoints as endpoints
