"""An endpoint: created, tried, and hearing what happens."""

from __future__ import annotations

import json
import re
import time

import pytest
import standardwebhooks
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Hub
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.e2e


def test_an_endpoint_is_created_tested_and_hears_of_changes(page: Page, hub: Hub, receiver: Receiver) -> None:
    page.goto("/admin/")
    page.get_by_role("link", name="Add a webhook").first.click()
    page.fill("input[name=name]", "Order service")
    page.fill("input[name=url]", receiver.url)
    page.fill("textarea[name=events]", "contacts.*")
    page.get_by_role("button", name="Save", exact=True).click()

    secret = page.locator("#signing-secret").inner_text()
    assert secret.startswith("whsec_")
    page.get_by_role("link", name="Done").click()
    expect(page.locator("body")).not_to_contain_text(secret)

    page.get_by_role("link", name="Send test").first.click()
    page.select_option("select[name=event_type]", "webhook.test")
    page.get_by_role("button", name="Send now").click()
    receiver.wait_for(1)
    test = receiver.arrivals[0]
    told = standardwebhooks.Webhook(secret).verify(test.body, test.headers)
    assert told["type"] == "webhook.test"

    number = hub.api(
        "POST", "records/contacts", json={"external_id": "P1", "name": "Ada", "email": "ada@example.com"}
    ).json()["id"]
    receiver.wait_for(2, seconds=60)
    heard = receiver.arrivals[1]
    standardwebhooks.Webhook(secret).verify(heard.body, heard.headers)
    assert json.loads(heard.body)["data"]["id"] == number

    page.goto("/admin/webhooks/delivery/")
    row = page.locator("#result_list tbody tr", has_text="contacts.created")
    until = time.monotonic() + 30
    while "Delivered" not in row.inner_text() and time.monotonic() < until:
        page.reload()  # the receiver has it before the hub has noted the answer
    expect(row).to_contain_text("Delivered")
    row.get_by_role("link").first.click()
    expect(page.get_by_text("Message, as signed and sent")).to_be_visible()
    page.get_by_text("Tries", exact=True).last.click()
    expect(page.locator("body")).to_contain_text(re.compile("Try 1"))
    expect(page.locator("body")).not_to_contain_text(secret)


def test_a_test_message_begins_as_the_sample_of_its_type_and_may_be_edited(
    page: Page, hub: Hub, receiver: Receiver
) -> None:
    number = hub.api(
        "POST", "webhooks", json={"name": "Edited", "url": receiver.url, "events": ["tasks.*"]}
    ).json()["id"]
    page.goto(f"/admin/webhooks/webhookendpoint/{number}/change/")
    page.get_by_role("link", name="Send test").first.click()
    data = page.locator("textarea[name=data]")
    expect(data).to_have_value(re.compile("It works"))

    page.select_option("select[name=event_type]", "tasks.created")
    expect(data).to_have_value(re.compile('"dataset": "tasks"'))
    data.fill(json.dumps(json.loads(data.input_value()) | {"version": 77}))
    page.select_option("select[name=event_type]", "tasks.updated")
    expect(data).to_have_value(re.compile('"version": 77'))
    page.get_by_role("button", name="Send now").click()

    receiver.wait_for(1)
    told = json.loads(receiver.arrivals[0].body)
    assert (told["type"], told["data"]["version"]) == ("tasks.updated", 77)
    expect(page.get_by_text("It answered 204")).to_be_visible()


def test_the_live_page_goes_on_by_itself_and_rests_while_it_is_paused(
    page: Page, hub: Hub, receiver: Receiver
) -> None:
    hub.api("POST", "webhooks", json={"name": "Watched", "url": receiver.url, "events": ["products.*"]})
    page.goto("/admin/webhooks/live/")
    answered = page.locator("section", has_text="Just answered")

    number = hub.api("POST", "records/products", json={"sku": "L1", "name": "Before"}).json()["id"]
    receiver.wait_for(1, seconds=60)
    expect(answered).to_contain_text("products.created")  # without a reload

    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-live-state]")).to_have_text("Paused")
    page.wait_for_load_state("networkidle")
    hub.api("PATCH", f"records/products/{number}", json={"name": "After"})
    receiver.wait_for(2, seconds=60)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # what else wakes it does not
    expect(answered).not_to_contain_text("products.updated")
    assert asked == []

    page.get_by_role("button", name="Go on").click()
    expect(answered).to_contain_text("products.updated")
