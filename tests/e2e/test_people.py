"""Colleagues: invited with a role, and kept to it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import PASSWORD, Hub, Watch

pytestmark = pytest.mark.e2e

STAFF, OWN_PASSWORD = "sam@northwind.example", "a-password-of-my-own-9"


def test_staff_see_their_organization_and_what_their_role_permits(
    page: Page, window: Callable[..., Page], hub: Hub, watch: Watch
) -> None:
    other = hub.process.manage_json(
        "bootstrap", "--organization", "Fabrikam", "--email", "fred@fabrikam.example",
        "--password", PASSWORD, "--json",
    )  # fmt: skip
    mine, hub.api_key = hub.api_key, other["api_key"]
    hub.api("POST", "records/clients", json={"external_id": "F-1", "name": "Fabrikam secret client"})
    theirs = hub.api("GET", "records/clients/key:F-1").json()["id"]
    hub.api_key = mine

    page.goto("/admin/tenants/membership/add/")
    page.fill("input[name=email]", STAFF)
    page.fill("input[name=first_name]", "Sam")
    page.select_option("select[name=role]", "staff")
    page.get_by_role("button", name="Save", exact=True).click()
    once = page.locator("code").first.inner_text()

    sam = window()
    sam.goto("/admin/login/")
    sam.fill("input[name=username]", STAFF)
    sam.fill("input[name=password]", once)
    sam.get_by_role("button", name="Log in").click()
    expect(sam).to_have_url(re.compile("password_change"))
    sam.fill("input[name=old_password]", once)
    sam.fill("input[name=new_password1]", OWN_PASSWORD)
    sam.fill("input[name=new_password2]", OWN_PASSWORD)
    sam.get_by_role("button", name=re.compile("change", re.I)).last.click()

    sam.goto("/admin/")
    menu = sam.locator("#nav-sidebar")
    expect(menu.get_by_role("link", name="Clients")).to_be_attached()
    for hidden in ("API keys", "Endpoints", "Audit log", "Members"):
        expect(menu.get_by_role("link", name=hidden, exact=True)).to_have_count(0)
    expect(sam.locator("body")).not_to_contain_text("Fabrikam")

    sam.goto("/admin/data/clients/?q=F-1")
    expect(sam.locator("body")).not_to_contain_text("Fabrikam secret client")
    sam.goto("/admin/data/clients/?q=C-001")
    expect(sam.locator("#result_list")).to_contain_text("Customer 001")

    watch.expect(403, 404)
    for path in (
        f"/admin/data/clients/{theirs}/",
        "/admin/data/clients/key:F-1/",
        "/admin/apikeys/apikey/",
        "/admin/webhooks/webhookendpoint/",
        "/admin/audit/auditentry/",
        "/admin/tenants/membership/",
    ):
        answer = sam.goto(path)
        assert answer is not None
        assert answer.status in (403, 404), path
        expect(sam.locator("body")).not_to_contain_text("Fabrikam secret client")
