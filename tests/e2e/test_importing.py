"""A spreadsheet with wrong cells, from the upload to the undo, with the worker in its own process."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Hub, Watch

pytestmark = pytest.mark.e2e

LINES = [
    "SKU;Name;Price;Stock;Weight;Released on",
    *(f"P-{n:03d};Product {n};{n}.50 EUR;{n};1.2;2024-03-{n % 28 + 1:02d}" for n in range(1, 201)),
]
LINES[5] = "P-005;Product 5;much;5;1.2;2024-03-06"
LINES[60] = "P-060;;60.50 EUR;60;1.2;2024-03-05"
LINES[120] = "P-120;Product 120;120.50 EUR;120;heavy;2024-02-31"


def test_a_file_with_wrong_cells_is_checked_imported_mended_and_undone(
    page: Page, hub: Hub, tmp_path: Path
) -> None:
    file = tmp_path / "products.csv"
    file.write_text("\n".join(LINES), encoding="utf-8")

    page.goto("/admin/jobs/import/?dataset=products")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Look at the rows").click()
    page.wait_for_url("**/file/")
    expect(page.locator("body")).to_contain_text("200 rows, 6 columns")
    page.get_by_text("Match the columns").click()
    page.wait_for_url("**/columns/")
    for column, target in (("SKU", "sku"), ("Released on", "released_on"), ("Price", "price")):
        expect(page.locator(f"[data-column='{column}'] [data-target]")).to_have_value(target)
    page.locator("[data-column='Weight'] [data-target]").select_option("weight_kg")
    page.get_by_role("button", name="Check the whole file").click()

    page.wait_for_url("**/check/")
    start = page.get_by_role("button", name=re.compile("Import 197 rows, leave 3 out"))
    expect(start).to_be_visible(timeout=60_000)
    expect(page.locator("body")).to_contain_text("heavy")
    assert hub.api("GET", "records/products").json()["data"] == []  # a check writes nothing
    start.click()

    page.wait_for_url("**/change/")
    expect(page.locator("body")).to_contain_text("197 created, 3 left out.", timeout=60_000)
    with page.expect_download() as rejected:
        page.get_by_role("link", name="Rejected rows").click()
    lines = rejected.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert lines[0].startswith("SKU;Name;Price") or lines[0].startswith("SKU,Name,Price")
    assert [re.split("[;,]", line)[0] for line in lines[1:]] == ["P-005", "P-060", "P-120"]
    assert hub.api("GET", "records/products/key:P-007").json()["price"] == {
        "amount": "7.50",
        "currency": "EUR",
    }

    page.locator("a[href$='/undo/']").click()
    page.get_by_role("button", name="Undo the import").click()
    expect(page.locator("body")).to_contain_text("197 changes were taken back")
    assert hub.api("GET", "records/products").json()["data"] == []


def test_wrong_cells_are_set_right_in_the_page(page: Page, hub: Hub, tmp_path: Path) -> None:
    """Drop a file, match values, fix a cell, fix a cause, skip a row, import, undo."""
    lines = ["Number;Company;E-Mail;Status;Client since"]
    lines += [
        f"W-{n};Firm {n};w{n}@example.com;Aktiv;{n % 28 + 1:02d}/{n % 9 + 1:02d}/2024" for n in range(1, 101)
    ]
    for n in (10, 20, 30):
        lines[n] = lines[n].replace("@", "(at)")
    lines[50] = lines[50].replace("Firm 50", "")
    lines.append("Total;100;;;")

    page.goto("/admin/jobs/import/?dataset=clients")
    transfer = page.evaluate_handle(
        """text => {
            const data = new DataTransfer();
            data.items.add(new File([text], "firms.csv", {type: "text/csv"}));
            return data;
        }""",
        "\n".join(lines),
    )
    page.dispatch_event("[data-drop]", "drop", {"dataTransfer": transfer})
    page.get_by_role("button", name="Look at the rows").click()
    page.wait_for_url("**/file/")
    page.get_by_text("Match the columns").click()

    page.wait_for_url("**/columns/")
    page.locator("[data-column='Number'] [data-target]").select_option("external_id")
    page.locator("[data-column='Company'] [data-target]").select_option("name")
    page.get_by_role("button", name="Check the whole file").click()
    since = page.locator("[data-column='Client since']")
    if since.get_by_role("button", name="day/month/year").count():  # the sample alone does not tell
        since.get_by_role("button", name="day/month/year").click()
        page.get_by_role("button", name="Check the whole file").click()
    page.wait_for_url("**/check/")
    expect(page.locator("#confirm")).to_be_visible(timeout=60_000)

    page.get_by_label("Meaning of Aktiv").select_option("active")
    page.get_by_role("button", name="Use these meanings and check again").click()
    expect(page.locator("#confirm")).to_contain_text("97 records are added", timeout=60_000)

    page.locator(".jobs-causes a", has_text="not_an_email").click()
    first = page.get_by_label("E-Mail, line 11")
    first.fill("still wrong")
    first.press("Enter")
    expect(page.locator("#said-10")).to_contain_text("is not an e-mail address")
    first.fill("w10@example.com")
    first.press("Enter")
    expect(page.locator("#said-10")).to_have_text("Right now.")
    page.get_by_text("Correct all 3 rows of this cause at once").click()
    page.get_by_label("What to do").select_option("replace")
    page.get_by_role("textbox", name="Find").fill("(at)")
    page.get_by_role("textbox", name="Replace by").fill("@")
    page.get_by_role("button", name="Apply to 3 rows").click()
    expect(page.locator("body")).to_contain_text("3 rows are corrected.")
    page.locator(".jobs-causes a", has_text="required").click()
    skip = page.locator("[data-row='50'] [data-skip]")
    skip.click()
    expect(skip).to_have_text("Skipped")
    page.get_by_role("button", name="Check again").click()

    start = page.get_by_role("button", name="Import 100 rows")
    expect(start).to_be_visible(timeout=60_000)
    expect(page.locator("#confirm")).to_contain_text("1 row is skipped, as decided.")
    start.click()
    expect(page.locator("body")).to_contain_text("100 created", timeout=60_000)
    assert hub.api("GET", "records/clients/key:W-20").json()["email"] == "w20@example.com"
    assert hub.api("GET", "records/clients/key:W-10").json()["status"] == "active"

    page.locator("a[href$='/undo/']").click()
    page.get_by_role("button", name="Undo the import").click()
    expect(page.locator("body")).to_contain_text("100 changes were taken back")


def test_a_file_that_is_no_table_is_refused_with_a_sentence(page: Page, watch: Watch, tmp_path: Path) -> None:
    file = tmp_path / "photo.csv"
    watch.expect(422)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))

    page.goto("/admin/jobs/import/")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Look at the rows").click()
    expect(page.locator("[data-upload-error]")).not_to_be_empty()
    expect(page).to_have_url(re.compile("/admin/jobs/import/$"))
