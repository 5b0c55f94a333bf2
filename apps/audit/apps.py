from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "apps.audit"
    label = "audit"
    verbose_name = "Audit"

    def ready(self) -> None:
        from apps.kernel import deeds
        from apps.kernel.crypto import peppers

        deeds.listen(_record)
        peppers.also_count("seals of the audit log", _seals)


def _record(action: str, changes: Mapping[str, Any]) -> None:
    from apps.audit.services import entries
    from apps.tenants.principals import Actor

    actor = Actor("command", action.partition(".")[0], "manage.py")
    entries.record(organization=None, actor=actor, action=action, changes=changes)


def _seals() -> Mapping[str, int]:
    from apps.audit.services import seals

    return seals.by_pepper()
