"""A new key for signing JSON Web Tokens and id tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.apikeys.services import signing
from apps.tenants.principals import Actor

ACTOR = Actor("command", "rotate_signing_key", "manage.py rotate_signing_key")


class Command(BaseCommand):
    help = (
        "Make a new signing key. It is published at once and signs after --ahead, when everybody who keeps "
        "the key set has read it anew; the old ones are believed for --overlap beyond that."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ahead", type=int, default=3600, help="seconds until it signs (3600)")
        parser.add_argument("--overlap", type=int, default=86_400, help="seconds that old keys are believed")
        parser.add_argument("--drop", metavar="KID", help="believe this key no longer: its secret got out")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["drop"]:
            if not signing.drop(kid=options["drop"], actor=ACTOR):
                raise CommandError(f"There is no signing key {options['drop']}.")
            self.stdout.write(f"{options['drop']} is believed no longer: what it signed is refused.")
            return
        if options["ahead"] < 0 or options["overlap"] < 0:
            raise CommandError("--ahead and --overlap are seconds, zero or more.")
        key = signing.rotate(
            actor=ACTOR,
            ahead=timedelta(seconds=options["ahead"]),
            overlap=timedelta(seconds=options["overlap"]),
        )
        self.stdout.write(
            f"{key.kid} is published, and signs from {key.signs_from:%Y-%m-%d %H:%M:%S} UTC on."
        )
