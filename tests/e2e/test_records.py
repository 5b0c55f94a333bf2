"""Records by hand: edited with a history, in datasets of one's own, and whatever somebody wrote into them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Hub

pytestmark = pytest.mark.e2e

HOSTILE = '<script>window.owned=1</script><img src=x onerror="window.owned=1">'


def test_a_record_is_edited_and_its_history_shows_the_difference(page: Page, hub: Hub) -> None:
    page.goto("/admin/data/clients/?q=C-021")
    page.locator("#result_list tbody tr").get_by_role("link").first.click()
    expect(page.locator("#record-form [name=value-name]")).to_have_value("Customer 021")

    page.fill("#record-form [name=value-email]", "not an address")
    page.locator("#record-form").get_by_role("button", name="Save").click()
    expect(page.locator(".hub-form-error").first).to_be_visible()
    page.fill("#record-form [name=value-email]", "new@example.com")
    page.fill("#record-form [name=value-city]", "Lyon")
    page.locator("#record-form").get_by_role("button", name="Save").click()

    page.goto("/admin/data/clients/key:C-021/")
    history = page.locator("#history")
    latest = history.locator("li").first
    expect(latest).to_contain_text("Updated")
    expect(latest).to_contain_text("olivia@northwind.example")
    expect(latest.locator("tr", has_text="E-mail")).to_contain_text("c21@example.com")
    expect(latest.locator("tr", has_text="E-mail")).to_contain_text("new@example.com")
    expect(latest.locator("tr", has_text="City")).to_contain_text("Lyon")

    latest.get_by_role("button").first.click()
    expect(page.locator("#record-form [name=value-email]")).to_have_value("c21@example.com")
    assert hub.api("GET", "records/clients/key:C-021").json()["email"] == "c21@example.com"


def test_a_dataset_of_ones_own_is_defined_and_filled(page: Page, hub: Hub) -> None:
    page.goto("/admin/records/dataset/add/")
    page.fill("input[name=name]", "Site visits")
    expect(page.locator("input[name=slug]")).to_have_value("site_visits")
    rows = page.locator("[data-row]:visible")
    fields = {"Number": "text", "Visited on": "date", "Rating": "integer", "Client": "reference"}
    for number, (label, kind) in enumerate(fields.items()):
        if rows.count() == number:
            page.get_by_role("button", name="Add a field").click()
        row = rows.nth(number)
        row.locator("input[name$=-label]").fill(label)
        row.locator("select[name$=-type]").select_option(kind)
        if kind == "reference":
            row.locator("select[name$=-reference]").select_option("clients")
        if label == "Number":
            row.get_by_label("Key", exact=True).check()
    page.get_by_role("button", name="Save dataset").click()
    expect(page.get_by_text("JSON Schema")).to_be_visible()

    page.goto("/admin/data/site_visits/add/")
    page.fill("[name=value-number]", "V-1")
    page.fill("[name=value-visited_on]", "2026-04-01")
    page.fill("[name=value-rating]", "nine")
    page.fill("[name=value-client]", "C-002")
    page.get_by_role("button", name="Save").first.click()
    expect(page.locator(".hub-form-error").first).to_be_visible()
    page.fill("[name=value-rating]", "9")
    page.get_by_role("button", name="Save").first.click()
    page.goto("/admin/data/site_visits/")
    expect(page.locator("#result_list")).to_contain_text("V-1")
    found = hub.api("GET", "records/site_visits/key:V-1").json()
    assert (found["rating"], found["visited_on"], found["client"]) == (9, "2026-04-01", "C-002")


def test_what_somebody_stored_never_runs(page: Page, hub: Hub) -> None:
    hub.api("POST", "records/clients", json={"external_id": HOSTILE[:110], "name": HOSTILE, "notes": HOSTILE})
    hub.api("POST", "records/tasks", json={"external_id": "T1", "title": HOSTILE})
    hub.api("PATCH", "records/tasks/key:T1", json={"title": f"{HOSTILE}!", "description": HOSTILE})
    for path in (
        "/admin/",
        "/admin/data/clients/?q=%3Cscript",
        "/admin/data/tasks/",
        "/admin/data/tasks/key:T1/",
        "/admin/records/change/",
        "/admin/events/event/",
    ):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert page.evaluate("window.owned") is None, path
    page.goto("/admin/data/tasks/key:T1/")
    expect(page.locator("#history")).to_contain_text("<script>")
    page.keyboard.press("Control+k")
    page.keyboard.type("<script>")
    expect(page.locator("body")).to_contain_text("esc")
    assert page.evaluate("window.owned") is None
