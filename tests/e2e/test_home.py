"""Coming in, and the first page."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import OWNER, PASSWORD

pytestmark = pytest.mark.e2e


def test_the_login_page_refuses_and_lets_in(window: Callable[..., Page]) -> None:
    page = window()
    page.goto("/admin/")
    expect(page).to_have_url(re.compile(r"/admin/login/\?next=/admin/"))

    page.fill("input[name=username]", OWNER)
    page.fill("input[name=password]", "wrong-horse")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("body")).to_contain_text("Please enter the correct")

    page.fill("input[name=username]", OWNER.upper())
    page.fill("input[name=password]", PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(re.compile(r"/admin/$"))
    expect(page).to_have_title(re.compile("Northwind"))

    page.get_by_text("olivia@").first.click()
    page.get_by_role("button", name=re.compile("log ?out", re.I)).or_(
        page.get_by_role("link", name=re.compile("log ?out", re.I))
    ).first.click()
    expect(page.locator("body")).not_to_contain_text("Needs attention")
    page.goto("/admin/data/clients/")
    expect(page).to_have_url(re.compile("/admin/login/"))


def test_the_home_page_tells_how_things_are_and_leads_on(page: Page) -> None:
    page.goto("/admin/")
    expect(page.get_by_role("heading", name="Needs attention")).to_be_visible()
    records = page.locator(".hub-kpi", has_text="Records")
    expect(records.first).to_be_visible()

    page.get_by_role("link", name="Import a file").first.click()
    expect(page).to_have_url(re.compile("/admin/jobs/import/"))
    page.locator("#nav-sidebar").get_by_role("link", name="Clients").click()
    expect(page.get_by_role("heading", name="Clients").first).to_be_visible()
    expect(page.locator("#result_list tbody tr")).not_to_have_count(0)


def test_a_list_is_searched_filtered_and_paged(page: Page) -> None:
    page.goto("/admin/data/clients/")
    page.fill("input[name=q]", "customer 017")
    page.press("input[name=q]", "Enter")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator("#result_list")).to_contain_text("C-017")

    page.goto("/admin/data/clients/?p=2")
    expect(page.locator("#result_list")).to_contain_text("C-00")


def test_dark_mode_follows_the_system_and_the_switch(
    window: Callable[..., Page], signed_in_state: dict[str, Any]
) -> None:
    page = window(state=signed_in_state, size="dark")
    page.goto("/admin/")
    assert _brightness(page) < 60

    light = window(state=signed_in_state)
    light.goto("/admin/")
    assert _brightness(light) > 200
    light.get_by_text("olivia@").first.click()
    light.get_by_text("Dark", exact=True).first.click()
    expect(light.locator("html")).to_have_class(re.compile(r"\bdark\b"))
    assert _brightness(light) < 60
    light.reload()
    expect(light.locator("html")).to_have_class(re.compile(r"\bdark\b"))


def _brightness(page: Page) -> float:
    """0 to 255: of the page's background behind everything."""
    color = page.evaluate(
        """() => {
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
            canvas.fillRect(0, 0, 1, 1);
            return Array.from(canvas.getImageData(0, 0, 1, 1).data);
        }"""
    )
    return float(sum(color[:3]) / 3)
