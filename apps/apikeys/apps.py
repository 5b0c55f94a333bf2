from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ApikeysConfig(AppConfig):
    name = "apps.apikeys"
    label = "apikeys"
    verbose_name = "API access"

    def ready(self) -> None:
        from apps.apikeys import limiter, limits, quotas
        from apps.apikeys.api import schema as schema
        from apps.apikeys.events import EVENT_TYPES
        from apps.apikeys.services import api_versions, applications, bearers, outages, shares, verified
        from apps.apikeys.services.idempotency import DatabaseStore
        from apps.events.catalog import event_types
        from apps.kernel.api import idempotency
        from apps.kernel.api.versions import versions
        from apps.kernel.crypto import peppers
        from apps.tenants.services import access

        for event_type in EVENT_TYPES:
            event_types.register(event_type)
        idempotency.use(DatabaseStore())
        peppers.also_count("secrets of OAuth applications", applications.secrets_by_pepper)
        versions.use(api_versions.states)
        if bearers.access_changed not in access.listeners:
            access.listeners.append(bearers.access_changed)
        post_migrate.connect(_declare_versions, sender=self)
        limiter.on_change(verified.forget_all)
        limiter.on_change(bearers.forget_all)
        limiter.on_change(quotas.forget_all)
        limiter.on_outage(outages.notice)
        limits.on_share(shares.notice)


def _declare_versions(**kwargs: Any) -> None:
    """Rows for versions that a release has added."""
    from apps.apikeys.services import api_versions

    if kwargs.get("using", "default") == "default" and not kwargs.get("plan_only"):
        api_versions.sync()
