"""manage.py rotate_keys: move all encrypted values to the active key; add keys; drop unused ones."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.kernel import deeds
from apps.kernel.crypto import rotation
from apps.kernel.crypto.errors import KeyRingError
from apps.kernel.crypto.keyring import get_keyring


class Command(BaseCommand):
    help = (
        "Re-encrypts every secret with the active key, while the hub runs. Start it again if it was "
        "interrupted: what is done is skipped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--new-key", action="store_true", help="first add a key and make it the active one"
        )
        parser.add_argument("--prune", action="store_true", help="finally drop the keys that nothing uses")
        parser.add_argument("--batch-size", type=int, default=rotation.BATCH, help="rows read at once")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        batch = max(1, options["batch_size"])
        quiet = options["json"] or options["verbosity"] < 1
        result: dict[str, Any] = {"added": None, "dropped": []}
        try:
            if options["new_key"]:
                result["added"] = get_keyring().add_key()
                if not quiet:
                    self.stdout.write(f"Key {result['added']} was added and is active.")
            counts = rotation.reencrypt(batch=batch)
            if options["prune"] and not any(model.failed for model in counts):
                pruned = rotation.prune(batch=batch)
                result["dropped"] = pruned.dropped
            ring = get_keyring()
        except KeyRingError as exc:
            raise CommandError(exc.detail) from None
        moved = sum(model.reencrypted for model in counts)
        if result["added"] or result["dropped"] or moved:
            told = {"added": [None, result["added"]], "dropped": [result["dropped"], None]}
            deeds.tell("keyring.rotated", {**told, "reencrypted": [None, moved]})
        failed = [line for model in counts for line in model.failed]
        result |= {
            "active": ring.active_id,
            "keys": list(ring.key_ids),
            "reencrypted": sum(model.reencrypted for model in counts),
            "already_current": sum(model.current for model in counts),
            "failed": failed,
            "models": {
                model.label: {
                    "reencrypted": model.reencrypted,
                    "already_current": model.current,
                    "failed": len(model.failed),
                }
                for model in counts
            },
        }
        if options["json"]:
            self.stdout.write(json.dumps(result))
        elif not quiet:
            self._report(counts, result)
        if failed:
            raise CommandError(
                f"{len(failed)} secrets could not be decrypted; old keys were kept. Enter them again."
            )

    def _report(self, counts: list[rotation.ModelCounts], result: dict[str, Any]) -> None:
        for model in counts:
            self.stdout.write(
                f"{model.label}: {model.reencrypted} re-encrypted, {model.current} were current, "
                f"{len(model.failed)} failed"
            )
        for line in result["failed"]:
            self.stderr.write(line)
        if result["dropped"]:
            self.stdout.write(f"Dropped unused keys: {', '.join(result['dropped'])}.")
        self.stdout.write(f"Active key: {result['active']}. Keys in the ring: {', '.join(result['keys'])}.")
