from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "apps.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from apps.events.catalog import Subscriber, event_types, subscribers
        from apps.webhooks.admin import cards
        from apps.webhooks.events import EVENT_TYPES
        from apps.webhooks.services.intake import take, wants

        for event_type in EVENT_TYPES:
            event_types.register(event_type)
        subscribers.register(Subscriber(name="webhooks", wants=wants, take=take))
        cards.register()
