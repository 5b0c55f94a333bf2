"""`/api/v1/datasets` and `/api/v1/mappings`."""

from __future__ import annotations

from typing import Any

from rest_framework.test import APIClient

from apps.records.models import Dataset, Mapping
from apps.tenants.models import Organization
from tests.records.api.conftest import Open

DATASETS = "/api/v1/datasets"
MAPPINGS = "/api/v1/mappings"
BIKES: dict[str, Any] = {
    "slug": "bikes",
    "name": "Bikes",
    "key_field": "frame",
    "fields": [
        {"name": "frame", "type": "text", "required": True},
        {"name": "price", "type": "decimal", "decimal_places": 2, "indexed": True},
    ],
}


def test_the_built_in_datasets_are_listed_by_name(client: APIClient) -> None:
    body = client.get(f"{DATASETS}?limit=200").json()
    names = [row["name"] for row in body["data"]]
    assert names == sorted(names)
    assert {"clients", "contacts", "cases", "documents", "tasks", "users", "gps_data"} <= {
        row["id"] for row in body["data"]
    }
    assert client.get(f"{DATASETS}?kind=custom").json()["data"] == []


def test_a_custom_dataset_is_defined_used_changed_and_archived(client: APIClient) -> None:
    made = client.post(DATASETS, BIKES, format="json")
    assert made.status_code == 201, made.content
    assert made["Location"] == f"{DATASETS}/bikes"
    assert [field["name"] for field in made.json()["fields"]] == ["frame", "price"]

    record = client.post("/api/v1/records/bikes", {"frame": "F-1", "price": "12.50"}, format="json")
    assert record.json()["price"] == "12.50"
    assert client.get(f"{DATASETS}/bikes").json()["records"] == 1

    schema = client.get(f"{DATASETS}/bikes/schema")
    assert schema["Content-Type"] == "application/schema+json"
    assert schema.json()["required"] == ["frame"]

    fields = [*BIKES["fields"], {"name": "colour", "type": "text"}]
    etag = client.get(f"{DATASETS}/bikes")["ETag"]
    changed = client.patch(f"{DATASETS}/bikes", {"fields": fields}, format="json", HTTP_IF_MATCH=etag)
    assert changed.status_code == 200, changed.content
    assert changed.json()["version"] == 2
    late = client.patch(f"{DATASETS}/bikes", {"name": "Cycles"}, format="json", HTTP_IF_MATCH=etag)
    assert late.status_code == 412

    assert client.delete(f"{DATASETS}/bikes").status_code == 204
    assert client.get(f"{DATASETS}/bikes").status_code == 404
    assert client.get("/api/v1/records/bikes").status_code == 404


def test_a_wrong_definition_is_refused_with_pointers(client: APIClient) -> None:
    wrong = {
        **BIKES,
        "fields": [{"name": "frame", "type": "text"}, {"name": "id", "type": "text"}, {"name": "x"}],
    }
    response = client.post(DATASETS, wrong, format="json")
    assert response.status_code == 422
    assert "/fields/2/type" in [error["pointer"] for error in response.json()["errors"]]
    assert not Dataset.objects.filter(slug="bikes").exists()


def test_built_in_datasets_are_not_changed(client: APIClient) -> None:
    assert client.patch(f"{DATASETS}/clients", {"name": "Kunden"}, format="json").status_code == 409
    assert client.delete(f"{DATASETS}/clients").status_code == 409
    assert client.get(f"{DATASETS}/clients").json()["name"] == "Clients"


def test_datasets_and_mappings_of_others_are_not_there(
    client: APIClient, globex: Organization, open_client: Open
) -> None:
    theirs = open_client(globex)
    theirs.post(DATASETS, BIKES, format="json")
    spec = {"fields": [{"target": "frame", "source": "F"}]}
    mapping = theirs.post(MAPPINGS, {"name": "M", "dataset": "bikes", "spec": spec}, format="json").json()
    for address in (f"{DATASETS}/bikes", f"{DATASETS}/bikes/schema", f"{MAPPINGS}/{mapping['id']}"):
        assert client.get(address).status_code == 404
        assert client.delete(address).status_code in (404, 405)
    assert client.patch(f"{MAPPINGS}/{mapping['id']}", {"name": "X"}, format="json").status_code == 404
    assert client.get(MAPPINGS).json()["data"] == []
    own = client.post(MAPPINGS, {"name": "M", "dataset": "bikes", "spec": spec}, format="json")
    assert own.status_code == 422
    assert Mapping.objects.count() == 1


def test_a_mapping_is_saved_changed_and_deleted(client: APIClient) -> None:
    spec = {"fields": [{"target": "external_id", "source": "ID"}, {"target": "name", "source": "Name"}]}
    made = client.post(MAPPINGS, {"name": "CRM", "dataset": "clients", "spec": spec}, format="json")
    assert made.status_code == 201, made.content
    address = f"{MAPPINGS}/{made.json()['id']}"
    assert made["Location"] == address
    assert client.patch(address, {"name": "Old CRM"}, format="json").json()["name"] == "Old CRM"
    wrong = client.patch(address, {"spec": {"fields": [{"target": "colour", "source": "c"}]}}, format="json")
    assert wrong.status_code == 422
    assert client.get(address).json()["spec"]["fields"][0]["target"] == "external_id"
    assert client.get(f"{MAPPINGS}?dataset=contacts").json()["data"] == []
    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
