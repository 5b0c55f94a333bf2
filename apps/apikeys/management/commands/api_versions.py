"""manage.py api_versions: which versions there are, who still calls them, and what a move would change.

manage.py api_versions list
manage.py api_versions callers v1 --organization acme --days 30
manage.py api_versions rehearse v1 v2 --organization acme --key KEY-2026-00001
manage.py api_versions deprecate v1 --sunset 2027-07-01
manage.py api_versions check
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.apikeys import selectors
from apps.apikeys.models import APIKey, ApiVersion
from apps.apikeys.services import api_versions, rehearsal
from apps.kernel.errors import HubError
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

COMMAND = Actor("command", "api_versions", "manage.py api_versions")


def moment(text: str) -> datetime:
    """A date, or a date and time, in UTC."""
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Versions of the API: list, callers, rehearse, deprecate, reinstate, check."

    def add_arguments(self, parser: ArgumentParser) -> None:
        doing = parser.add_subparsers(dest="doing", required=True)
        doing.add_parser("list", help="versions with their dates").add_argument("--json", action="store_true")
        doing.add_parser("check", help="whether rows and code agree")
        callers = doing.add_parser("callers", help="who still calls a version")
        callers.add_argument("version")
        callers.add_argument("--organization", help="its slug; all of them if not given")
        callers.add_argument("--days", type=int, default=30)
        callers.add_argument("--json", action="store_true")
        dry = doing.add_parser(
            "rehearse", help="ask again in both versions what was asked lately; changes nothing"
        )
        dry.add_argument("start", metavar="from", help="such as v1 or v2@2026-11-15")
        dry.add_argument("end", metavar="to")
        dry.add_argument("--organization", required=True, help="its slug")
        dry.add_argument("--key", help="only what this key asked for, by its number")
        dry.add_argument(
            "--path", action="append", default=[], help="an address of your own, such as /api/jobs"
        )
        dry.add_argument("--most", type=int, default=rehearsal.MOST, help="addresses at most")
        dry.add_argument("--json", action="store_true")
        end = doing.add_parser("deprecate", help="announce that a version goes away")
        end.add_argument("version")
        end.add_argument("--since", type=moment, help="now, if not given")
        end.add_argument("--sunset", type=moment, help="from when on it answers 410")
        end.add_argument("--successor", default="")
        doing.add_parser("reinstate", help="take a deprecation back").add_argument("version")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['doing']}")(options)
        except HubError as exc:
            raise CommandError(exc.detail) from None

    def do_list(self, options: dict[str, Any]) -> None:
        told = selectors.versions_told()
        if options["json"]:
            self.stdout.write(json.dumps(told, default=str))
            return
        for one in told:
            ends = f", ends {one['sunset_at']:%Y-%m-%d %H:%M} UTC" if one["sunset_at"] else ""
            flags = ", ".join(f"{f['name']} {'on' if f['enabled'] else 'off'}" for f in one["features"])
            self.stdout.write(
                f"{one['version']}: {one['status']}{ends}; revision {one['default_revision']}; {flags}"
            )

    def do_check(self, options: dict[str, Any]) -> None:
        wrong = api_versions.disagreements()
        if wrong:
            raise CommandError(" ".join(wrong))
        self.stdout.write("Rows and code agree.")

    def do_callers(self, options: dict[str, Any]) -> None:
        organization = self._organization(options["organization"]) if options["organization"] else None
        uses = selectors.callers_of(
            self._version(options["version"]).version, organization=organization, days=options["days"]
        )
        if options["json"]:
            self.stdout.write(json.dumps([asdict(use) for use in uses], default=str))
            return
        for use in uses:
            self.stdout.write(
                f"{use.last_at:%Y-%m-%d %H:%M}  {use.count:>8,}  {use.operation}  {use.kind} {use.caller}"
                f" ({use.organization})" + (f" pinned to {use.pin}" if use.pin else "")
            )
        if not uses:
            self.stdout.write(f"Nobody called it within {options['days']} days.")

    def do_rehearse(self, options: dict[str, Any]) -> None:
        organization = self._organization(options["organization"])
        start = rehearsal.revision_named(options["start"])
        end = rehearsal.revision_named(options["end"])
        paths = options["path"] or rehearsal.sampled_paths(
            organization,
            start.version,
            subject=self._subject(organization, options["key"]),
            most=options["most"],
        )
        done = rehearsal.rehearse(organization=organization, start=start, end=end, paths=paths)
        if options["json"]:
            self.stdout.write(json.dumps(asdict(done), default=str))
            return
        self.stdout.write(
            f"{start.name} → {end.name}: {len(done.comparisons)} addresses, {len(done.different)} differ."
        )
        for one in done.different:
            self.stdout.write(f"\n{one.path}  {one.before} → {one.after}")
            for difference in one.differences:
                sides = " → ".join(text for text in (difference.before, difference.after) if text)
                self.stdout.write(f"  {difference.kind:8} {difference.place}  {sides}")
            for change in one.explained_by:
                self.stdout.write(f"  because: {change.title}")
            if one.is_unexplained:
                self.stdout.write("  no declared change speaks of it")

    def do_deprecate(self, options: dict[str, Any]) -> None:
        row = api_versions.change(
            version=self._version(options["version"]),
            actor=COMMAND,
            deprecated_at=options["since"] or timezone.now(),
            sunset_at=options["sunset"],
            successor=options["successor"],
        )
        self.stdout.write(f"{row} is {row.status}.")

    def do_reinstate(self, options: dict[str, Any]) -> None:
        version = self._version(options["version"])
        row = api_versions.change(version=version, actor=COMMAND, deprecated_at=None, sunset_at=None)
        self.stdout.write(f"{row} is {row.status}.")

    def _version(self, name: str) -> ApiVersion:
        found = ApiVersion.objects.filter(version=name).first()
        if found is None:
            raise CommandError(f"There is no version {name!r}.")
        return found

    def _organization(self, slug: str) -> Organization:
        found = Organization.objects.filter(slug=slug).first()
        if found is None:
            raise CommandError(f"There is no organization {slug!r}; give its slug.")
        return found

    def _subject(self, organization: Organization, number: str | None) -> tuple[str, str] | None:
        if not number:
            return None
        key = APIKey.objects.filter(organization=organization, number=number).first()
        if key is None:
            raise CommandError(f"There is no key {number!r} in this organization.")
        return "key", key.group.hex
