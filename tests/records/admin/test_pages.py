"""The page of one record: adding, changing, its history, taking changes back."""

from __future__ import annotations

from typing import Any

from django.test import Client

from apps.records.models import Change, Dataset, Origin, Record
from apps.records.services import datasets, records
from apps.records.services.upsert import upsert
from apps.tenants.principals import Actor
from tests.people import hub_messages, member, signed_in
from tests.records.admin.conftest import ADA

ADD = "/admin/data/clients/add/"


def url(record: Record) -> str:
    return f"/admin/data/clients/{record.public_id}/"


def fields(page: Any) -> dict[str, str]:
    """What the form of a page would send if nothing was changed."""
    form = page.context["form"]
    return {
        bound.html_name: "" if bound.value() is None else str(bound.value())
        for bound in form
        if not isinstance(bound.value(), (dict, list))
    }


def test_a_record_is_added_through_the_service(browser: Client, organization: Any) -> None:
    response = browser.post(
        ADD,
        {
            "value-external_id": "C-1",
            "value-name": "Alfreds",
            "value-credit_limit": "1200.5",
            "value-since": "2024-02-29",
            "value-tags": '["new", "big"]',
            "value-notes": "two\r\nlines",
        },
    )

    record = Record.objects.get()
    assert response.url == url(record)
    assert record.data == {
        "external_id": "C-1",
        "name": "Alfreds",
        "credit_limit": "1200.50",
        "since": "2024-02-29",
        "tags": ["new", "big"],
        "notes": "two\nlines",
    }
    assert Change.objects.get().origin.kind == "user"


def test_errors_stand_at_their_fields_and_nothing_is_written(browser: Client, clients: Dataset) -> None:
    response = browser.post(
        ADD,
        {
            "value-external_id": "",
            "value-name": "X",
            "value-email": "nobody",
            "value-tags": "[1,",
            "value-since": "29.02.2023",
        },
    )

    form = response.context["form"]
    assert "not valid JSON" in form.errors["tags"][0]
    assert Record.objects.count() == 0

    response = browser.post(ADD, {"value-external_id": "C-1", "value-name": "X", "value-email": "nobody"})
    form = response.context["form"]
    assert set(form.errors) == {"email"}
    assert "is not an e-mail address" in form.errors["email"][0]

    response = browser.post(ADD, {"value-external_id": "C-1"})
    assert response.context["form"].errors["name"] == ["“Name” is required and was not given."]
    assert Record.objects.count() == 0


def test_a_taken_key_is_said_in_the_form(browser: Client, add: Any) -> None:
    add("C-1")

    response = browser.post(ADD, {"value-external_id": "C-1", "value-name": "Again"})

    assert response.status_code == 200
    assert "There is a record with the external_id “C-1” already." in response.content.decode()
    assert Record.objects.count() == 1


def test_only_what_was_changed_is_written(browser: Client, add: Any) -> None:
    record = add("C-1", city="Berlin", notes="one\ntwo", tags=["a"], status="lead")
    data = fields(browser.get(url(record))) | {"value-city": "Paris", "value-tags": '["a"]'}
    data["value-notes"] = "one\r\ntwo"

    assert browser.post(url(record), data).status_code == 302

    change = Change.objects.filter(operation="updated").get()
    assert (change.before, change.after) == ({"city": "Berlin"}, {"city": "Paris"})


def test_saving_without_a_change_writes_nothing(browser: Client, organization: Any) -> None:
    things = datasets.define(
        organization=organization,
        slug="things",
        name="Things",
        actor=ADA,
        key_field="code",
        fields=[
            {"name": "code", "type": "text", "required": True},
            {"name": "at", "type": "datetime"},
            {"name": "price", "type": "money"},
            {"name": "yes", "type": "boolean"},
            {"name": "more", "type": "json"},
            {"name": "pin", "type": "text", "sensitive": True},
        ],
    )
    values = {
        "code": "T1",
        "at": "2026-03-01T10:00:00Z",
        "price": "1.10 EUR",
        "yes": False,
        "more": {"z": 1, "a": [1.5, None]},
        "pin": "4711",
    }
    record = records.create(dataset=things, values=values, actor=ADA)
    page = browser.get(f"/admin/data/things/{record.public_id}/")
    assert "4711" not in page.content.decode()
    data = fields(page) | {"value-more": '{"a": [1.5, null], "z": 1}', "value-at": "2026-03-01T10:00"}

    response = browser.post(f"/admin/data/things/{record.public_id}/", data, follow=True)

    assert hub_messages(response) == ["Nothing was changed."]
    record.refresh_from_db()
    assert (record.version, record.data["pin"]) == (1, "4711")


def test_a_value_is_emptied(browser: Client, add: Any) -> None:
    record = add("C-1", city="Berlin")
    data = fields(browser.get(url(record))) | {"value-city": ""}

    browser.post(url(record), data)

    record.refresh_from_db()
    assert "city" not in record.data or record.data["city"] is None


