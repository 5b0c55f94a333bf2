"""A spreadsheet goes in through a real browser: dropped, matched, checked, imported, undone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from playwright.sync_api import Browser, Page

from apps.jobs.models import Job
from apps.jobs.services import work
from apps.records import selectors
from apps.tenants.models import User
from apps.tenants.services import organizations

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]
PASSWORD = "correct horse battery staple"


@pytest.fixture
def worker() -> Iterator[None]:
    """A worker thread that takes every job that is due."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(0.2):
            for pk in list(Job.objects.due().values_list("pk", flat=True)):
                work.take(job_id=pk)
        connections.close_all()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    yield
    stop.set()
    thread.join(timeout=20)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 1400, "height": 900})
    yield opened
    opened.close()


@pytest.fixture
def watched(page: Page) -> list[str]:
    """What goes wrong in the browser."""
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("response", lambda r: wrong.append(f"{r.status} {r.url}") if r.status >= 500 else None)
    return wrong


def drop(page: Page, path: Path) -> None:
    """Drop a file onto the page's zone, as a mouse would."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
            const data = new DataTransfer();
            data.items.add(new File([text], name, {type: "text/csv"}));
            return data;
        }""",
        [path.name, path.read_text()],
    )
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": transfer})


def test_import_in_the_browser(
    live_server: Any, page: Page, worker: None, watched: list[str], tmp_path: Path, settings: Any
) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    user = User.objects.create_user("staff@example.com", PASSWORD)
    organization = organizations.create(name="Northwind", owner=user)
    clients = selectors.dataset_of(organization, "clients")
    lines = [f"C{n};Client {n};c{n}@example.com;{n % 28 + 1:02d}.03.2024" for n in range(1, 2001)]
    lines[6] = "C7;Client 7;nonsense;01.01.2024"
    file = tmp_path / "clients.csv"
    file.write_text("Kundennr;Name;E-Mail;Client since\n" + "\n".join(lines))
    base = live_server.url

    page.goto(f"{base}/admin/login/")
    page.fill("input[name=username]", user.email)
    page.fill("input[name=password]", PASSWORD)
    page.click("#login-form button[type=submit]")
    page.goto(f"{base}/admin/jobs/import/?dataset=clients")

    page.click("text=Look at the rows")
    assert page.inner_text("[data-upload-error]") == "Choose a file first."
    drop(page, file)
    assert "clients.csv" in page.inner_text("[data-drop-name]")
    page.click("text=Look at the rows")
    page.wait_for_url("**/file/")
    assert "2000 rows, 4 columns, for Clients" in page.inner_text("section.hub-card header")
    page.click("text=Match the columns")

    page.wait_for_url("**/columns/")
    number = page.locator("[data-column='Kundennr']")
    number.locator("[data-target]").select_option("external_id")
    since = page.locator("[data-column='Client since'] [data-result]")
    wait(page, lambda: "2024-03-02" in since.inner_text())
    name = page.locator("[data-column='Name']")
    name.locator("[data-transforms]").fill("explode")
    wait(page, lambda: "no transform" in name.locator("[data-result]").inner_text())
    name.locator("[data-transforms]").fill("upper")
    wait(page, lambda: "CLIENT 1" in name.locator("[data-result]").inner_text())
    page.click("text=Check the whole file")

    page.wait_for_url("**/check/")
    page.wait_for_selector("text=Import 1,999 rows, leave 1 out", timeout=60_000)
    page.click("text=Import 1,999 rows, leave 1 out")
    page.wait_for_url("**/change/")
    page.wait_for_selector("text=1,999 created, 1 left out.", timeout=60_000)
    assert "not_an_email" in page.inner_text("body")
    assert selectors.live(clients).get(key="C1").data["name"] == "CLIENT 1"

    with page.expect_download() as rejected:
        page.get_by_role("link", name="Rejected rows").click()
    saved = rejected.value.path().read_text(encoding="utf-8-sig")
    assert saved.splitlines()[1].startswith("C7,Client 7,nonsense,01.01.2024,7,")

    page.locator("a[href$='/undo/']").click()
    page.get_by_role("button", name="Undo the import").click()
    wait(page, lambda: selectors.live(clients).count() == 0)
    assert watched == []


def wait(page: Page, done: Callable[[], bool], seconds: float = 20) -> None:
    """Until something is so, letting the page live meanwhile."""
    for _ in range(int(seconds * 10)):
        if done():
            return
        page.wait_for_timeout(100)
    assert done()
