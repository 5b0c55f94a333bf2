"""Take back everything that one origin wrote: for origins too large for a page of the admin."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.records.models import Origin
from apps.records.services import history
from apps.tenants.principals import Actor


class Command(BaseCommand):
    help = "Take back everything that an origin (ori_…) wrote to records."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("origin", help="Public id of the origin, from its page in the admin.")
        parser.add_argument("--dry-run", action="store_true", help="Only say what would happen.")

    def handle(self, *args: Any, **options: Any) -> None:
        pk = Origin.parse_public_id(options["origin"])
        origin = Origin.objects.select_related("organization").filter(pk=pk).first() if pk else None
        if origin is None:
            raise CommandError(f"There is no origin {options['origin']}.")
        actor = Actor("command", "undo_origin", "manage.py undo_origin")
        result = history.undo(origin=origin, actor=actor, dry_run=options["dry_run"])
        done = "would be taken back" if options["dry_run"] else "taken back"
        self.stdout.write(f"{result.reverted:,} changes {done}; {result.refused:,} left as they are.")
        for conflict in result.conflicts[:20]:
            self.stdout.write(f"  {conflict.reason}")