def test_times_are_entered_in_the_organizations_zone(browser: Client, organization: Any) -> None:
    organization.timezone = "America/New_York"
    organization.save()
    response = browser.post(
        "/admin/data/orders/add/", {"value-number": "O-1", "value-ordered_at": "2026-07-01T09:00"}
    )

    assert response.status_code == 302
    record = Record.objects.get()
    assert record.data["ordered_at"] == "2026-07-01T13:00:00Z"
    page = browser.get(f"/admin/data/orders/{record.public_id}/").content.decode()
    assert 'value="2026-07-01T09:00:00"' in page


def test_who_comes_second_reads_so_and_overwrites_nothing(browser: Client, add: Any) -> None:
    record = add("C-1", city="Berlin")
    data = fields(browser.get(url(record))) | {"value-city": "Paris"}
    records.update(record=record, values={"city": "Rome"}, actor=ADA)

    response = browser.post(url(record), data)

    assert response.status_code == 200
    assert "it is at version 2, you edited version 1" in response.content.decode()
    record.refresh_from_db()
    assert record.data["city"] == "Rome"


def test_the_history_tells_who_and_what(browser: Client, add: Any) -> None:
    record = add("C-1", city="Berlin")
    records.update(record=record, values={"city": "Paris"}, actor=Actor("api_key", "key_1", "Shop key"))

    page = browser.get(url(record)).content.decode()

    assert "Shop key" in page
    assert '<span class="hub-diff-old">Berlin</span>' in page
    assert '<span class="hub-diff-new">Paris</span>' in page


def test_the_latest_change_is_undone(browser: Client, add: Any) -> None:
    record = add("C-1", city="Berlin")
    records.update(record=record, values={"city": "Paris"}, actor=ADA)
    first, latest = Change.objects.order_by("id")

    assert browser.get(f"{url(record)}undo/{latest.public_id}/").status_code == 405
    refused = browser.post(f"{url(record)}undo/{first.public_id}/", follow=True)
    assert "was changed later" in hub_messages(refused)[0]
    record.refresh_from_db()
    assert record.data["city"] == "Paris"

    browser.post(f"{url(record)}undo/{latest.public_id}/")
    record.refresh_from_db()
    assert record.data["city"] == "Berlin"


def test_a_deleted_record_is_looked_at_and_restored(browser: Client, add: Any, clients: Dataset) -> None:
    record = add("C-1")
    assert "can be restored" in browser.get(f"{url(record)}delete/").content.decode()
    record.refresh_from_db()
    assert record.deleted_at is None

    browser.post(f"{url(record)}delete/")
    record.refresh_from_db()
    assert record.deleted_at is not None
    page = browser.get(url(record))
    assert "This record was deleted" in page.content.decode()
    assert page.context["form"] is None
    assert browser.post(url(record), {"value-name": "Ghost"}).status_code == 403

    deletion = Change.objects.get(operation="deleted")
    browser.post(f"{url(record)}undo/{deletion.public_id}/")
    record.refresh_from_db()
    assert record.deleted_at is None


def test_whoever_may_only_read_sees_no_form(organization: Any, add: Any) -> None:
    record = add("C-1", city="Berlin")
    client = signed_in(member(organization, "auditor"))

    page = client.get(url(record))

    assert page.context["form"] is None
    assert "Berlin" in page.content.decode()
    assert client.post(url(record), {"value-city": "Paris"}).status_code == 403
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, {"value-external_id": "C-2", "value-name": "X"}).status_code == 403
    change = Change.objects.get()
    assert client.post(f"{url(record)}undo/{change.public_id}/").status_code == 403
    assert Record.objects.get().data["city"] == "Berlin"


def test_an_origin_is_undone_as_a_whole_after_a_preview(browser: Client, clients: Dataset) -> None:
    job = Actor("job", "JOB-2026-00001", "clients.csv")
    rows = [{"external_id": f"C-{n}", "name": f"Client {n}"} for n in range(5)]
    upsert(dataset=clients, rows=rows, actor=job)
    kept = Record.objects.get(key="C-3")
    records.update(record=kept, values={"city": "Paris"}, actor=ADA)
    origin = Origin.objects.get(kind="job")
    page = f"/admin/records/origin/{origin.public_id}/change/"

    preview = browser.get(f"{page}?preview=1").content.decode()
    assert "4 changes will be taken back" in preview
    assert "“C-3” was changed later by somebody else." in preview
    assert Record.objects.filter(deleted_at=None).count() == 5

    done = browser.post(page, follow=True)
    assert hub_messages(done) == [
        "4 changes were taken back.",
        "1 were left as they are, because somebody changed the record later.",
    ]
    assert list(Record.objects.filter(deleted_at=None)) == [kept]


def test_the_changes_page_shows_each_datasets_latest(browser: Client, add: Any) -> None:
    record = add("C-1", name="Alfreds")

    page = browser.get("/admin/records/change/").content.decode()

    assert "Alfreds" in page
    assert "The latest changes of each dataset." in page
    one = browser.get(f"/admin/records/change/?record={record.public_id}").content.decode()
    assert "Alfreds" in one
    assert "Alfreds" not in browser.get("/admin/records/change/?dataset=orders").content.decode()
    assert browser.get("/admin/records/change/?after__contains=A").status_code == 400
