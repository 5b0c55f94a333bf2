"""Print the configuration in force, or the document that explains it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from integration_hub.config_table import VARIABLES, markdown


class Command(BaseCommand):
    help = "Show the configuration in force, without secrets."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--markdown", action="store_true", help="write docs/configuration.md instead")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["markdown"]:
            self.stdout.write(markdown(), ending="")
            return
        config = settings.HUB
        self.stdout.write(f"mode = {config.mode}")
        for variable in VARIABLES:
            value = getattr(config, variable.field)
            self.stdout.write(f"{variable.name} = {_shown(value, secret=variable.secret)}")


def _shown(value: Any, *, secret: bool) -> str:
    """`value` as a person reads it; of a secret only whether it is set."""
    if value is None or value in ("", ()):
        return "(not set)"
    if is_dataclass(value):
        shown = {item.name: getattr(value, item.name) for item in fields(value) if item.repr}
        return (
            " ".join(f"{name}={part}" for name, part in shown.items() if part not in (None, "", ()))
            or "(set)"
        )
    if secret:
        return "(set)"
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)
