"""What browsers ask before a page's script calls the API, and which pages may read the answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.apikeys.models import Application
from apps.apikeys.services import applications
from apps.records.models import Record
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.people import member, signed_in

SHOP, STRANGER = "https://shop.example.com", "https://evil.example.com"
ALLOW = "Access-Control-Allow-Origin"


@pytest.mark.parametrize(
    "path", ["/api/v1/records/clients", "/api/v2/api-keys/KEY-1", "/api/health", "/oauth/token"]
)
def test_every_page_may_ask_and_nothing_of_the_visitor_goes_along(db: None, path: str) -> None:
    asked = Client().options(
        path,
        HTTP_ORIGIN=STRANGER,
        HTTP_ACCESS_CONTROL_REQUEST_METHOD="PATCH",
        HTTP_ACCESS_CONTROL_REQUEST_HEADERS="authorization,content-type,if-match",
    )
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked[ALLOW] == STRANGER
    assert "PATCH" in asked["Access-Control-Allow-Methods"]
    allowed = {name.strip().lower() for name in asked["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "x-api-key", "content-type", "if-match", "idempotency-key"} <= allowed
    assert asked["Access-Control-Max-Age"] == "600"
    assert "Origin" in asked["Vary"]
    # With it a page could act as whoever is signed in to the admin.
    assert not asked.has_header("Access-Control-Allow-Credentials")


def test_a_question_asks_nothing_of_the_database(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        Client().options("/api/v1/jobs", HTTP_ORIGIN=SHOP, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")


def test_pages_of_the_key_read_its_answers_and_others_are_refused(acme: Organization, issue: Issue) -> None:
    client = client_of(issue(acme, allowed_origins=["https://Shop.example.com"]).secret)
    mine = client.get("/api/v1/records/clients", HTTP_ORIGIN=SHOP)
    assert (mine.status_code, mine[ALLOW]) == (200, SHOP)
    assert {"RateLimit", "X-Request-ID", "ETag"} <= {
        name.strip() for name in mine["Access-Control-Expose-Headers"].split(",")
    }
    body = {"name": "Written from a page"}
    theirs = client.post("/api/v1/records/clients", body, format="json", HTTP_ORIGIN=STRANGER)
    assert (theirs.status_code, theirs.json()["code"]) == (403, "origin_not_allowed")
    assert Record.objects.count() == 0
    for origin in (
        "null",
        "https://shop.example.com.evil.example.com",
        "http://shop.example.com",
        f"{SHOP}:444",
    ):
        assert client.get("/api/v1/records/clients", HTTP_ORIGIN=origin).status_code == 403
    missing = client.get("/api/v1/records/clients/REC-1", HTTP_ORIGIN=SHOP)
    assert (missing.status_code, missing[ALLOW]) == (404, SHOP)


def test_a_page_of_the_hub_itself_names_its_origin_in_another_way(acme: Organization, issue: Issue) -> None:
    """Browsers send no Origin with a page's reads from its own server: “Try it” of the documentation."""
    page = {"Sec-Fetch-Site": "same-origin"}
    ours = client_of(issue(acme, allowed_origins=["http://testserver"]).secret)
    assert ours.get("/api/v1/records/clients", headers=page).status_code == 200
    theirs = client_of(issue(acme, allowed_origins=["https://shop.example.com"]).secret)
    refused = theirs.get("/api/v1/records/clients", headers=page)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert "http://testserver" in refused.json()["detail"]
    for told in (
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert ours.get("/api/v1/records/clients", headers=told).status_code == 403
    # An Origin that is told counts alone.
    told = {**page, "Origin": "https://evil.example.com"}
    assert ours.get("/api/v1/records/clients", headers=told).status_code == 403


def test_answers_for_a_key_without_origins_are_read_by_no_page(acme: Organization, issue: Issue) -> None:
    client = client_of(issue(acme).secret)
    answer = client.get("/api/v1/records/clients", HTTP_ORIGIN=STRANGER)
    assert answer.status_code == 200
    assert not answer.has_header(ALLOW)
    assert "Origin" in answer["Vary"]
    # Nor is what everybody may call: a hub inside a company is no business of pages outside.
    assert not Client().get("/api/versions", HTTP_ORIGIN=STRANGER).has_header(ALLOW)
    assert not Client().get("/api/versions").has_header("Vary")


def test_why_a_caller_was_refused_may_be_read(acme: Organization, issue: Issue) -> None:
    answer = client_of("sk_live_nonsense").get("/api/v1/records/clients", HTTP_ORIGIN=SHOP)
    assert (answer.status_code, answer[ALLOW]) == (401, SHOP)


def test_origins_of_the_installation_read_everything(acme: Organization, issue: Issue, settings: Any) -> None:
    settings.CORS_ORIGINS = (SHOP,)
    client = client_of(issue(acme).secret)
    assert client.get("/api/v1/records/clients", HTTP_ORIGIN=SHOP)[ALLOW] == SHOP
    assert Client().get("/api/versions", HTTP_ORIGIN=SHOP)[ALLOW] == SHOP
    assert not client.get("/api/v1/records/clients", HTTP_ORIGIN=STRANGER).has_header(ALLOW)
    settings.CORS_ORIGINS = ("*",)
    answer = client.get("/api/v1/records/clients", HTTP_ORIGIN=STRANGER)
    assert answer[ALLOW] == STRANGER
    assert not answer.has_header("Access-Control-Allow-Credentials")


def test_pages_do_not_read_what_a_session_is_answered(acme: Organization) -> None:
    client = signed_in(member(acme, "owner"))
    answer = client.get("/api/v1/api-keys", HTTP_ORIGIN=STRANGER)
    assert answer.status_code == 200
    assert not answer.has_header(ALLOW)


def test_an_application_in_a_browser_gets_and_uses_its_tokens(acme: Organization) -> None:
    issued = applications.create(
        organization=acme,
        actor=SYSTEM,
        name="In a browser",
        flows=[Application.Flow.CLIENT_CREDENTIALS],
        scopes=["records:read"],
        allowed_origins=[SHOP],
    )
    form = {
        "grant_type": "client_credentials",
        "client_id": issued.application.client_id,
        "client_secret": issued.secret,
    }
    form_type = {"content_type": "application/x-www-form-urlencoded"}

    def ask(origin: str, **more: str) -> Any:
        text = "&".join(f"{name}={value}" for name, value in {**form, **more}.items())
        return Client().post("/oauth/token", text, HTTP_ORIGIN=origin, **form_type)

    got = ask(SHOP)
    assert (got.status_code, got[ALLOW]) == (200, SHOP)
    wrong = ask(SHOP, client_secret="wrong")
    assert (wrong.status_code, wrong[ALLOW]) == (401, SHOP)
    assert not ask(STRANGER).has_header(ALLOW)
    client = client_of(got.json()["access_token"])
    assert client.get("/api/v1/records/clients", HTTP_ORIGIN=SHOP)[ALLOW] == SHOP
    assert not client.get("/api/v1/records/clients", HTTP_ORIGIN=STRANGER).has_header(ALLOW)


def test_a_header_cannot_be_smuggled_in_as_an_origin(acme: Organization, issue: Issue) -> None:
    answer = client_of("sk_live_no").get("/api/v1/jobs", HTTP_ORIGIN="https://a\r\nSet-Cookie: b=c")
    assert not answer.has_header(ALLOW)
    assert not answer.has_header("Set-Cookie")
