"""manage.py verify_audit: whether the audit log is what the hub has written."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.audit.services import verification
from apps.audit.services.verification import Result
from apps.kernel.crypto.errors import KeyRingError
from apps.tenants.models import Organization


class Command(BaseCommand):
    help = (
        "Verifies the audit log: entries changed, missing, out of order, cut off or foreign. Exit status: 0 "
        "if every chain is intact, 1 if one is broken, 2 if it could not be verified."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--organization", metavar="SLUG", help="only this organization's chain")
        which.add_argument("--hub", action="store_true", help="only the chain of what belongs to none")
        parser.add_argument("--quick", action="store_true", help="only what came since the last verification")
        parser.add_argument(
            "--anchors",
            metavar="FILE",
            action="append",
            type=Path,
            default=[],
            help="a kept copy of audit-anchors.ndjson, or a log that holds anchors; may be repeated",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        try:
            for result in self._results(options):
                found.append(result)
                if not options["json"]:
                    self._tell(result)
        except KeyRingError as exc:
            raise CommandError(exc.detail, returncode=2) from None
        except OSError as exc:
            raise CommandError(f"{exc.filename}: {exc.strerror}", returncode=2) from None
        intact = all(result.intact for result in found)
        if options["json"]:
            document = {"intact": intact, "chains": [result.as_json() for result in found]}
            self.stdout.write(json.dumps(document))
        else:
            rows, seconds = sum(r.checked for r in found), sum(r.seconds for r in found)
            rate = f", {rows / seconds:,.0f} a second" if seconds > 0.05 else ""
            verdict = "The audit log is intact" if intact else "The audit log is BROKEN"
            self.stdout.write(f"{verdict}: {rows:,} entries in {len(found)} chains{rate}.")
        if not intact:
            sys.exit(1)

    def _results(self, options: dict[str, Any]) -> Iterator[Result]:
        files = options["anchors"]
        outside = verification.outside_anchors(files)
        if options["hub"]:
            yield verification.verify(None, quick=options["quick"], outside=outside)
        elif options["organization"]:
            organization = Organization.objects.filter(slug=options["organization"]).first()
            if organization is None:
                raise CommandError(f"There is no organization “{options['organization']}”.", returncode=2)
            yield verification.verify(organization, quick=options["quick"], outside=outside)
        else:
            yield from verification.verify_all(quick=options["quick"], anchor_files=files)

    def _tell(self, result: Result) -> None:
        verdict = self.style.SUCCESS("intact") if result.intact else self.style.ERROR("BROKEN")
        self.stdout.write(
            f"{verdict}  {result.name}: {result.checked:,} entries verified, to {result.last:,}"
        )
        for problem in result.problems:
            self.stdout.write(f"        {problem.code}: {problem.detail}")
        if result.found > len(result.problems):
            self.stdout.write(f"        and {result.found - len(result.problems):,} more")
