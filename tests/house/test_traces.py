"""What is changed by commands and in the admin leaves an entry in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command, get_commands
from django.db import models

from apps.apikeys.models import SigningKey
from apps.apikeys.services import keys, signing
from apps.audit.models import AuditEntry
from apps.kernel.crypto.hashing import PepperRing
from apps.kernel.crypto.keyring import KeyRing
from apps.records.models import Origin
from apps.records.selectors import dataset_of
from apps.records.services import records
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor
from apps.tenants.services import organizations
from tests.house.test_admin import OWNED, _quoted, address, maker, registered
from tests.people import member, signed_in

# Commands that change nothing of what people see: reading, starting, checking, writing files.
SILENT = {
    "demo", "new_secrets", "openapi", "receive_webhooks", "serve", "show_config", "verify_audit",
}  # fmt: skip


@pytest.fixture
def acme(db: None, settings: Any, tmp_path: Path) -> Organization:
    settings.HUB_PEPPERS_JSON = settings.HUB_ENCRYPTION_KEYS = ""
    settings.HUB_PEPPERS, settings.HUB_KEYRING = tmp_path / "peppers.json", tmp_path / "keyring.json"
    PepperRing.generate_file(settings.HUB_PEPPERS)
    KeyRing.generate_file(settings.HUB_KEYRING)
    signing.forget_all()
    return organizations.create(name="Acme")


def run(*args: str) -> None:
    call_command(*args, stdout=StringIO(), stderr=StringIO())


def _key(acme: Organization) -> str:
    return keys.create(organization=acme, name="one", actor=SYSTEM).key.number


def _suspended(acme: Organization) -> str:
    key = keys.create(organization=acme, name="one", actor=SYSTEM).key
    return keys.suspend(key=key, actor=SYSTEM).number


def _origin(acme: Organization) -> str:
    values = {"external_id": "C-1", "name": "Ada"}
    actor = Actor("user", "1", "Ada")
    records.create(dataset=dataset_of(acme, "clients"), values=values, actor=actor)
    return Origin.objects.latest("pk").public_id


def _founded_before(acme: Organization) -> tuple[str, ...]:
    run(*BOOTSTRAP)
    return BOOTSTRAP


BOOTSTRAP = (
    "bootstrap", "--organization", "Initech", "--email", "bill@initech.example",
    "--password", "a-long-phrase-81",
)  # fmt: skip
Arguments = Callable[[Organization], tuple[str, ...]]
COMMANDS: dict[str, tuple[str, Arguments]] = {
    "bootstrap": ("organization.founded", lambda acme: BOOTSTRAP),
    "bootstrap again": ("member.password_set", _founded_before),
    "api_key create": ("api_key.created", lambda acme: ("api_key", "create", "--name", "x")),
    "api_key revoke": ("api_key.revoked", lambda acme: ("api_key", "revoke", _key(acme))),
    "api_key rotate": ("api_key.rotated", lambda acme: ("api_key", "rotate", _key(acme))),
    "api_key suspend": ("api_key.suspended", lambda acme: ("api_key", "suspend", _key(acme))),
    "api_key resume": ("api_key.resumed", lambda acme: ("api_key", "resume", _suspended(acme))),
    "api_versions deprecate": ("api_version.updated", lambda acme: ("api_versions", "deprecate", "v1")),
    "rotate_signing_key": ("signing_key.rotated", lambda acme: ("rotate_signing_key",)),
    "rotate_keys": ("keyring.rotated", lambda acme: ("rotate_keys", "--new-key")),
    "rotate_peppers": ("peppers.rotated", lambda acme: ("rotate_peppers", "--new-pepper")),
    "undo_origin": ("records.undone", lambda acme: ("undo_origin", _origin(acme))),
}


def test_every_command_of_the_hub_is_known_here() -> None:
    ours = {name for name, app in get_commands().items() if str(app).startswith(("apps.", "integration_hub"))}
    named = {name.partition(" ")[0] for name in COMMANDS}
    # `prepare` founds the first organization of an empty hub only (tests/integration_hub).
    assert ours == named | SILENT | {"prepare"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_leaves_an_entry(name: str, acme: Organization) -> None:
    action, prepare = COMMANDS[name]
    args = prepare(acme)
    known = set(AuditEntry.objects.values_list("pk", flat=True))
    run(*args)
    new = [entry for entry in AuditEntry.objects.all() if entry.pk not in known]
    assert action in [entry.action for entry in new if entry.actor_kind == "command"]


def test_dropping_a_signing_key_leaves_an_entry(acme: Organization) -> None:
    run("rotate_signing_key", "--ahead", "0")
    run("rotate_signing_key", "--drop", SigningKey.objects.latest("signs_from").kid)
    assert AuditEntry.objects.get(action="signing_key.dropped").actor_ref == "rotate_signing_key"


def _rows(model: type[models.Model]) -> list[Any]:
    return list(model._base_manager.order_by("pk").values_list())


@pytest.mark.parametrize("model", OWNED, ids=lambda m: m._meta.label)
def test_whatever_changes_a_row_in_the_admin_leaves_an_entry(model: type[models.Model], db: None) -> None:
    """Each deletion and each action on a row; what refuses, or changes nothing, needs none."""
    acme = organizations.create(name="Acme")
    browser = signed_in(member(acme, "owner"))
    made, found = maker(acme), registered(model)
    views = ["delete", *(a.action_name.split("_", 2)[2] for a in found._get_base_actions_detail())]
    for view in dict.fromkeys(views):
        row = made.make(model)
        before, entries = _rows(model), AuditEntry.objects.count()
        browser.post(address(model, view, _quoted(found, row)), {"_confirmed": "1", "post": "yes"})
        if _rows(model) != before:
            assert AuditEntry.objects.count() > entries, f"{view} of {model._meta.label} left no entry"


@pytest.mark.parametrize("model", OWNED, ids=lambda m: m._meta.label)
def test_ticked_rows_that_change_leave_entries(model: type[models.Model], db: None) -> None:
    acme = organizations.create(name="Acme")
    browser = signed_in(member(acme, "owner"))
    made, found = maker(acme), registered(model)
    row = made.make(model)
    request = browser.get(address(model, "changelist")).wsgi_request
    for action in found.get_actions(request):
        row = made.make(model)
        before, entries = _rows(model), AuditEntry.objects.count()
        data = {"action": action, "index": "0", "_selected_action": found.ref_of(row), "_confirmed": "1"}
        browser.post(address(model, "changelist"), {**data, "post": "yes"})
        if _rows(model) != before:
            assert AuditEntry.objects.count() > entries, f"{action} of {model._meta.label} left no entry"
