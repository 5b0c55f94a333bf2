from django.apps import AppConfig


class RecordsConfig(AppConfig):
    name = "apps.records"
    label = "records"
    verbose_name = "Records"

    def ready(self) -> None:
        from apps.events.catalog import event_types
        from apps.records.catalog import datasets
        from apps.records.datasets import BUILTIN
        from apps.records.events import types_of
        from apps.records.services.datasets import provision
        from apps.tenants.services.organizations import founders

        for spec in BUILTIN:
            datasets.register(spec)
            for event_type in types_of(spec):
                event_types.register(event_type)
        if provision not in founders:
            founders.append(provision)
