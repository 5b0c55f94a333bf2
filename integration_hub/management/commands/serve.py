"""Run the hub. Found by `manage.py help`; `manage.py` itself starts it without Django."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    help = "Run web, worker and scheduler in one supervised process tree, or one of them with --only."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--only", choices=("web", "worker", "scheduler"))
        parser.add_argument("--queues")
        parser.add_argument("--with-parent", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        given = [f"--{name}={options[name]}" for name in ("only", "queues") if options[name]]
        given += ["--with-parent"] if options["with_parent"] else []
        # Replaces this process, so that the supervisor carries no Django.
        os.execv(sys.executable, [sys.executable, "-m", "integration_hub.runtime.serve", *given])  # noqa: S606
