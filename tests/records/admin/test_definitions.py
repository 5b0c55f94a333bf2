"""Defining datasets and mappings in the admin, without JSON."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client

from apps.audit.models import AuditEntry
from apps.records.models import Dataset, Mapping
from apps.records.selectors import dataset_of
from apps.records.services import records
from tests.people import member, signed_in
from tests.records.admin.conftest import ADA

ADD = "/admin/records/dataset/add/"


def rows(*given: dict[str, Any], prefix: str = "f") -> dict[str, str]:
    """The rows of a form as a browser sends them."""
    data = {f"{prefix}-TOTAL_FORMS": str(len(given)), f"{prefix}-INITIAL_FORMS": "0"}
    for n, row in enumerate(given):
        data[f"{prefix}-{n}-ORDER"] = str(n + 1)
        for name, value in row.items():
            data[f"{prefix}-{n}-{name}"] = "on" if value is True else str(value)
    return data


VEHICLES = {"name": "Vehicles", "singular": "Vehicle", "slug": "vehicles", "icon": "directions_car"}
PLATE = {"label": "Plate", "name": "plate", "type": "text", "required": True, "max_length": 20}
FUEL = {"label": "Fuel", "name": "fuel", "type": "choice", "indexed": True, "choices": "d | Diesel\nelectric"}


def test_a_dataset_is_defined_in_a_form(browser: Client, organization: Any) -> None:
    response = browser.post(ADD, VEHICLES | rows(PLATE, FUEL) | {"key_field": "0", "title_field": "0"})

    assert response.status_code == 302
    made = dataset_of(organization, "vehicles")
    assert (made.key_field, made.title_field, made.icon) == ("plate", "plate", "directions_car")
    assert made.definition == [
        {"name": "plate", "type": "text", "label": "Plate", "required": True, "max_length": 20},
        {
            "name": "fuel",
            "type": "choice",
            "label": "Fuel",
            "indexed": True,
            "choices": [["d", "Diesel"], ["electric", "electric"]],
        },
    ]
    assert AuditEntry.objects.latest("id").action == "dataset.created"


def test_what_is_wrong_stands_in_its_row(browser: Client, organization: Any) -> None:
    bad = {"label": "Id", "name": "id", "type": "text"}
    empty_choice = {"label": "Fuel", "name": "fuel", "type": "choice", "choices": ""}

    response = browser.post(ADD, VEHICLES | rows(PLATE, bad, empty_choice) | {"key_field": "0"})

    assert response.status_code == 200
    errors = [form.errors for form in response.context["rows"]]
    assert errors[0] == {}
    assert errors[1]["name"] == ["“id” is a name that records use themselves."]
    assert errors[2]["choices"] == ["A choice needs at least one value to choose from."]
    assert not Dataset.objects.filter(slug="vehicles").exists()


def test_rows_keep_the_order_and_lose_the_removed(browser: Client, organization: Any) -> None:
    data = VEHICLES | rows(PLATE, FUEL, {"label": "Old", "name": "old", "type": "text", "DELETE": True})
    data |= {"f-0-ORDER": "2", "f-1-ORDER": "1", "key_field": "0", "title_field": "0"}

    browser.post(ADD, data)

    made = dataset_of(organization, "vehicles")
    assert [f["name"] for f in made.definition] == ["fuel", "plate"]
    assert made.key_field == "plate"


def test_options_of_another_type_are_left_out(browser: Client, organization: Any) -> None:
    row = {
        "name": "count",
        "type": "integer",
        "max_length": 5,
        "choices": "a\nb",
        "currency": "EUR",
        "minimum": "1",
    }

    browser.post(ADD, VEHICLES | rows(PLATE, row) | {"key_field": "0"})

    assert dataset_of(organization, "vehicles").definition[1] == {
        "name": "count",
        "type": "integer",
        "minimum": "1",
    }


def test_a_definition_in_use_is_protected_row_by_row(browser: Client, organization: Any) -> None:
    browser.post(ADD, VEHICLES | rows(PLATE, FUEL) | {"key_field": "0", "title_field": "0"})
    made = dataset_of(organization, "vehicles")
    records.create(dataset=made, values={"plate": "B-1"}, actor=ADA)
    page = "/admin/records/dataset/vehicles/change/"
    changed = {**FUEL, "type": "text", "choices": ""}

    response = browser.post(page, VEHICLES | rows(PLATE, changed) | {"key_field": "0", "title_field": "0"})

    assert response.status_code == 200
    form = response.context["rows"].forms[1]
    assert form.non_field_errors() == ["“fuel” holds choice values; its type cannot become text."]
    assert dataset_of(organization, "vehicles").version == 1


def test_a_field_is_added_to_a_dataset_with_records(browser: Client, organization: Any) -> None:
    browser.post(ADD, VEHICLES | rows(PLATE) | {"key_field": "0", "title_field": "0"})
    records.create(dataset=dataset_of(organization, "vehicles"), values={"plate": "B-1"}, actor=ADA)
    colour = {"label": "Colour", "name": "colour", "type": "text"}

    response = browser.post(
        "/admin/records/dataset/vehicles/change/",
        VEHICLES | rows(PLATE, colour) | {"key_field": "0", "title_field": "0"},
    )

    assert response.status_code == 302
    assert [f.name for f in dataset_of(organization, "vehicles").fields] == ["plate", "colour"]
    assert "Colour" in browser.get("/admin/data/vehicles/").content.decode()


def test_a_built_in_dataset_is_shown_and_not_changed(browser: Client, organization: Any) -> None:
    page = browser.get("/admin/records/dataset/clients/change/").content.decode()

    assert "A built-in dataset" in page
    assert "json-schema.org" in page
    response = browser.post("/admin/records/dataset/clients/change/", VEHICLES | rows(PLATE))
    assert response.status_code == 403
    assert dataset_of(organization, "clients").name == "Clients"


def test_archiving_asks_and_takes_it_from_the_menu(browser: Client, organization: Any) -> None:
    browser.post(ADD, VEHICLES | rows(PLATE) | {"key_field": "0"})
    archive = "/admin/records/dataset/vehicles/archive/"

    assert "Archive the dataset “Vehicles”?" in browser.get(archive).content.decode()
    assert Dataset.objects.get(slug="vehicles").archived_at is None
    browser.post(archive, {"_confirmed": "1"})

    assert Dataset.objects.get(slug="vehicles").archived_at is not None
    assert "/admin/data/vehicles/" not in browser.get("/admin/").content.decode()


def test_staff_look_at_definitions_only(organization: Any) -> None:
    client = signed_in(member(organization, "staff"))

    assert client.get("/admin/records/dataset/").status_code == 200
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, VEHICLES | rows(PLATE)).status_code == 403
    assert not Dataset.objects.filter(slug="vehicles").exists()


# --- mappings

MAPPING = {"name": "CRM", "unmapped": "ignore"}
KEY = {"target": "external_id", "source": "Id", "transforms": "trim", "rules": "[]"}
NAME = {"target": "name", "source": "Company", "transforms": "trim | title", "required": True, "rules": "[]"}


def test_a_mapping_is_written_row_by_row(browser: Client, organization: Any) -> None:
    response = browser.post("/admin/records/mapping/add/?dataset=clients", MAPPING | rows(KEY, NAME))

    assert response.status_code == 302
    assert Mapping.objects.get().spec == {
        "fields": [
            {"target": "external_id", "source": "Id", "transforms": ["trim"]},
            {"target": "name", "source": "Company", "transforms": ["trim", "title"], "required": True},
        ],
        "unmapped": "ignore",
    }
    page = browser.get(response.url).content.decode()
    assert 'value="trim | title"' in page


def test_a_wrong_pipe_is_said_in_its_row(browser: Client, organization: Any) -> None:
    bad = {**NAME, "transforms": "trim | shout"}

    response = browser.post("/admin/records/mapping/add/?dataset=clients", MAPPING | rows(KEY, bad))

    assert response.context["rows"].forms[1].errors["transforms"] == ["There is no transform “shout”."]
    assert not Mapping.objects.exists()


def preview(client: Client, spec: Any, sample: Any) -> Any:
    data = {"dataset": "clients", "spec": json.dumps(spec), "sample": json.dumps(sample)}
    return client.post("/admin/records/mapping/preview/", data)


SPEC = {
    "fields": [
        {"target": "external_id", "source": "Id"},
        {"target": "name", "source": "Company", "transforms": "trim | title"},
        {"target": "email", "source": "Mail"},
    ]
}


def test_the_preview_maps_a_pasted_row(browser: Client, organization: Any) -> None:
    answer = preview(browser, SPEC, {"Id": "7", "Company": " acme inc ", "Mail": "A@Example.com"}).json()

    assert {v["name"]: v["text"] for v in answer["values"]} == {
        "external_id": "7",
        "name": "Acme Inc",
        "email": "A@example.com",
    }
    assert answer["problems"] == []


def test_the_preview_names_what_is_wrong(browser: Client, organization: Any) -> None:
    answer = preview(browser, SPEC, {"Id": "7", "Company": "Acme", "Mail": "nobody"}).json()
    assert [p["field"] for p in answer["problems"]] == ["email"]

    answer = preview(browser, {"fields": [{"target": "nope", "source": "x"}]}, {}).json()
    assert answer["errors"][0] == {"pointer": "/fields/0/target", "text": "The dataset has no field “nope”."}

    answer = browser.post(
        "/admin/records/mapping/preview/", {"dataset": "clients", "spec": "{}", "sample": "{"}
    ).json()
    assert answer["problem"].startswith("The sample row is not valid JSON")


def test_the_preview_writes_nothing_and_is_a_post(browser: Client, organization: Any) -> None:
    from apps.records.models import Record

    assert browser.get("/admin/records/mapping/preview/").status_code == 403
    preview(browser, SPEC, {"Id": "7", "Company": "Acme"})
    assert not Record.objects.exists()
    assert not Mapping.objects.exists()


def test_deleting_a_mapping_is_audited(browser: Client, organization: Any) -> None:
    browser.post("/admin/records/mapping/add/?dataset=clients", MAPPING | rows(KEY))
    mapping = Mapping.objects.get()

    browser.post(f"/admin/records/mapping/{mapping.public_id}/delete/", {"post": "yes"})

    assert not Mapping.objects.exists()
    assert AuditEntry.objects.latest("id").action == "mapping.deleted"


def test_a_dataset_is_found_whatever_its_slug_looks_like(browser: Client, organization: Any) -> None:
    """Django's admin would read `_22` in an address as a quotation mark."""
    for slug in ("pump_stations", "plan_2240"):
        response = browser.post(
            ADD, {**VEHICLES, "slug": slug} | rows(PLATE) | {"key_field": "0", "title_field": "0"}
        )

        assert response.url == f"/admin/records/dataset/{slug}/change/"
        assert browser.get(response.url).status_code == 200
        assert browser.get(f"/admin/records/dataset/{slug}/history/").status_code == 200
        assert (
            "Archive the dataset" in browser.get(f"/admin/records/dataset/{slug}/archive/").content.decode()
        )
    assert (
        'href="/admin/records/dataset/gps_data/change/"'
        in browser.get("/admin/records/dataset/").content.decode()
    )
