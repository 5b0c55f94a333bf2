from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "apps.jobs"
    label = "jobs"
    verbose_name = "Imports and exports"

    def ready(self) -> None:
        from apps.events.catalog import event_types
        from apps.jobs.events import EVENT_TYPES

        for event_type in EVENT_TYPES:
            event_types.register(event_type)
