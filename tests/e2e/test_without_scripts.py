"""The sign-in page in a browser that runs no scripts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import OWNER, PASSWORD, Hub

pytestmark = pytest.mark.e2e


def test_one_can_sign_in_without_scripts(browser: Browser, hub: Hub) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto(f"{hub.url}/admin/")
        expect(page.get_by_role("heading", name="Integration Hub")).to_be_visible()
        page.fill("input[name=username]", OWNER)
        page.fill("input[name=password]", PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page).to_have_url(re.compile(r"/admin/$"))
        expect(page.locator("main, #content, #page").first).to_be_visible()
    finally:
        context.close()
