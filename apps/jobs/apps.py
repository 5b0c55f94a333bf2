from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "apps.jobs"
    label = "jobs"
    verbose_name = "Imports and exports"

    def ready(self) -> None:
        from apps.events.catalog import event_types
        from apps.jobs.events import EVENT_TYPES
        from apps.jobs.services.attachments import held_by_jobs
        from apps.jobs.services.control import origin_undone
        from apps.records.catalog import Attachments, Undone, attachments, undone

        for event_type in EVENT_TYPES:
            event_types.register(event_type)
        undone.register(Undone("job", origin_undone))
        attachments.register(Attachments("jobs", held_by_jobs))
