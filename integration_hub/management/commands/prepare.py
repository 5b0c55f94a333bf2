"""Make the database ready: migrations, and on the first run of an embedded hub its first owner."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection, transaction

from apps.apikeys.services import api_versions
from apps.audit.services import entries
from apps.tenants.principals import Actor
from apps.tenants.services import organizations

OWNER = "owner@localhost"
ORGANIZATION = "My company"
COMMAND = Actor("command", "prepare", "manage.py prepare")
ADVISORY_LOCK = 0x68756270  # "hubp"


class Command(BaseCommand):
    help = "Apply migrations; on the first run of an embedded hub, create its owner and print the login once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-owner", action="store_true", help="do not create the first owner")

    def handle(self, *args: Any, **options: Any) -> None:
        with one_at_a_time():
            call_command("migrate", interactive=False, verbosity=0)
            organizations.prepare_all()
            wrong = api_versions.disagreements()
            if wrong:
                raise CommandError(" ".join(wrong))
            if settings.HUB_EMBEDDED and not options["no_owner"]:
                self._first_owner()

    def _first_owner(self) -> None:
        users = get_user_model()._default_manager
        if users.exists():
            return
        password = secrets.token_urlsafe(12)
        with transaction.atomic():
            owner = users.create_superuser(OWNER, password)
            founded = organizations.create(name=ORGANIZATION, owner=owner)
            entries.record(
                organization=founded,
                actor=COMMAND,
                action="organization.founded",
                target=founded,
                changes={"name": ["", founded.name], "owner": ["", OWNER]},
            )
        self.stdout.write(
            "\n"
            "  This is the first start. Your login, shown only now:\n\n"
            f"    address   {settings.HUB_BASE_URL}/admin/\n"
            f"    e-mail    {OWNER}\n"
            f"    password  {password}\n"
        )


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock that hubs preparing the same database at the same moment wait for."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])
        return
    with (settings.HUB_HOME / "prepare.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
