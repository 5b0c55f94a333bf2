"""Every admin of the house: what belongs to others does not exist, nothing stored runs, lists cost the same
for fifty rows as for one."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.db import connection, models
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from apps.kernel.admin import HubModelAdmin, dashboard
from apps.records.models import Change, Dataset, Record
from apps.tenants.models import Organization, User
from apps.tenants.services import organizations
from tests.house.samples import ATTACK, Maker
from tests.people import member, signed_in

REGISTERED = sorted(admin.site._registry, key=lambda m: m._meta.label)
# Rows of the installation, not of an organization, or lists at an address of their own (tests/records/admin).
SHARED = {m for m, a in admin.site._registry.items() if getattr(a, "organization_path", None) is None}
OWNED = [m for m in REGISTERED if m not in SHARED and m is not Record]
RAW = re.compile(r"<img src=x onerror|<script>alert\(2\)|href=[\"']?javascript:", re.IGNORECASE)


def label(model: type[models.Model]) -> str:
    return model._meta.label


def registered(model: type[models.Model]) -> HubModelAdmin:
    found = admin.site._registry[model]
    assert isinstance(found, HubModelAdmin)
    return found


def address(model: type[models.Model], view: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}", args=args)


def dataset_of(organization: Organization) -> Dataset:
    return Dataset.objects.get(organization=organization, slug="clients")


def maker(organization: Organization) -> Maker:
    made = Maker(organization)
    made._made[Dataset] = dataset_of(organization)
    made._made[Record] = made.make(Record, data={"name": ATTACK}, key="K1")
    return made


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def globex(db: None) -> Organization:
    return organizations.create(name="Globex")


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


def test_only_admins_of_the_house_are_registered() -> None:
    assert [label(m) for m, a in admin.site._registry.items() if not isinstance(a, HubModelAdmin)] == []


def test_every_admin_says_whose_rows_it_shows_and_who_may_see_them() -> None:
    for model in REGISTERED:
        found = registered(model)
        assert found.scope_resource, f"{label(model)} names no scope"
        assert found.show_full_result_count is False
        if found.organization_path is not None:
            assert "organization" in found.organization_path


@pytest.mark.parametrize("model", OWNED, ids=label)
def test_rows_of_another_organization_are_not_listed(
    model: type[models.Model], owner: Client, acme: Organization, globex: Organization
) -> None:
    mine, theirs = maker(acme).make(model), maker(globex).make(model)
    found = registered(model)

    page = owner.get(address(model, "changelist"))

    assert page.status_code == 200
    html = page.content.decode()
    assert found.ref_of(theirs) not in html
    if model is not Change:
        assert list(page.context["cl"].queryset.filter(pk=theirs.pk)) == []
    assert mine in page.context["cl"].queryset


@pytest.mark.parametrize("model", OWNED, ids=label)
def test_an_object_of_another_organization_answers_as_a_missing_one(
    model: type[models.Model], owner: Client, globex: Organization
) -> None:
    """Every page of an object, its actions included, by GET and by POST."""
    theirs = maker(globex).make(model)
    missing = _never_stored(theirs)
    found = registered(model)
    before = model._base_manager.filter(pk=theirs.pk).values().get()
    views = ["change", "delete", "history", "progress"]
    views += [action.action_name.split("_", 2)[2] for action in found._get_base_actions_detail()]
    for view in dict.fromkeys(views):
        try:
            paths = [address(model, view, _quoted(found, row)) for row in (theirs, missing)]
        except NoReverseMatch:
            continue
        for method in (owner.get, owner.post):
            data = {"_confirmed": "1", "post": "yes"}
            answers = [method(path, data) for path in paths]
            assert len({_told(a, path) for a, path in zip(answers, paths, strict=True)}) == 1, view
            assert {a.status_code for a in answers} <= {302, 403, 404, 405}, view
    assert model._base_manager.filter(pk=theirs.pk).values().get() == before


def _never_stored(row: Any) -> Any:
    """A row like it that was never stored: the same but for its name in addresses."""
    other = type(row)(**{f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields})
    from apps.kernel import ids

    if isinstance(row._meta.pk, models.UUIDField):
        other.pk = ids.uuid7()
    else:
        other.pk = 10**9
    for name in ("number", "slug"):
        if hasattr(other, name) and isinstance(getattr(other, name), str):
            setattr(other, name, f"{getattr(row, name)}9")
    if hasattr(other, "user_id"):
        other.user = User(email="nobody@example.com")
    return other


def _quoted(found: HubModelAdmin, row: models.Model) -> str:
    return quote(found.ref_of(row))


def _told(answer: Any, path: str) -> tuple[int, str]:
    """What a visitor can tell two answers apart by: the status and where it leads."""
    return answer.status_code, answer.headers.get("Location", "").replace(path, "…")


@pytest.mark.parametrize("model", OWNED, ids=label)
def test_ticking_a_row_of_another_organization_does_nothing(
    model: type[models.Model], owner: Client, acme: Organization, globex: Organization
) -> None:
    maker(acme).make(model)
    theirs = maker(globex).make(model)
    found = registered(model)
    before = model._base_manager.filter(pk=theirs.pk).values().get()
    request = owner.get(address(model, "changelist")).wsgi_request
    for action in found.get_actions(request):
        for ref in (found.ref_of(theirs), str(theirs.pk)):
            data = {"action": action, "index": "0", "_selected_action": ref, "_confirmed": "1", "post": "yes"}
            answer = owner.post(address(model, "changelist"), data)
            assert answer.status_code in (200, 302)
    assert model._base_manager.filter(pk=theirs.pk).values().get() == before


@pytest.mark.parametrize("model", REGISTERED, ids=label)
def test_nothing_that_is_stored_runs_and_no_secret_shows(
    model: type[models.Model], acme: Organization
) -> None:
    operator = signed_in(member(acme, "owner", email="op@example.com", is_superuser=True))
    made = maker(acme)
    row = made._made[Record] if model is Record else made.make(model)
    found = registered(model)
    paths = [f"/admin/data/clients/{row.public_id}/", "/admin/data/clients/"] if model is Record else [
        address(model, "changelist"),
        found.object_url(row),
        address(model, "delete", _quoted(found, row)),
        address(model, "history", _quoted(found, row)),
    ]  # fmt: skip
    for path in [*paths, "/admin/"]:
        answer = operator.get(path, follow=True)
        assert answer.status_code in (200, 403), path
        html = answer.content.decode()
        assert RAW.search(html) is None, path
        assert "sk_secret_" not in html, path


@pytest.mark.parametrize("model", [m for m in REGISTERED if m not in (Record, Organization)], ids=label)
def test_a_list_costs_the_same_for_fifty_rows_as_for_one(
    model: type[models.Model], acme: Organization
) -> None:
    operator = signed_in(member(acme, "owner", email="op@example.com", is_superuser=True))
    made = maker(acme)
    made.make(model)
    path = address(model, "changelist")
    operator.get(path)
    with CaptureQueriesContext(connection) as one:
        assert operator.get(path).status_code == 200
    for _ in range(49):
        made.make(model)
    with CaptureQueriesContext(connection) as fifty:
        page = operator.get(path)
    assert len(page.context["cl"].result_list) >= 50 or model is Change
    extra = [q["sql"] for q in fifty.captured_queries][len(one) :]
    assert len(fifty) <= len(one), extra[:3]


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "staff", "auditor"])
def test_every_page_of_the_menu_opens_for_every_role(acme: Organization, role: str) -> None:
    client = signed_in(member(acme, role))
    home = client.get("/admin/")
    links = [item["link"] for group in home.context["sidebar_navigation"] for item in group["items"]]

    assert "/admin/data/clients/" in links
    assert dashboard.BROKEN not in home.content.decode()
    for link in links:
        answer = client.get(link, follow=True)
        assert answer.status_code == 200, link


def test_the_home_page_costs_the_same_for_much_as_for_little(acme: Organization) -> None:
    client = signed_in(member(acme, "owner"))
    client.get("/admin/")
    with CaptureQueriesContext(connection) as little:
        client.get("/admin/")
    made = maker(acme)
    for model in OWNED:
        for _ in range(12):
            made.make(model)
    client.get("/admin/")
    with CaptureQueriesContext(connection) as much:
        page = client.get("/admin/").content.decode()
    assert dashboard.BROKEN not in page

    assert len(much) <= len(little) + 3, [q["sql"] for q in much.captured_queries][len(little) :]


def test_the_palette_finds_pages_and_objects_of_this_organization_only(
    owner: Client, acme: Organization, globex: Organization
) -> None:
    from apps.tenants.models import Project

    Project.objects.create(organization=acme, name="Northern lights", slug="n")
    Project.objects.create(organization=globex, name="Northern secret", slug="n")

    page = owner.get("/admin/search/?extended=1&s=northern").content.decode()
    assert "Northern lights" in page
    assert "Northern secret" not in page
    assert "Audit log" in owner.get("/admin/search/?extended=1&s=audit").content.decode()


def test_the_palette_forgets_the_organization_that_one_has_left(
    owner: Client, acme: Organization, globex: Organization
) -> None:
    from apps.tenants.models import Project

    Project.objects.create(organization=acme, name="Northern lights", slug="n")
    user = User.objects.get(email="owner@acme.example")
    organizations.admit(organization=globex, user=user, role="owner")
    assert "Northern lights" in owner.get("/admin/search/?extended=1&s=north").content.decode()

    owner.post("/admin/switch-organization/", {"organization": "globex"})

    assert "Northern lights" not in owner.get("/admin/search/?extended=1&s=north").content.decode()
