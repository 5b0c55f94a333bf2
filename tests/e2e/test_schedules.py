"""A schedule of an export: its next runs are shown while the form is filled in; it runs and tells of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.e2e


def test_a_schedule_shows_its_next_runs_and_its_history(page: Page) -> None:
    page.goto("/admin/jobs/jobschedule/add/")
    times = page.locator("[data-next-times] li")
    expect(times).to_have_count(5)
    page.select_option("select[name=job_type]", "export")
    expect(page.get_by_text("Where it is delivered")).to_be_visible()
    expect(page.get_by_text("How they are imported")).to_be_hidden()
    page.select_option("select[name=schedule_type]", "cron")
    page.fill("input[name=crontab]", "61 * * * *")
    expect(page.locator("[data-next-error]")).to_contain_text("is not a valid minute")
    page.fill("input[name=crontab]", "30 6 * * mon-fri")
    expect(times.first).to_contain_text("06:30")
    page.fill("input[name=name]", "Clients every morning")
    page.select_option("select[name=into]", label="Clients")
    page.get_by_role("button", name="Save", exact=True).click()

    page.locator("#result_list").get_by_role("link", name="Clients every morning").click()
    page.get_by_role("link", name="Run now").click()
    history = page.locator("section", has=page.get_by_role("heading", name="History"))
    expect(history).to_contain_text("By hand")
    for _ in range(30):
        if history.get_by_text("Completed").count():
            break
        page.wait_for_timeout(1000)
        page.reload()
    history.get_by_role("link", name=re.compile("JOB-")).click()
    expect(page.locator("body")).to_contain_text("Exported file")
