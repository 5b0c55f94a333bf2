from django.apps import AppConfig


class ApikeysConfig(AppConfig):
    name = "apps.apikeys"
    label = "apikeys"
    verbose_name = "API access"

    def ready(self) -> None:
        from apps.apikeys.api import schema as schema
        from apps.apikeys.events import EVENT_TYPES
        from apps.apikeys.services.idempotency import DatabaseStore
        from apps.events.catalog import event_types
        from apps.kernel.api import idempotency

        for event_type in EVENT_TYPES:
            event_types.register(event_type)
        idempotency.use(DatabaseStore())
