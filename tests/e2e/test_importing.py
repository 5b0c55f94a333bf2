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
    page.get_by_role("button", name="Upload and look at it").click()
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


def test_a_file_that_is_no_table_is_refused_with_a_sentence(page: Page, watch: Watch, tmp_path: Path) -> None:
    file = tmp_path / "photo.csv"
    watch.expect(422)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2000))

    page.goto("/admin/jobs/import/")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Upload and look at it").click()
    expect(page.locator("[data-upload-error]")).not_to_be_empty()
    expect(page).to_have_url(re.compile("/admin/jobs/import/$"))
