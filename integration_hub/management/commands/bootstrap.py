"""Found an organization with an owner and an unrestricted API key, for automation and tests."""

from __future__ import annotations

import json
import os
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email
from django.db import transaction

from apps.apikeys.services import keys
from apps.audit.services import entries
from apps.tenants.models import Membership, Organization
from apps.tenants.principals import Actor
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from integration_hub.runtime.home import running_address

KEY_NAME = "Bootstrap"
COMMAND = Actor("command", "bootstrap", "manage.py bootstrap")


class Command(BaseCommand):
    help = (
        "Found an organization with an owner and an unrestricted API key, also while the hub runs. Repeated "
        "with the same name and e-mail it finds both again, sets the password and issues a further key."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", required=True, help="its name")
        parser.add_argument("--email", required=True, help="the owner's e-mail address")
        parser.add_argument("--password", required=True, help="the owner's password")
        parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        name, email, password = options["organization"].strip(), options["email"].strip(), options["password"]
        if not name or not password:
            raise CommandError("Give the organization a name and its owner a password.")
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email!r} is not an e-mail address.") from None
        call_command("prepare", no_owner=True)
        with transaction.atomic():
            organization = self._organization(name, email, password)
            issued = keys.create(
                organization=organization,
                name=KEY_NAME,
                actor=COMMAND,
                scopes=keys.UNRESTRICTED,
                permissions=keys.ALL_PERMISSIONS,
                never_expires=True,
            )
        base_url = settings.HUB_BASE_URL
        if not os.environ.get("HUB_BASE_URL"):
            base_url = running_address(settings.HUB) or base_url
        result = {
            "organization": organization.name,
            "email": email.lower(),
            "api_key": issued.secret,
            "base_url": base_url,
            "admin_url": f"{base_url}/admin/",
        }
        if options["json"]:
            self.stdout.write(json.dumps(result))
            return
        for label, value in result.items():
            self.stdout.write(f"{label:13} {value}")

    def _organization(self, name: str, email: str, password: str) -> Organization:
        """The organization of that name that the person owns, or a new one."""
        users = get_user_model().objects
        owner = users.filter(email__iexact=email).first()
        if owner is None:
            owner = users.create_user(email, password)
        else:
            owner.set_password(password)
            owner.save(update_fields=["password"])
        owned = Membership.objects.filter(
            user=owner, role=Role.OWNER, is_active=True, organization__name=name
        ).select_related("organization")
        membership = owned.first()
        if membership is not None:
            entries.record(
                organization=membership.organization,
                actor=COMMAND,
                action="member.password_set",
                target=membership,
            )
            return membership.organization
        founded = organizations.create(name=name, owner=owner)
        entries.record(
            organization=founded,
            actor=COMMAND,
            action="organization.founded",
            target=founded,
            changes={"name": ["", name], "owner": ["", owner.email]},
        )
        return founded
