"""The staff door of webhooks: endpoints and what was sent to them."""

from apps.webhooks.admin import deliveries as deliveries
from apps.webhooks.admin import endpoints as endpoints
from apps.webhooks.admin import inbound as inbound
from apps.webhooks.admin import live as live
from apps.webhooks.admin import receivers as receivers
from apps.webhooks.admin import replays as replays
