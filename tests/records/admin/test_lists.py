"""The list of a dataset's records: what it shows, finds, sorts and costs."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.records.models import Change, Dataset, Record
from apps.records.selectors import dataset_of
from apps.records.services import datasets, records
from apps.records.services.upsert import upsert
from tests.people import hub_messages, member, signed_in
from tests.records.admin.conftest import ADA

LIST = "/admin/data/clients/"


def keys(page: str) -> list[str]:
    """The external ids in the order of the rows."""
    return re.findall(r'<span class="hub-clip" title="(C-\d+)">', page)


def seed(dataset: Dataset, count: int, start: int = 0) -> None:
    rows = [
        {
            "external_id": f"C-{n:05}",
            "name": f"Client {n % 7}",
            "status": ("lead", "active", "inactive")[n % 3],
            "credit_limit": str(n),
        }
        for n in range(start, start + count)
    ]
    assert upsert(dataset=dataset, rows=rows, actor=ADA).created == count


def test_an_empty_dataset_says_what_to_do(browser: Client, clients: Dataset) -> None:
    page = browser.get(LIST).content.decode()

    assert "No clients yet" in page
    assert "Companies and people that the organization works for." in page
    assert 'href="/admin/data/clients/add/"' in page


def test_values_are_shown_by_their_type(browser: Client, organization: Any) -> None:
    things = datasets.define(
        organization=organization,
        slug="things",
        name="Things",
        actor=ADA,
        key_field="code",
        fields=[
            {"name": "code", "type": "text", "required": True, "unique": True},
            {"name": "price", "type": "money"},
            {"name": "count", "type": "integer"},
            {"name": "good", "type": "boolean"},
            {"name": "mail", "type": "email"},
            {"name": "site", "type": "url"},
            {"name": "pin", "type": "text", "sensitive": True},
        ],
    )
    values = {
        "code": "T1",
        "price": "12345.60 EUR",
        "count": 9876543,
        "good": True,
        "mail": "a@example.com",
        "site": "https://example.com/x",
        "pin": "4711-secret",
    }
    records.create(dataset=things, values=values, actor=ADA)

    page = browser.get("/admin/data/things/").content.decode()

    assert '12,345.60 <span class="hub-muted">EUR</span>' in page
    assert "9,876,543" in page
    assert "Yes</span>" in page
    assert 'href="mailto:a@example.com"' in page
    assert 'href="https://example.com/x" target="_blank" rel="noopener noreferrer"' in page
    assert "4711-secret" not in page


def test_the_list_is_sorted_by_indexed_fields_both_ways(browser: Client, add: Any) -> None:
    for key, name in (("C-1", "beta"), ("C-2", "Alpha"), ("C-3", "gamma")):
        add(key, name=name)

    assert keys(browser.get(LIST).content.decode()) == ["C-3", "C-2", "C-1"]  # the newest first
    assert keys(browser.get(f"{LIST}?o=1").content.decode()) == ["C-2", "C-1", "C-3"]
    assert keys(browser.get(f"{LIST}?o=-1").content.decode()) == ["C-3", "C-1", "C-2"]
    assert keys(browser.get(f"{LIST}?o=2").content.decode()) == ["C-1", "C-2", "C-3"]


def test_search_finds_beginnings_of_key_and_indexed_texts(browser: Client, add: Any) -> None:
    add("C-10", name="Alfreds Futterkiste", email="info@alfreds.example")
    add("C-11", name="Berglunds", email="mail@berglunds.example")

    assert keys(browser.get(f"{LIST}?q=C-11").content.decode()) == ["C-11"]
    assert keys(browser.get(f"{LIST}?q=alf").content.decode()) == ["C-10"]
    assert keys(browser.get(f"{LIST}?q=mail@").content.decode()) == ["C-11"]
    nothing = browser.get(f"{LIST}?q=zzz").content.decode()
    assert "Nothing matches “zzz”." in nothing


def test_filters_narrow_and_count(browser: Client, clients: Dataset) -> None:
    seed(clients, 30)

    page = browser.get(f"{LIST}?status=lead").content.decode()

    assert len(keys(page)) == 10
    assert "Lead (10)" in page
    assert "Active (10)" in page
    assert "Archived (0)" in page
    assert "10 found" in page


def test_a_wrong_filter_value_is_a_sentence_not_an_error(browser: Client, add: Any) -> None:
    add("C-1")

    response = browser.get(f"{LIST}?status=nonsense")

    assert response.status_code == 200
    assert any("not one of" in message for message in hub_messages(response))


@pytest.mark.parametrize("query", ["data__contains=x", "organization=1", "content_hash__gt=a", "s1=x"])
def test_other_lookups_are_refused(browser: Client, add: Any, query: str) -> None:
    add("C-1")

    assert browser.get(f"{LIST}?{query}").status_code == 400


def test_pages_reach_the_end_and_back(browser: Client, clients: Dataset) -> None:
    seed(clients, 130)

    first = keys(browser.get(LIST).content.decode())
    second = keys(browser.get(f"{LIST}?p=2").content.decode())
    last = keys(browser.get(f"{LIST}?p=3").content.decode())

    assert first + second + last == [f"C-{n:05}" for n in range(129, -1, -1)]
    assert len(last) == 30
    assert "130" in browser.get(LIST).content.decode()


def test_fifty_rows_cost_as_many_queries_as_one(browser: Client, clients: Dataset) -> None:
    seed(clients, 1)
    browser.get(LIST)
    with CaptureQueriesContext(
        connection,
    ) as one:
        browser.get(LIST)
    seed(clients, 49, start=1)
    with CaptureQueriesContext(connection) as fifty:
        page = browser.get(LIST).content.decode()

    assert len(keys(page)) == 50
    assert len(fifty) == len(one)


def test_deleting_from_the_list_asks_and_goes_through_the_service(browser: Client, add: Any) -> None:
    first, second, kept = add("C-1"), add("C-2"), add("C-3")
    ticked = {
        "action": "delete_records",
        "index": "0",
        "_selected_action": [first.public_id, second.public_id],
    }

    asked = browser.post(LIST, ticked)
    assert "Delete 2 records?" in asked.content.decode()
    assert Record.objects.filter(deleted_at=None).count() == 3

    done = browser.post(LIST, {**ticked, "_confirmed": "1"})
    assert done.status_code == 302
    assert list(Record.objects.filter(deleted_at=None)) == [kept]
    assert Change.objects.filter(operation="deleted", origin__ref="owner@northwind.example").count() == 2


def test_deleted_records_are_listed_and_restored(browser: Client, add: Any, clients: Dataset) -> None:
    gone = add("C-1", city="Berlin")
    add("C-2")
    records.delete(dataset=clients, ids=[gone.pk], actor=ADA)

    page = browser.get(f"{LIST}?deleted=1").content.decode()
    assert keys(page) == ["C-1"]
    assert keys(browser.get(LIST).content.decode()) == ["C-2"]

    browser.post(
        f"{LIST}?deleted=1",
        {"action": "restore_records", "index": "0", "_selected_action": gone.public_id, "_confirmed": "1"},
    )
    gone.refresh_from_db()
    assert gone.deleted_at is None
    assert gone.data["city"] == "Berlin"


def test_staff_read_and_write_but_do_not_delete(organization: Any, add: Any) -> None:
    record = add("C-1")
    client = signed_in(member(organization, "staff"))

    page = client.get(LIST).content.decode()
    assert 'value="delete_records"' not in page
    client.post(
        LIST,
        {"action": "delete_records", "index": "0", "_selected_action": record.public_id, "_confirmed": "1"},
    )
    assert client.post(f"/admin/data/clients/{record.public_id}/delete/").status_code == 403

    record.refresh_from_db()
    assert record.deleted_at is None


def test_another_organizations_records_do_not_exist(add: Any, db: None) -> None:
    from apps.tenants.services import organizations

    foreign = add("C-1", name="Secret of Northwind")
    other = organizations.create(name="Contoso")
    client = signed_in(member(other, "owner"))

    assert "Secret of Northwind" not in client.get(LIST).content.decode()
    assert client.get(f"/admin/data/clients/{foreign.public_id}/").status_code == 404
    assert client.get("/admin/data/clients/key:C-1/").status_code == 404
    assert client.get("/admin/data/clients/options/?q=C").json() == {"options": []}
    client.post(
        LIST,
        {"action": "delete_records", "index": "0", "_selected_action": foreign.public_id, "_confirmed": "1"},
    )
    assert client.post(f"/admin/data/clients/{foreign.public_id}/delete/").status_code == 404
    foreign.refresh_from_db()
    assert foreign.deleted_at is None


def test_a_dataset_of_another_organization_does_not_exist(browser: Client, db: None) -> None:
    from apps.tenants.services import organizations

    other = organizations.create(name="Contoso")
    datasets.define(
        organization=other, slug="things", name="Things", actor=ADA, fields=[{"name": "a", "type": "text"}]
    )

    for path in ("", "add/", "options/"):
        assert browser.get(f"/admin/data/things/{path}").status_code == 404
    assert "/admin/data/things/" not in browser.get("/admin/").content.decode()


def test_suggestions_for_a_reference_name_key_and_title(browser: Client, add: Any) -> None:
    add("C-1", name="Alfreds")
    add("C-2", name="Berglunds")

    answer = browser.get("/admin/data/clients/options/?q=ber").json()

    assert answer == {"options": [{"value": "C-2", "label": "Berglunds"}]}


def test_custom_datasets_stand_in_the_menu(browser: Client, organization: Any) -> None:
    datasets.define(
        organization=organization,
        slug="vehicles",
        name="<b>Vehicles</b>",
        actor=ADA,
        fields=[{"name": "plate", "type": "text"}],
    )

    page = browser.get("/admin/").content.decode()

    assert 'href="/admin/data/vehicles/"' in page
    assert "<b>Vehicles</b>" not in page
    assert "&lt;b&gt;Vehicles&lt;/b&gt;" in page
    assert dataset_of(organization, "vehicles").name == "<b>Vehicles</b>"


def test_the_palette_finds_records_by_key_and_title(browser: Client, add: Any) -> None:
    from apps.tenants.services import organizations

    add("C-77", name="Alfreds Futterkiste")
    other = organizations.create(name="Contoso")
    records.create(
        dataset=dataset_of(other, "clients"),
        values={"external_id": "C-78", "name": "Alfreds Secret"},
        actor=ADA,
    )

    by_title = browser.get("/admin/search/?extended=1&s=alfr").content.decode()
    assert "Alfreds Futterkiste" in by_title
    assert "Alfreds Secret" not in by_title
    by_key = browser.get("/admin/search/?extended=1&s=C-7").content.decode()
    assert "Alfreds Futterkiste" in by_key
    assert "C-78" not in by_key
