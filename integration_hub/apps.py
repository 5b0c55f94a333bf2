from django.apps import AppConfig


class IntegrationHubConfig(AppConfig):
    """Makes the roof an app, for its management commands, and the Celery app the current one."""

    name = "integration_hub"
    verbose_name = "Integration Hub"

    def ready(self) -> None:
        from integration_hub.celery import app

        app.set_default()
