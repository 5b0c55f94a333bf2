"""An API key: shown once, used, revoked."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Hub

pytestmark = pytest.mark.e2e


def test_a_key_is_shown_once_opens_the_api_and_ends(page: Page, hub: Hub) -> None:
    page.goto("/admin/")
    page.get_by_role("link", name="Create an API key").first.click()
    page.fill("input[name=name]", "Reporting")
    page.check("input[name=chosen][value='records:read']")
    page.get_by_role("button", name="Save", exact=True).click()
    key = page.locator("#api-key").inner_text()
    assert key.startswith("sk_live_")

    def call(method: str = "GET") -> int:
        address = f"{hub.url}/api/v1/records/clients"
        return httpx.request(
            method, address, headers={"Authorization": f"Bearer {key}"}, timeout=30
        ).status_code

    assert call() == 200
    assert call("POST") in (400, 403)
    page.get_by_role("link", name="Done").click()
    expect(page.locator("input[name=name]")).to_have_value("Reporting")
    assert key not in page.content()

    page.get_by_role("link", name="Revoke").first.click()
    page.get_by_role("button", name=re.compile("Revoke")).last.click()
    expect(page.locator("body")).to_contain_text("Revoked")
    assert call() == 401


def test_the_documentation_opens_without_help_from_outside(page: Page) -> None:
    page.goto("/api/docs")
    expect(page.locator(".opblock-tag").first).to_be_visible(timeout=60_000)
