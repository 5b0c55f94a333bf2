"""Members, projects and the organization's settings in the admin."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from apps.audit.models import AuditEntry
from apps.tenants.models import Membership, Organization, Project, User
from tests.people import member, signed_in

ADD = "admin:tenants_membership_add"
LIST = "admin:tenants_membership_changelist"


def url(user: User) -> str:
    from django.contrib.admin.utils import quote

    return reverse("admin:tenants_membership_change", args=[quote(user.email)])


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


def last_entry() -> AuditEntry:
    return AuditEntry.objects.order_by("-id")[0]


def test_inviting_shows_the_password_once_and_writes_it_nowhere(owner: Client) -> None:
    response = owner.post(
        reverse(ADD), {"email": "ada@example.com", "role": "developer", "first_name": "Ada"}
    )

    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    found = re.search(r'id="one-time-password">([^<]+)<', response.content.decode())
    assert found is not None
    password = found[1]
    assert User.objects.get(email="ada@example.com").check_password(password)
    entry = last_entry()
    assert (entry.action, entry.object_label) == ("member.invited", "Ada in Acme")
    assert entry.changes == {"role": [None, "developer"]}
    assert password not in str(AuditEntry.objects.values_list("changes", flat=True))
    assert password not in owner.get(reverse(LIST)).content.decode()


def test_a_refusal_stands_at_its_field_and_nothing_is_written(owner: Client, acme: Organization) -> None:
    before = User.objects.count(), AuditEntry.objects.count()

    response = owner.post(reverse(ADD), {"email": "owner@acme.example", "role": "staff"})

    assert response.status_code == 200
    assert "owner@acme.example is a member already, as owner." in response.content.decode()
    assert (User.objects.count(), AuditEntry.objects.count()) == before


def test_the_last_owner_cannot_be_demoted_in_the_form(owner: Client) -> None:
    user = User.objects.get(email="owner@acme.example")

    response = owner.post(url(user), {"role": "staff", "is_active": "on"})

    assert response.status_code == 200
    assert "This is the last owner. Make somebody else an owner first." in response.content.decode()
    assert user.memberships.get().role == "owner"
    assert not AuditEntry.objects.filter(action="member.changed").exists()


def test_a_role_is_changed_and_audited(owner: Client, acme: Organization) -> None:
    stan = member(acme, "staff", email="stan@example.com")

    response = owner.post(url(stan), {"role": "developer", "is_active": "on"})

    assert response.status_code == 302
    assert stan.memberships.get().role == "developer"
    entry = last_entry()
    assert (entry.action, entry.actor_ref) == ("member.changed", "owner@acme.example")
    assert entry.changes == {"role": ["staff", "developer"]}


def test_removing_a_member_asks_first(owner: Client, acme: Organization) -> None:
    stan = member(acme, "staff", email="stan@example.com")
    delete = url(stan).replace("/change/", "/delete/")

    page = owner.get(delete).content.decode()
    assert "Nothing else depends on it." in page
    assert stan.memberships.exists()

    owner.post(delete, {"post": "yes"})
    assert not stan.memberships.exists()
    assert last_entry().action == "member.removed"


def test_removing_the_last_owner_is_refused_with_a_sentence(owner: Client) -> None:
    user = User.objects.get(email="owner@acme.example")

    response = owner.post(url(user).replace("/change/", "/delete/"), {"post": "yes"}, follow=True)

    assert "This is the last owner" in response.content.decode()
    assert user.memberships.exists()
    assert not AuditEntry.objects.filter(action="member.removed").exists()


def test_resetting_a_password_is_confirmed_by_post(owner: Client, acme: Organization) -> None:
    stan = member(acme, "staff", email="stan@example.com")
    reset = url(stan).replace("/change/", "/reset_password/")
    hashed = stan.password

    assert "Give “Stan" not in owner.get(reset).content.decode()
    stan.refresh_from_db()
    assert stan.password == hashed

    response = owner.post(reset, {"_confirmed": "1"})
    found = re.search(r'id="one-time-password">([^<]+)<', response.content.decode())
    assert found is not None
    stan.refresh_from_db()
    assert stan.check_password(found[1])
    assert last_entry().action == "member.password_reset"


def test_staff_do_not_see_members(acme: Organization) -> None:
    client = signed_in(member(acme, "staff"))

    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(reverse(ADD)).status_code == 403
    assert client.post(reverse(ADD), {"email": "x@example.com", "role": "staff"}).status_code == 403
    assert not User.objects.filter(email="x@example.com").exists()
    assert reverse(LIST) not in client.get("/admin/").content.decode()


def test_an_administrator_is_not_offered_ownership(acme: Organization) -> None:
    page = signed_in(member(acme, "admin")).get(reverse(ADD)).content.decode()

    assert 'value="developer"' in page
    assert 'value="owner"' not in page


def test_members_of_another_organization_do_not_exist(owner: Client, globex: Organization) -> None:
    foreign = member(globex, "staff", email="eve@example.com")

    assert "eve@example.com" not in owner.get(reverse(LIST)).content.decode()
    answers = [owner.get(url(user)) for user in (foreign, User(email="nobody@example.com"))]
    assert [a.status_code for a in answers] == [302, 302]
    assert {a.url for a in answers} == {"/admin/"}


def test_the_organization_is_changed_with_from_and_to(owner: Client, acme: Organization) -> None:
    page = reverse("admin:tenants_organization_change", args=[acme.public_id])
    assert owner.get(reverse("admin:tenants_organization_settings")).url == page

    response = owner.post(page, {"name": "Acme", "timezone": "Europe/Berlin", "currency": "usd"})

    assert response.status_code == 302
    acme.refresh_from_db()
    assert (acme.timezone, acme.currency, acme.is_active) == ("Europe/Berlin", "USD", True)
    assert last_entry().changes == {"timezone": ["UTC", "Europe/Berlin"], "currency": ["EUR", "USD"]}


def test_only_the_operator_founds_organizations(owner: Client, acme: Organization) -> None:
    add = reverse("admin:tenants_organization_add")
    assert owner.post(add, {"name": "Mine", "timezone": "UTC"}).status_code == 403
    assert not Organization.objects.filter(name="Mine").exists()

    operator = signed_in(member(acme, "owner", email="op@example.com", is_superuser=True))
    assert operator.post(add, {"name": "Mine", "timezone": "UTC"}).status_code == 302
    made = Organization.objects.get(name="Mine")
    assert made.memberships.get().role == "owner"
    assert made.datasets.count() >= 10


def test_another_organizations_settings_do_not_exist(owner: Client, globex: Organization) -> None:
    page = reverse("admin:tenants_organization_change", args=[globex.public_id])

    assert owner.get(page).url == "/admin/"
    owner.post(page, {"name": "Taken", "timezone": "UTC", "currency": "EUR"})
    globex.refresh_from_db()
    assert globex.name == "Globex"


def test_settings_of_ones_other_organization_open_only_when_one_works_there(
    owner: Client, globex: Organization
) -> None:
    from apps.tenants.services import organizations

    user = User.objects.get(email="owner@acme.example")
    organizations.admit(organization=globex, user=user, role="auditor")
    page = reverse("admin:tenants_organization_change", args=[globex.public_id])

    assert owner.post(page, {"name": "Taken", "timezone": "UTC", "currency": "EUR"}).status_code == 403
    globex.refresh_from_db()
    assert globex.name == "Globex"


def test_projects_are_added_to_the_current_organization(owner: Client, acme: Organization) -> None:
    response = owner.post(
        reverse("admin:tenants_project_add"), {"name": "North", "slug": "north", "is_active": "on"}
    )

    assert response.status_code == 302
    project = Project.objects.get()
    assert project.organization == acme
    entry = last_entry()
    assert (entry.action, entry.object_ref) == ("project.created", project.public_id)
    assert entry.changes["name"] == [None, "North"]


def test_two_projects_of_one_name_are_refused_in_the_form(owner: Client, acme: Organization) -> None:
    Project.objects.create(organization=acme, name="North", slug="north")

    response = owner.post(reverse("admin:tenants_project_add"), {"name": "N", "slug": "north"})

    assert response.status_code == 200
    assert Project.objects.count() == 1


def test_no_django_log_entries_are_written(owner: Client) -> None:
    from django.contrib.admin.models import LogEntry

    owner.post(reverse("admin:tenants_project_add"), {"name": "North", "slug": "north"})

    assert Membership.objects.count() == 1
    assert not LogEntry.objects.exists()
