from django.apps import AppConfig


class ConnectorsConfig(AppConfig):
    name = "apps.connectors"
    label = "connectors"
    verbose_name = "Connectors"

    def ready(self) -> None:
        from apps.connectors import checks as checks
        from apps.connectors.admin import cards
        from apps.connectors.events import TYPES
        from apps.connectors.inbound import SYNC, keeper
        from apps.connectors.registry import load
        from apps.events.catalog import event_types
        from apps.events.inbound import effects, keepers

        load()
        for event_type in TYPES:
            event_types.register(event_type)
        keepers.register(keeper)
        effects.register(SYNC)
        cards.register()
