"""Filling the hub: the steps in their order. Each finds what an earlier run has done, and goes on."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable

from django.conf import settings
from django.core.management import call_command

from apps.kernel.outbound import default_policy
from integration_hub.demo import connections, imports, inspections, outbound, people, source
from integration_hub.demo.server import DemoServer
from integration_hub.demo.state import ALLOWED, HOST, State
from integration_hub.demo.story import COLLEAGUES, OWNER, Person


class NotAllowed(Exception):
    """This process may not call this machine, which the demo needs."""


def fill(say: Callable[[str], None]) -> None:
    """Fill the hub of this HUB_HOME. Raises MissingData, NotAllowed, HubError."""
    source.folder()
    if not default_policy().permits(ipaddress.ip_address(HOST)):
        raise NotAllowed(f"Filling calls a server on this machine: set HUB_OUTBOUND_ALLOW={ALLOWED} for it.")
    call_command("prepare", no_owner=True)
    state = State.load(os.environ) or State.prepare(os.environ)
    with DemoServer(state) as server, DemoServer(state, port=state.receiver_port):
        story, passwords = people.meet(state, say)
        try:
            # Before anybody listens: the past is no news.
            connections.connect(story, server)
            imports.bring_in(story)
            imports.send_out(story)
            inspections.define(story)
            outbound.subscribe(story)
            inspections.edit(story)
            outbound.announce(story)
            outbound.deliver(story)
            key = outbound.issue_keys(story)
        finally:
            _tell_logins(say, passwords)
    _tell(say, key)


def _tell_logins(say: Callable[[str], None], passwords: dict[Person, str]) -> None:
    say("")
    if passwords:
        say("Logins, shown only now (colleagues choose a password of their own when they sign in):")
        say("")
        for person in (OWNER, *COLLEAGUES):
            if person in passwords:
                say(f"  {person.role.label:14} {person.email:34} {passwords[person]}")
    else:
        say(f"The login of {OWNER.email} was shown at the first run; a new password:")
        say(f"  .venv/bin/python manage.py changepassword {OWNER.email}")


def _tell(say: Callable[[str], None], key: str) -> None:
    base = settings.HUB_BASE_URL
    if key:
        say("")
        say("An API key, shown only now:")
        say(f"  curl -H 'Authorization: Bearer {key}' '{base}/api/v1/records/clients?limit=2'")
    say("")
    say(f"What to look at, at {base}/admin/ :")
    for place, what in LOOK_AT:
        say(f"  {place:28} {what}")
    say("")


LOOK_AT = (
    ("Home", "what is healthy, late and failing, and what ran today"),
    ("Data > Clients, Orders", "3,376 stations and thousands of rentals, changing every minute"),
    ("Data > Inspections", "a dataset of the organization's own; INS-0172 has a history with a diff"),
    ("Connect > Integrations", "one at work, one in error, one not set up; open a sync of the fleet system"),
    ("Import & export > Jobs", "wrong rows to download, a check that waits, an undone import, an export"),
    ("Webhooks > Deliveries", "delivered, retrying, failed, held and cancelled; replay one"),
    ("Access > API keys", "public, restricted, expiring, suspended and revoked ones"),
    ("Watch > Audit log", "who did all this"),
)
