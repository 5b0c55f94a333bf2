"""manage.py api_key: what the admin and the API do with keys, from a shell on the server."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.apikeys.api.serializers import KeySerializer
from apps.apikeys.limiter.plans import WINDOWS
from apps.apikeys.models import APIKey
from apps.apikeys.services import keys, rotation
from apps.apikeys.services.keymaking import IssuedKey
from apps.apikeys.statuses import KeyStatus
from apps.kernel.errors import HubError
from apps.tenants.models import Organization
from apps.tenants.principals import Actor

COMMAND = Actor("command", "api_key", "manage.py api_key")


class Command(BaseCommand):
    help = (
        "Create, list, show, rotate, suspend, resume and revoke API keys, each with the audit entry that the "
        "admin and the API would write. A key's text is printed once and never again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

        def verb(name: str, help_text: str, *, of_key: bool = True) -> ArgumentParser:
            made: ArgumentParser = verbs.add_parser(name, help=help_text)
            if of_key:
                made.add_argument("key", help="its number, such as KEY-2026-00001")
            made.add_argument("--organization", help="slug; needed if there are several")
            made.add_argument("--json", action="store_true", help="print JSON and nothing else")
            return made

        create = verb("create", "make a key", of_key=False)
        create.add_argument("--name", required=True)
        create.add_argument("--description", default="")
        create.add_argument("--scope", action="append", default=[], help="such as records:read; repeatable")
        create.add_argument("--type", choices=APIKey.Type.values, default=APIKey.Type.SECRET)
        create.add_argument(
            "--environment", choices=APIKey.Environment.values, default=APIKey.Environment.PRODUCTION
        )
        create.add_argument(
            "--may",
            action="append",
            choices=list(keys.ALL_PERMISSIONS),
            help="repeatable; default: read, write",
        )
        create.add_argument("--ip", action="append", default=[], help="allowed address or CIDR; repeatable")
        create.add_argument("--days", type=int, help="how long it lives; 0: for ever")
        create.add_argument("--expires-at", help="an RFC 3339 moment, instead of --days")
        create.add_argument("--rotate-every", type=int, metavar="DAYS")
        for name in WINDOWS:
            create.add_argument(
                f"--per-{name}",
                type=int,
                metavar="CALLS",
                help=f"calls in any {name}; else the usual",
            )
        create.add_argument("--signed", action="store_true", help="calls with it must be signed")

        listing = verb("list", "list keys", of_key=False)
        listing.add_argument("--status", choices=KeyStatus.values)

        verb("show", "show one key")
        rotate = verb("rotate", "make a successor; the old key works on for a time")
        rotate.add_argument("--overlap-hours", type=float, default=24.0)
        for name, told in (
            ("suspend", "refuse it until it is resumed"),
            ("revoke", "end it for ever"),
        ):
            verb(name, told).add_argument("--reason", default="")
        verb("resume", "let a suspended key in again")
        verb("collect", "print the text of a key that was made by its rotation policy, once")
        verb("signing-secret", "make a signing secret, and ask for signed calls")

    def handle(self, *args: Any, **options: Any) -> None:
        deed: Callable[[dict[str, Any]], None] = getattr(self, f"_{options['verb'].replace('-', '_')}")
        try:
            deed(options)
        except HubError as exc:
            raise CommandError(exc.detail) from None

    # --- the deeds

    def _create(self, options: dict[str, Any]) -> None:
        given = options["may"] or ["read", "write"]
        if options["type"] == APIKey.Type.PUBLIC and options["may"] is None:
            given = ["read"]
        expires_at, for_ever = self._end(options)
        issued = keys.create(
            organization=self._organization(options),
            actor=COMMAND,
            name=options["name"],
            description=options["description"],
            scopes=options["scope"],
            key_type=options["type"],
            environment=options["environment"],
            permissions={name: name in given for name in keys.ALL_PERMISSIONS},
            expires_at=expires_at,
            never_expires=for_ever,
            ip_whitelist=options["ip"],
            rotate_every_days=options["rotate_every"],
            signature_required=options["signed"],
            rate_limits={"whole": {f"per_{name}": options[f"per_{name}"] for name in WINDOWS}},
        )
        self._tell_once(issued, options)

    def _list(self, options: dict[str, Any]) -> None:
        found = APIKey.objects.filter(organization=self._organization(options))
        if options["status"]:
            found = found.filter(status=options["status"])
        rows = list(found.order_by("id"))
        if options["json"]:
            self.stdout.write(json.dumps([_described(key) for key in rows]))
            return
        for key in rows:
            ends = f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never"
            self.stdout.write(f"{key.number}  {key.status:9}  ends {ends:10}  {key.prefix}_…  {key.name}")

    def _show(self, options: dict[str, Any]) -> None:
        self._tell(self._key(options), options)

    def _rotate(self, options: dict[str, Any]) -> None:
        overlap = timedelta(hours=options["overlap_hours"])
        self._tell_once(keys.rotate(key=self._key(options), actor=COMMAND, overlap=overlap), options)

    def _suspend(self, options: dict[str, Any]) -> None:
        self._tell(keys.suspend(key=self._key(options), actor=COMMAND, reason=options["reason"]), options)

    def _resume(self, options: dict[str, Any]) -> None:
        self._tell(keys.resume(key=self._key(options), actor=COMMAND), options)

    def _revoke(self, options: dict[str, Any]) -> None:
        self._tell(keys.revoke(key=self._key(options), actor=COMMAND, reason=options["reason"]), options)

    def _collect(self, options: dict[str, Any]) -> None:
        self._tell_once(rotation.collect(key=self._key(options), actor=COMMAND), options)

    def _signing_secret(self, options: dict[str, Any]) -> None:
        self._tell_once(rotation.renew_signing_secret(key=self._key(options), actor=COMMAND), options)

    # --- finding and telling

    def _organization(self, options: dict[str, Any]) -> Organization:
        slug = options["organization"]
        found = Organization.objects.all() if slug is None else Organization.objects.filter(slug=slug)
        rows = list(found.order_by("slug")[:2])
        if len(rows) == 1:
            return rows[0]
        known = ", ".join(Organization.objects.order_by("slug").values_list("slug", flat=True)[:20])
        raise CommandError(
            f"There is no organization {slug!r}. Organizations: {known}."
            if slug
            else f"Say which organization: --organization SLUG. Organizations: {known or 'none yet'}."
        )

    def _key(self, options: dict[str, Any]) -> APIKey:
        name = options["key"]
        organization = self._organization(options)
        key = APIKey.objects.filter(organization=organization, number=name).first()
        if key is None:
            raise CommandError(f"{organization.name} has no API key {name}.")
        return key

    @staticmethod
    def _end(options: dict[str, Any]) -> tuple[datetime | None, bool]:
        if options["expires_at"]:
            moment = parse_datetime(options["expires_at"])
            if moment is None or moment.tzinfo is None:
                raise CommandError("--expires-at is a moment with its zone, such as 2027-01-31T12:00:00Z.")
            return moment, False
        if options["days"] is None:
            return None, False
        if options["days"] == 0:
            return None, True
        return timezone.now() + timedelta(days=options["days"]), False

    def _tell(self, key: APIKey, options: dict[str, Any]) -> None:
        data = _described(key)
        if options["json"]:
            self.stdout.write(json.dumps(data))
            return
        for name, value in data.items():
            shown = value if isinstance(value, str) else json.dumps(value)
            self.stdout.write(f"{name:22} {shown}")

    def _tell_once(self, issued: IssuedKey, options: dict[str, Any]) -> None:
        secrets = {"key": issued.secret, "signing_secret": issued.signing_secret}
        told = {name: text for name, text in secrets.items() if text}
        if options["json"]:
            self.stdout.write(json.dumps({**_described(issued.key), **told}))
            return
        self.stdout.write(f"{issued.key.number} {issued.key.name}: keep this now, it is never shown again.")
        for name, text in told.items():
            self.stdout.write(f"{name:15} {text}")


def _described(key: APIKey) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(KeySerializer(key).data, default=str))
    return data
