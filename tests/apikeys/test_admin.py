"""API keys in the admin."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.apikeys.models import APIKey, RateLimit
from apps.apikeys.services import keys, rotation, usage
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization, User
from apps.tenants.roles import Role
from apps.tenants.services import organizations
from tests.apikeys.conftest import Issue, client_of

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


# What every form of a key carries.
SETTINGS = {"rotation_overlap": "604800", "usage_threshold": "80"}


def form(**values: Any) -> dict[str, Any]:
    return {
        "name": "Shop",
        "key_type": "secret",
        "environment": "production",
        "access": "chosen",
        "chosen": ["records:read", "records:write"],
        "can_read": "on",
        "can_write": "on",
        **SETTINGS,
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
    owner.post(f"{LIST}add/", form(access=access, chosen=[]))
    key = APIKey.objects.get()
    assert key.scopes == scopes
    assert (key.can_read, key.can_write, key.can_delete, key.can_admin) == may


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"chosen": []}, "Tick at least one scope"),
        ({"chosen": ["records"]}, "A scope is resource:action"),
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
    page = developer.post(f"{LIST}add/", form(access="everything", chosen=[]))
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
    page = owner.get(f"{LIST}{key.number}/change/").content.decode()
    assert "It will never work again" in page
    assert all(f"/{name}" not in page for name in ("rotate", "suspend", "resume", "revoke"))


def test_a_change_takes_away_and_never_adds(owner: Client, acme: Organization, issue: Issue) -> None:
    key = issue(acme, scopes=["records:read", "records:write"], permissions={"read": True, "write": True}).key
    change = f"{LIST}{key.number}/change/"
    base = {"name": "test", "never_expires": "on", "can_read": "on", "can_write": "on", **SETTINGS}
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


def test_an_automatic_successor_is_collected_once(owner: Client, acme: Organization, issue: Issue) -> None:
    old = issue(acme, rotate_every_days=30).key
    APIKey.objects.filter(pk=old.pk).update(next_rotation_at=timezone.now())
    rotation.rotate_due()
    new = APIKey.objects.get(waiting_secret__isnull=False)
    assert new.number in owner.get(f"{LIST}{old.number}/change/").content.decode()
    assert "to collect" in owner.get(LIST).content.decode()
    shown = deed(owner, new, "collect")
    assert keys.verify(shown.context["secret"]) == new
    assert "no-store" in shown["Cache-Control"]
    assert f"/{new.number}/collect" not in owner.get(f"{LIST}{new.number}/change/").content.decode()


def test_a_signing_secret_is_shown_once(owner: Client, acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    shown = deed(owner, key, "signing_secret")
    secret = shown.context["signing_secret"]
    assert secret in shown.content.decode()
    key.refresh_from_db()
    assert key.signature_required
    assert secret not in owner.get(f"{LIST}{key.number}/change/").content.decode()
    made = owner.post(f"{LIST}add/", form(signature_required="on"))
    assert made.context["signing_secret"].startswith("sk_sign_")


def test_the_page_of_a_key_shows_its_calls(owner: Client, acme: Organization, issue: Issue) -> None:
    issued = issue(acme, scopes=["records:read"])
    client = client_of(issued.secret)
    for _ in range(3):
        client.get("/api/v1/records/clients", HTTP_USER_AGENT="<script>alert(1)</script>")
    client.get("/api/v1/webhooks")
    usage.flush()
    page = owner.get(f"{LIST}{issued.key.number}/change/").content.decode()
    assert "/api/v1/records/clients" in page
    assert "insufficient_scope" in page
    assert "75.0 %" in page
    assert "<script>alert" not in page
    assert "4 calls, 1 failed" in owner.get(LIST).content.decode()
    from apps.apikeys.activity import totals_of

    totals = totals_of(issued.key)
    assert (totals.calls, totals.succeeded, totals.failed, totals.unauthorized) == (4, 3, 1, 1)
    assert totals.success_rate == 75
    assert totals.usage_rate == 4


def test_every_setting_can_be_given_in_the_form(owner: Client, acme: Organization) -> None:
    owner.post(
        f"{LIST}add/",
        form(
            api_version="v1",
            rotate_every_days="90",
            rotation_overlap="86400",
            notify_on_high_usage="on",
            usage_threshold="70",
            alert_emails="ops@acme.example\n",
            require_https="on",
            per_minute="60",
            burst="5",
        ),
    )
    key = APIKey.objects.get()
    assert RateLimit.objects.get(subject_id=key.group.hex).limits == {"minute": 60, "burst": 5}
    assert (key.api_version, key.rotate_every_days, key.rotation_overlap) == ("v1", 90, 86400)
    assert (key.notify_on_high_usage, key.notify_on_expiration, key.usage_threshold) == (True, False, 70)
    assert key.alert_emails == ["ops@acme.example"]
    wrong = owner.post(f"{LIST}add/", form(rotate_every_days="1", alert_emails="nobody"))
    page = wrong.content.decode()
    assert "must end before the next rotation" in page
    assert "is not an e-mail address" in page
