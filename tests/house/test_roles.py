"""A role's scopes are what both doors obey: every operation of the API, and every page of the admin."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from apps.apikeys.services import sessions
from apps.connectors.models import Integration
from apps.kernel.api.permissions import ANY_CALLER, PUBLIC
from apps.records.models import Record
from apps.tenants.models import Organization, User
from apps.tenants.principals import Actor
from apps.tenants.roles import Role, allows, scopes_of
from apps.tenants.services import organizations
from tests.house.test_admin import OWNED, _quoted, address, maker, registered
from tests.house.test_api import OPERATIONS, Operation
from tests.people import member, signed_in

ROLES = [role.value for role in Role]
# What people expect of the roles, said once more without wildcards. (needs, who may)
MEANT: dict[str, set[str]] = {
    "records:read": {"owner", "admin", "developer", "staff", "auditor"},
    "records:write": {"owner", "admin", "developer", "staff"},
    "records:delete": {"owner", "admin", "developer"},
    "datasets:write": {"owner", "admin", "developer"},
    "mappings:write": {"owner", "admin", "developer", "staff"},
    "jobs:write": {"owner", "admin", "developer", "staff"},
    "integrations:read": {"owner", "admin", "developer", "staff", "auditor"},
    "integrations:write": {"owner", "admin"},
    "syncs:write": {"owner", "admin"},
    "webhooks:read": {"owner", "admin", "developer", "auditor"},
    "webhooks:write": {"owner", "admin", "developer"},
    "api-keys:read": {"owner", "admin", "developer", "auditor"},
    "api-keys:write": {"owner", "admin", "developer"},
    "applications:write": {"owner", "admin", "developer"},
    "audit:read": {"owner", "admin", "auditor"},
    "members:write": {"owner", "admin"},
    "organization:write": {"owner", "admin"},
}
CASES = [(o, role) for o in OPERATIONS if o.scope not in (PUBLIC, ANY_CALLER) for role in ROLES]


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


def person(organization: Organization, role: str) -> tuple[User, APIClient]:
    user = member(organization, role)
    actor = Actor("user", user.email, str(user))
    issued = sessions.begin(user=user, organization=organization, origin="password", actor=actor)
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.access}")
    return user, client


def called(client: Any, operation: Operation) -> Any:
    path = re.sub(r"{\w+}", "nothing-of-this-name", operation.address)
    return getattr(client, operation.method)(f"/api/v1/{path}", format="json")


@pytest.mark.parametrize("needed", MEANT, ids=str)
def test_the_roles_hold_what_they_are_meant_to(needed: str) -> None:
    assert {role for role in ROLES if allows(scopes_of(role), needed)} == MEANT[needed]


@pytest.mark.parametrize("role", ROLES)
def test_every_operation_lets_in_exactly_the_roles_that_hold_its_scope(
    role: str, acme: Organization, settings: Any
) -> None:
    settings.HUB_ALLOW_HTTP = True
    _, client = person(acme, role)
    wrong = []
    for operation, whose in CASES:
        if whose != role:
            continue
        answer = called(client, operation)
        refused = answer.status_code == 403 and answer.json()["code"] == "insufficient_scope"
        if refused == allows(scopes_of(role), str(operation.scope)) or answer.status_code >= 500:
            wrong.append((str(operation), operation.scope, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_every_admin_page_lets_in_exactly_the_roles_that_hold_its_scope(
    role: str, acme: Organization
) -> None:
    browser = signed_in(member(acme, role))
    made = maker(acme)
    wrong = []
    for model in OWNED:
        found, row = registered(model), made.make(model)
        resource = found.scope_resource
        may = {
            action: allows(scopes_of(role), f"{resource}:{action}") for action in ("read", "write", "delete")
        }
        open_to = {
            "list": may["read"],
            "add": may["write"] and found.can_add and not found.read_only,
            "delete": may["delete"] and found.can_delete and not found.read_only,
        }
        paths = {
            "list": address(model, "changelist"),
            # An integration is added to a connector: without one, the page leads to the catalog.
            "add": address(model, "add"),
            "delete": address(model, "delete", _quoted(found, row)),
        }
        for page, path in paths.items():
            status = browser.get(path).status_code
            if status == 302 and model is Integration:
                continue
            if (status == 403) is open_to[page] or status >= 500:
                wrong.append((model._meta.label, page, status, open_to[page]))
    assert wrong == []


@pytest.mark.parametrize("role", ROLES)
def test_who_may_only_look_changes_nothing_in_the_admin(role: str, acme: Organization) -> None:
    """Forms, deletions and actions that are sent all the same, by those who lack the scope."""
    browser: Client = signed_in(member(acme, role))
    made = maker(acme)
    for model in OWNED:
        found, row = registered(model), made.make(model)
        before = model._base_manager.filter(pk=row.pk).values().get()
        ref = _quoted(found, row)
        data = {"_confirmed": "1", "post": "yes", "name": "other", "description": "other"}
        if not allows(scopes_of(role), f"{found.scope_resource}:write"):
            browser.post(address(model, "change", ref), data)
            for action in found._get_base_actions_detail():
                name = action.action_name.split("_", 2)[2]
                if not str(getattr(action.method, "allowed_permissions", ())).count("view"):
                    browser.post(address(model, name, ref), data)
        if not allows(scopes_of(role), f"{found.scope_resource}:delete"):
            browser.post(address(model, "delete", ref), data)
            sent = {"action": "delete_selected", "_selected_action": found.ref_of(row), **data}
            browser.post(address(model, "changelist"), sent)
        if not allows(scopes_of(role), f"{found.scope_resource}:write"):
            assert model._base_manager.filter(pk=row.pk).values().get() == before, model._meta.label


@pytest.mark.parametrize("role", ROLES)
def test_the_same_deed_by_both_doors(role: str, acme: Organization) -> None:
    """A record: read, added and deleted over the API and in the admin, by the same person."""
    user, client = person(acme, role)
    browser = signed_in(user)
    held = scopes_of(role)
    api = {
        "records:read": client.get("/api/v1/records/clients"),
        "records:write": client.post(
            "/api/v1/records/clients", {"external_id": "A-1", "name": "Ada"}, format="json"
        ),
    }
    admin = {
        "records:read": browser.get("/admin/data/clients/"),
        "records:write": browser.get("/admin/data/clients/add/"),
    }
    for scope in api:
        assert (api[scope].status_code != 403) == (admin[scope].status_code != 403) == allows(held, scope)
    row = maker(acme)._made[Record]
    deleted = client.delete(f"/api/v1/records/clients/{row.public_id}")  # type: ignore[attr-defined]
    assert (deleted.status_code == 204) == allows(held, "records:delete")
