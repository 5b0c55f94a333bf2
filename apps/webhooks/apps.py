from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "apps.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"

    def ready(self) -> None:
        from apps.events.catalog import Callback, Subscriber, callbacks, event_types, subscribers
        from apps.events.inbound import Effect, SecretChange, effects, secret_changes
        from apps.kernel import metrics
        from apps.webhooks.admin import cards
        from apps.webhooks.events import EVENT_TYPES
        from apps.webhooks.inbound import schemes
        from apps.webhooks.metrics import collect
        from apps.webhooks.services.callbacks import ensure
        from apps.webhooks.services.inbound import effects as own
        from apps.webhooks.services.inbound.receivers import secret_changed
        from apps.webhooks.services.intake import take, wants

        for event_type in EVENT_TYPES:
            event_types.register(event_type)
        subscribers.register(Subscriber(name="webhooks", wants=wants, take=take))
        callbacks.register(Callback("webhook", ensure))
        schemes.load()
        effects.register(
            Effect("event", "Publish an event of the hub", own.check_event, own.run_event, own.run_events)
        )
        effects.register(Effect("record", "Write records", own.check_record, own.run_record))
        secret_changes.register(SecretChange("webhooks", secret_changed))
        cards.register()
        metrics.collectors["webhooks"] = collect
