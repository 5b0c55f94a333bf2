"""API keys in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.apikeys.models import APIKey
from apps.apikeys.services import keys
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization, User
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from tests.apikeys.conftest import Issue

LIST = "/admin/apikeys/apikey/"


def signed_in(organization: Organization, role: str, email: str = "anna@example.com") -> Client:
    user = User.objects.create_user(email, "a long password", is_staff=True)
    organizations.admit(organization=organization, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(acme, Role.OWNER)


def form(**values: Any) -> dict[str, Any]:
    return {
        "name": "Shop",
        "key_type": "secret",
        "environment": "production",
        "access": "chosen",
        "chosen": "records:read\nrecords:write",
        "can_read": "on",
        "can_write": "on",
        **values,
    }


def test_a_key_is_created_and_shown_once(owner: Client, acme: Organization) -> None:
    page = owner.get(f"{LIST}add/")
    assert page.status_code == 200
    made = owner.post(f"{LIST}add/", form(ip_whitelist="192.0.2.0/24\n"))
    assert made.status_code == 200, made.content[:500]
    secret = made.context["secret"]
    assert made.content.count(secret.encode()) >= 1
    assert "no-store" in made["Cache-Control"]
    key = APIKey.objects.get()
    assert keys.verify(secret) == key
    assert (key.organization, key.scopes) == (acme, ["records:read", "records:write"])
    assert key.ip_whitelist == ["192.0.2.0/24"]
    assert AuditEntry.objects.filter(action="api_key.created", actor_ref="anna@example.com").count() == 1
    for address in (LIST, f"{LIST}{key.number}/change/", f"{LIST}{key.number}/history/"):
        again = owner.get(address)
        assert again.status_code == 200
        assert secret.rsplit("_", 1)[1].encode() not in again.content


@pytest.mark.parametrize(
    ("access", "scopes", "may"),
    [("everything", ["*:*"], (True, True, True, True)), ("reading", ["*:read"], (True, False, False, False))],
)
def test_the_two_shortcuts(owner: Client, access: str, scopes: list[str], may: tuple[bool, ...]) -> None:
    owner.post(f"{LIST}add/", form(access=access, chosen=""))
    key = APIKey.objects.get()
    assert key.scopes == scopes
    assert (key.can_read, key.can_write, key.can_delete, key.can_admin) == may


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chosen": ""}, "Name at least one scope"),
        ({"chosen": "records"}, "A scope is resource:action"),
        ({"ip_whitelist": "nowhere"}, "neither an IP address nor a CIDR"),
        ({"name": ""}, "This field is required"),
    ],
)
def test_mistakes_are_shown_in_the_form(owner: Client, values: dict[str, str], message: str) -> None:
    page = owner.post(f"{LIST}add/", form(**values))
    assert page.status_code == 200
    assert message in page.content.decode()
    assert APIKey.objects.count() == 0


def test_nobody_makes_a_key_that_may_do_more_than_they(acme: Organization) -> None:
    developer = signed_in(acme, Role.DEVELOPER)
    page = developer.post(f"{LIST}add/", form(access="everything", chosen=""))
    assert "may have at most your own scopes" in page.content.decode()
    assert APIKey.objects.count() == 0
    developer.post(f"{LIST}add/", form())
    assert APIKey.objects.count() == 1


def test_staff_have_no_business_with_keys(acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    staff = signed_in(acme, Role.STAFF)
    for address in (LIST, f"{LIST}add/", f"{LIST}{key.number}/change/"):
        assert staff.get(address).status_code in (302, 403, 404)
    assert staff.post(f"{LIST}add/", form()).status_code in (302, 403)
    assert APIKey.objects.count() == 1


def test_keys_of_others_are_not_there(
    acme: Organization, globex: Organization, owner: Client, issue: Issue
) -> None:
    issue(globex)
    theirs = issue(globex, name="Their key").key
    assert "Their key" not in owner.get(LIST).content.decode()
    for name in (theirs.number, theirs.public_id, str(theirs.pk)):
        assert owner.get(f"{LIST}{name}/change/").status_code in (302, 404)
        owner.post(f"{LIST}{name}/revoke", {"_confirmed": "1"})
    theirs.refresh_from_db()
    assert theirs.status == "active"


def deed(client: Client, key: APIKey, name: str, **values: Any) -> Any:
    page = client.get(f"{LIST}{key.number}/change/").content.decode()
    start = page.find(f"/{name}")
    assert start > 0, f"no button for {name}"
    address = page[page.rfind('"', 0, start) + 1 : page.find('"', start)].replace("&amp;", "&")
    asked = client.get(address)
    assert asked.status_code == 200
    key.refresh_from_db()
    return client.post(address, {"_confirmed": "1", **values})


def test_rotating_suspending_resuming_revoking(owner: Client, acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    key = issued.key
    rotated = deed(owner, key, "rotate", overlap="3600")
    assert keys.verify(rotated.context["secret"]).group == key.group
    key.refresh_from_db()
    assert key.expires_at is not None
    assert key.expires_at <= timezone.now() + timedelta(hours=1)

    deed(owner, key, "suspend", reason="Looking into it")
    key.refresh_from_db()
    assert key.status == "suspended"
    deed(owner, key, "resume")
    key.refresh_from_db()
    assert key.status == "active"
    deed(owner, key, "revoke", reason="Done")
    key.refresh_from_db()
    assert (key.status, key.revoke_reason) == ("revoked", "Done")
    assert "rotate" not in owner.get(f"{LIST}{key.number}/change/").content.decode().split("</head>")[
        1
    ].lower().replace("rotated", "")


def test_a_change_takes_away_and_never_adds(owner: Client, acme: Organization, issue: Issue) -> None:
    key = issue(acme, scopes=["records:read", "records:write"], permissions={"read": True, "write": True}).key
    change = f"{LIST}{key.number}/change/"
    base = {"name": "test", "never_expires": "on", "can_read": "on", "can_write": "on"}
    page = owner.post(change, {**base, "scopes": "records:*"})
    assert "Not to be given" in page.content.decode()
    key.refresh_from_db()
    assert key.scopes == ["records:read", "records:write"]
    assert owner.post(change, {**base, "scopes": "records:read", "name": "Less"}).status_code == 302
    key.refresh_from_db()
    assert (key.scopes, key.name) == (["records:read"], "Less")


def test_a_list_runs_as_many_queries_for_many_as_for_one(
    owner: Client, acme: Organization, issue: Issue, django_assert_max_num_queries: Any
) -> None:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    issue(acme)
    owner.get(LIST)
    with CaptureQueriesContext(connection) as one:
        owner.get(LIST)
    for _ in range(20):
        issue(acme)
    with CaptureQueriesContext(connection) as many:
        owner.get(LIST)
    assert len(many) <= len(one) + 1
