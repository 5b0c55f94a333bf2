"""Fill the hub with a believable organization, and serve it with its other side."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.kernel.errors import HubError


class Command(BaseCommand):
    help = (
        "Fill the hub with a believable organization from public data, then serve it together with a "
        "provider and a receiver on this machine, until Ctrl-C. Run again, it repairs and goes on."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--fill-only", action="store_true", help="fill, and do not serve anything")
        parser.add_argument(
            "--with-parent", action="store_true", help="stop when the starting process has gone"
        )
        parser.add_argument("--fill", action="store_true", help="the filling itself, in this process")

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["fill"]:
            given = [f"--{name.replace('_', '-')}" for name in ("fill_only", "with_parent") if options[name]]
            # Replaces this process, so that the supervisor carries no Django.
            os.execv(sys.executable, [sys.executable, "-m", "integration_hub.demo", *given])  # noqa: S606
        from integration_hub.demo.fill import NotAllowed, fill
        from integration_hub.demo.source import MissingData

        try:
            fill(self.stdout.write)
        except (MissingData, NotAllowed) as error:
            raise CommandError(str(error)) from None
        except HubError as error:
            raise CommandError(f"The demo stopped: {error.detail}") from error
