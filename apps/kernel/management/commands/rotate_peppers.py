"""manage.py rotate_peppers: add a pepper, see what needs the old ones, and drop those that nothing needs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.kernel import deeds
from apps.kernel.crypto import peppers
from apps.kernel.crypto.errors import KeyRingError
from apps.kernel.crypto.hashing import get_peppers


class Command(BaseCommand):
    help = (
        "Adds a pepper, with which all new hashes are made, while the hub runs. Every API key moves to it "
        "when it is next used; --prune drops old peppers that nothing needs any more. Entries of the audit "
        "log and secrets of OAuth applications keep theirs, unless --give-up names it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--new-pepper", action="store_true", help="add a pepper and make it the active one"
        )
        parser.add_argument("--prune", action="store_true", help="drop the peppers that nothing needs")
        parser.add_argument(
            "--give-up",
            metavar="PEPPER",
            action="append",
            default=[],
            help="with --prune: drop this pepper although it is needed. What was hashed with it can never be "
            "verified again: entries of the audit log count as not genuine, applications need new secrets, "
            "keys are refused, people sign in again.",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        result: dict[str, Any] = {"added": None, "dropped": [], "unverifiable": {}}
        if options["give_up"] and not options["prune"]:
            raise CommandError("--give-up goes with --prune.")
        try:
            if options["new_pepper"]:
                result["added"] = get_peppers().add_key()
            if options["prune"]:
                given_up = {name: peppers.lost_with(name) for name in options["give_up"]}
                result["dropped"] = peppers.prune(options["give_up"]).dropped
                result["unverifiable"] = {name: what for name, what in given_up.items() if what}
            ring = get_peppers()
        except KeyRingError as exc:
            raise CommandError(exc.detail) from None
        if result["added"] or result["dropped"]:
            deeds.tell(
                "peppers.rotated",
                {
                    "added": [None, result["added"]],
                    "dropped": [result["dropped"], None],
                    "unverifiable": [None, result["unverifiable"]],
                },
            )
        needed = peppers.in_use()
        result |= {
            "active": ring.active_id,
            "peppers": {name: needed[name] for name in ring.pepper_ids},
            "lost": {name: count for name, count in needed.items() if name not in ring.pepper_ids},
        }
        if options["prune"]:
            result["kept"] = {
                name: peppers.lost_with(name) for name in ring.pepper_ids if name != ring.active_id
            }
        if options["json"]:
            self.stdout.write(json.dumps(result))
            return
        for name, count in result["peppers"].items():
            mark = " (active)" if name == ring.active_id else ""
            self.stdout.write(f"{name}{mark}: needed by {count:,} hashes")
        for name, count in result["lost"].items():
            self.stderr.write(f"{name} is missing: {count:,} hashes made with it match nothing.")
        for name, what in result.get("kept", {}).items():
            self.stderr.write(
                f"{name} was kept: without it {what} could not be verified. "
                f"“--prune --give-up {name}” drops it all the same."
            )
        for name, what in result["unverifiable"].items():
            self.stderr.write(f"{name} was given up: {what} can never be verified again.")
        if result["dropped"]:
            self.stdout.write(f"Dropped: {', '.join(result['dropped'])}.")
