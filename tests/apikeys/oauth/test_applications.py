"""Applications over the API and in the admin, and what people see of what they allowed."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.core import serializers as dumps
from rest_framework.test import APIClient

from apps.apikeys.models import Application, Consent, TokenFamily
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization, User
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.oauth.conftest import DEVICE_GRANT, Asking, Register, calls
from tests.apikeys.oauth.test_jwt import tokens_of
from tests.people import hub_messages, member, signed_in

ADDRESS = "/api/v1/oauth-applications"
NEW = {"name": "Shop", "redirect_uris": ["https://shop.example.com/cb"], "scopes": ["records:read"]}


@pytest.fixture
def client(acme: Organization, issue: Issue) -> APIClient:
    return client_of(issue(acme).secret)


def test_a_life_over_the_api(client: APIClient, acme: Organization) -> None:
    made = client.post(ADDRESS, {**NEW, "flows": ["client_credentials", "authorization_code"]})
    assert made.status_code == 201, made.content
    told = made.json()
    assert told["client_secret"].startswith("ocs_")
    assert told["flows"] == ["authorization_code", "client_credentials"]
    one = made.headers["Location"]
    read = client.get(one)
    assert "client_secret" not in read.json()
    assert read.json()["secret_hint"] == told["client_secret"][-4:]
    assert [item["id"] for item in client.get(ADDRESS).json()["data"]] == [told["id"]]

    changed = client.patch(one, {"name": "Shop 2"}, headers={"If-Match": read.headers["ETag"]})
    assert changed.json()["name"] == "Shop 2"
    assert client.patch(one, {"name": "x"}, headers={"If-Match": read.headers["ETag"]}).status_code == 412
    rotated = client.post(f"{one}/rotate-secret", {"overlap_seconds": 60}).json()
    assert rotated["client_secret"] != told["client_secret"]
    assert client.delete(one).status_code == 204
    assert client.get(one).status_code == 404
    actions = set(AuditEntry.objects.filter(organization=acme).values_list("action", flat=True))
    assert {f"application.{verb}" for verb in ("created", "updated", "secret_rotated", "deleted")} <= actions


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"redirect_uris": ["http://shop.example.com/cb"]}, "/redirect_uris/0"),
        ({"redirect_uris": []}, "/redirect_uris"),
        ({"scopes": ["everything"]}, "/scopes/0"),
        ({"scopes": ["records:read", "recrods:read"]}, "/scopes/1"),
        ({"flows": ["password"]}, "/flows/0"),
        ({"homepage": "javascript:alert(1)"}, "/homepage"),
        ({"homepage": "https://["}, "/homepage"),
        ({"homepage": "https://example.com:99999"}, "/homepage"),
        ({"client_type": "public", "flows": ["client_credentials"]}, "/flows"),
        ({"allowed_origins": ["*"]}, "/allowed_origins/0"),
        ({"api_version": "v99"}, "/api_version"),
        ({"client_secret": "mine"}, "/client_secret"),
        ({"organization": "globex"}, "/organization"),
    ],
)
def test_mistakes_have_pointers(client: APIClient, change: dict[str, Any], pointer: str) -> None:
    answer = client.post(ADDRESS, {**NEW, **change})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_nobody_gives_more_than_they_have(acme: Organization, issue: Issue, register: Register) -> None:
    small = client_of(issue(acme, scopes=["applications:*", "records:read"]).secret)
    assert small.post(ADDRESS, NEW).status_code == 201
    assert small.post(ADDRESS, {**NEW, "scopes": ["records:write"]}).status_code == 403
    mighty = f"{ADDRESS}/{register().application.client_id}"
    for answer in (
        small.patch(mighty, {"redirect_uris": ["https://evil.example/cb"]}),
        small.post(f"{mighty}/rotate-secret"),
        small.delete(mighty),
    ):
        assert answer.status_code == 403
        assert answer.json()["code"] == "scope_not_held"
    walled = client_of(issue(acme, scopes=["*:*"], ip_whitelist=["127.0.0.1"]).secret)
    assert walled.post(ADDRESS, NEW).status_code == 403


def test_another_organizations_applications_do_not_exist(
    client: APIClient, register: Register, globex: Organization
) -> None:
    foreign = f"{ADDRESS}/{register(globex).application.client_id}"
    assert client.get(foreign).status_code == 404
    assert client.patch(foreign, {"name": "x"}).status_code == 404
    assert client.delete(foreign).status_code == 404
    assert client.post(f"{foreign}/rotate-secret").status_code == 404
    assert client.get(ADDRESS).json()["data"] == []


def test_the_secret_is_shown_once_in_the_admin(owner: User) -> None:
    browser = signed_in(owner)
    assert browser.get("/admin/apikeys/application/add/").status_code == 200
    form = {
        "name": "Shop",
        "homepage": "",
        "description": "Orders",
        "client_type": "confidential",
        "flows": ["authorization_code"],
        "redirect_uris": "https://shop.example.com/cb",
        "scopes": "records:read",
        "allowed_origins": "",
    }
    answer = browser.post("/admin/apikeys/application/add/", form)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "ocs_" in text, text[:2000]
    application = Application.objects.get()
    page = f"/admin/apikeys/application/{application.client_id}/change/"
    shown = browser.get(page).content.decode()
    assert application.client_id in shown
    assert application.client_secret not in shown
    assert browser.get("/admin/apikeys/application/").status_code == 200
    wrong = browser.post("/admin/apikeys/application/add/", {**form, "redirect_uris": "http://x.example"})
    assert "Use https" in wrong.content.decode()


def test_people_see_whom_they_let_in_and_take_it_back(asking: Asking, acme: Organization) -> None:
    tokens = asking.signed_in()
    page = asking.browser.get("/admin/authorized-apps/")
    text = page.content.decode()
    assert "Shop Sync" in text
    assert "See records of every kind" in text

    other = signed_in(member(acme, "admin"))
    ref = Consent.objects.get().public_id
    other.post("/admin/authorized-apps/", {"end": ref})
    assert Consent.objects.exists()
    assert "Shop Sync" not in other.get("/admin/authorized-apps/").content.decode()

    answer = asking.browser.post("/admin/authorized-apps/", {"end": ref}, follow=True)
    assert "can no longer use" in hub_messages(answer)[0]
    assert calls(tokens["access_token"], "/api/v1/records/clients").status_code == 401
    assert AuditEntry.objects.filter(action="application.deauthorized").exists()


def test_people_end_their_own_sign_ins(owner: User, acme: Organization) -> None:
    tokens = tokens_of(owner)
    ref = TokenFamily.objects.get().public_id
    signed_in(member(acme, "admin")).post("/admin/authorized-apps/", {"end": ref})
    assert calls(tokens["access_token"]).status_code == 200
    signed_in(owner).post("/admin/authorized-apps/", {"end": ref})
    assert calls(tokens["access_token"]).status_code == 401


def test_nothing_of_a_secret_is_in_the_database(asking: Asking, owner: User) -> None:
    code = asking.code(scope="records:read openid")
    tokens = asking.exchange(code).json()
    again = asking.refresh(tokens["refresh_token"]).json()
    alone = asking.token(grant_type="client_credentials").json()
    begun = asking.post("/oauth/device-authorization").json()
    asking.token(grant_type=DEVICE_GRANT, device_code=begun["device_code"])
    unused = asking.code(scope="records:read openid")
    mine = tokens_of(owner)
    rows: list[Any] = []
    for model in apps.get_models():
        if model._meta.managed and not model._meta.proxy:
            rows.extend(model._base_manager.all())
    dump = dumps.serialize("json", rows) + str([vars(row) for row in rows])
    for secret in (
        asking.issued.secret, code, unused, asking.verifier, tokens["access_token"], tokens["refresh_token"],
        tokens["id_token"], again["access_token"], again["refresh_token"], alone["access_token"],
        begun["device_code"], begun["user_code"], mine["access_token"], mine["refresh_token"],
    ):  # fmt: skip
        assert secret not in dump
        assert secret[4:] not in dump
