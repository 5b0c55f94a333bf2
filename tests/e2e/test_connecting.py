"""Connecting a system, from the catalog to its records."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.connectors.shop import TOKEN
from tests.e2e.conftest import Hub
from tests.peers.rest_peer import RestPeer

pytestmark = pytest.mark.e2e


def test_a_system_is_connected_tested_activated_and_synced(page: Page, hub: Hub, shop: RestPeer) -> None:
    page.goto("/admin/")
    page.get_by_role("link", name="Connect a system").first.click()
    page.locator("a[href$='/catalog/rest/']").first.click()

    page.fill("input[name=name]", "Corner shop")
    page.fill("input[name$=base_url]", shop.url)
    page.fill("input[name$=test_path]", "/me")
    page.select_option("select[name=auth_mode]", "bearer")
    page.locator("input[type=password]:visible").fill("not-the-token")
    page.get_by_role("button", name="Add a stream").click()
    row = page.locator("[data-row]").last
    row.locator("input[name$='-name']").fill("customers")
    row.locator("input[name$='-path']").first.fill("/cursor/customers")
    row.locator("input[name$='-records_path']").fill("results")
    row.locator("input[name$='-remote_id']").fill("id")
    row.locator("select[name$='-dataset']").select_option("clients")
    row.locator("select[name$='-kind']").select_option("cursor")
    row.locator("input[name$='-p_param']").fill("after")
    row.locator("input[name$='-p_next_path']").fill("paging.next.after")
    row.locator("summary", has_text="Changes only").click()
    row.locator("input[name$='-cursor_path']").fill("updated_at")
    row.locator("input[name$='-since_name']").fill("updated_since")
    row.locator("select[name$='-mode']").select_option("incremental")
    row.locator("summary", has_text="mapping written here").click()
    row.locator("textarea[name$='-inline_mapping']").fill(
        '{"fields": [{"target": "external_id", "source": "id", "transforms": "prefix(\'S-\')"},'
        ' {"target": "name", "source": "name"}, {"target": "email", "source": "email"}]}'
    )
    page.select_option("select[name=schedule]", "")
    page.get_by_role("button", name="Save and test").click()

    # The provider refuses the wrong token, and the page says so.
    expect(page.locator("body")).to_contain_text("Saved, but the test failed.")
    expect(page.locator("body")).to_contain_text("refused the credentials")
    page.locator("a[href$='/settings/']").click()
    page.locator("input[type=password]:visible").fill(TOKEN)
    page.get_by_role("button", name="Save and test").click()
    expect(page.locator("body")).to_contain_text("The connection works")
    expect(page.locator("body")).not_to_contain_text(TOKEN)

    _do(page, "activate")
    expect(page.locator(".hub-kpi", has_text="Status")).to_contain_text("Active")
    _do(page, "sync_now")
    expect(page).to_have_url(re.compile(r"/syncjob/SYN-\d{4}-\d{5}/"))
    # The page follows the sync by itself until it has ended.
    expect(page.locator(".hub-badge", has_text="Completed").first).to_be_visible(timeout=60_000)
    expect(page.locator(".hub-kpi", has_text="Refused").locator("strong")).to_have_text("0")
    expect(page.locator(".hub-kpi", has_text="New").locator("strong")).to_have_text("25")

    page.goto("/admin/data/clients/?q=S-17")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator("#result_list")).to_contain_text("customer17@example.com")
    assert hub.api("GET", "records/clients/key:S-17").json()["name"] == "Customer 17"


def _do(page: Page, deed: str) -> None:
    """Use an action of the page, and confirm it where it asks."""
    with page.expect_navigation():
        page.locator(f"a[href$='/{deed}/']").first.click()
    confirm = page.locator(".hub-confirm button[type=submit]")
    if confirm.count():
        with page.expect_navigation():
            confirm.first.click()
