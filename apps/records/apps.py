from django.apps import AppConfig


class RecordsConfig(AppConfig):
    name = "apps.records"
    label = "records"
    verbose_name = "Records"

    def ready(self) -> None:
        from apps.events.catalog import TypeSource, event_types, type_sources
        from apps.records.catalog import datasets
        from apps.records.datasets import BUILTIN
        from apps.records.event_types import types_of_own_datasets
        from apps.records.events import types_of
        from apps.records.services.datasets import provision
        from apps.records.synonyms import known_abroad
        from apps.tenants.services.organizations import founders

        for spec in map(known_abroad, BUILTIN):
            datasets.register(spec)
            for event_type in types_of(spec):
                event_types.register(event_type)
        type_sources.register(TypeSource("datasets", types_of_own_datasets))
        if provision not in founders:
            founders.append(provision)
