"""`/api/v1/records/{dataset}/bulk`, and taking it back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from apps.records.models import Change, Record
from apps.tenants.models import Organization
from tests.records.api.conftest import Open

BULK = "/api/v1/records/clients/bulk"
ORIGINS = "/api/v1/records/origins"


def rows(*numbers: int, **values: Any) -> list[dict[str, Any]]:
    return [{"external_id": f"C-{n}", "name": f"Client {n}", **values} for n in numbers]


def lines(found: list[Any]) -> str:
    return "\n".join(json.dumps(row) for row in found)


def test_rows_are_created_updated_and_left_alone(client: APIClient) -> None:
    first = client.post(BULK, rows(1, 2, 3), format="json")
    assert first.status_code == 200, first.content
    assert {name: first.json()[name] for name in ("rows", "created", "updated", "unchanged", "failed")} == {
        "rows": 3,
        "created": 3,
        "updated": 0,
        "unchanged": 0,
        "failed": 0,
    }
    second = client.post(
        BULK, [*rows(1, 2), {"external_id": "C-3", "name": "New name"}], format="json"
    ).json()
    assert (second["created"], second["updated"], second["unchanged"]) == (0, 1, 2)


def test_wrong_rows_are_reported_by_number_and_the_others_written(client: APIClient) -> None:
    body = client.post(
        BULK,
        [*rows(1), {"external_id": "C-2", "name": "X", "email": "nobody"}, {"name": "No key"}, *rows(4)],
        format="json",
    ).json()
    assert (body["created"], body["failed"]) == (2, 2)
    assert {(error["row"], error["field"]) for error in body["errors"]} == {(2, "email"), (3, "external_id")}
    assert Record.objects.count() == 2


def test_a_misspelt_field_is_an_error_of_its_row(client: APIClient) -> None:
    body = client.post(BULK, [{**rows(1)[0], "nmae": "x"}, *rows(2)], format="json").json()
    assert (body["created"], body["failed"]) == (1, 1)
    assert body["errors"][0]["row"] == 1


@pytest.mark.parametrize(
    ("mode", "created", "updated", "deleted", "failed"),
    [("create", 1, 0, 0, 1), ("update", 0, 1, 0, 1), ("upsert", 1, 1, 0, 0), ("replace", 1, 1, 1, 0)],
)
def test_modes(client: APIClient, mode: str, created: int, updated: int, deleted: int, failed: int) -> None:
    client.post(BULK, rows(1, 2), format="json")
    body = client.post(f"{BULK}?mode={mode}", rows(2, 3, city="Paris"), format="json").json()
    assert (body["created"], body["updated"], body["deleted"], body["failed"]) == (
        created,
        updated,
        deleted,
        failed,
    )


def test_replacing_needs_the_scope_to_delete(
    acme: Organization, open_client: Open, client: APIClient
) -> None:
    client.post(BULK, rows(1), format="json")
    writer = open_client(acme, scopes=["records:write"])
    assert writer.post(f"{BULK}?mode=replace", rows(2), format="json").status_code == 403
    assert list(Record.objects.values_list("key", flat=True)) == ["C-1"]


def test_a_dry_run_foretells_and_leaves_everything_as_it_was(client: APIClient, capsys: Any) -> None:
    client.post(BULK, rows(1, 2), format="json")

    def dump() -> str:
        call_command("dumpdata", "records", "events")
        return str(capsys.readouterr().out)

    before = dump()
    body = client.post(f"{BULK}?dry_run=true&mode=replace", rows(2, 3, city="Paris"), format="json").json()
    assert (body["created"], body["updated"], body["deleted"]) == (1, 1, 1)
    assert (body["dry_run"], body["origin"]) == (True, None)
    assert dump() == before


def test_lines_of_json_are_streamed(client: APIClient) -> None:
    text = lines(rows(*range(5000))) + "\n\n"
    body = client.post(BULK, text, content_type="application/x-ndjson").json()
    assert (body["rows"], body["created"]) == (5000, 5000)
    assert Record.objects.count() == 5000


def test_a_broken_line_ends_the_stream_and_tells_what_was_written(client: APIClient) -> None:
    text = lines(rows(*range(4500))) + '\n{"external_id": "C-9999", "name": }\n' + lines(rows(4501))
    response = client.post(BULK, text, content_type="application/x-ndjson")
    assert response.status_code == 400
    body = response.json()
    assert "Line 4501" in body["detail"]
    assert body["written"]["created"] == 2000 == Record.objects.count()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ('{"external_id": "C-1"}', "application/json", 422),
        ("[1, 2]", "application/json", 400),
        ("[", "application/json", 400),
        ("[]" * 2, "application/json", 400),
        ("[" * 10_000 + "]" * 10_000, "application/json", 400),
        (b'[{"external_id": "\xff"}]', "application/json", 400),
        ('[{"external_id": "a\\u0000b"}]', "application/json", 400),
        ("5", "application/x-ndjson", 400),
        ("<a/>", "application/xml", 415),
        ("external_id=1", "application/x-www-form-urlencoded", 415),
    ],
)
def test_broken_bodies_are_the_callers_mistake(
    client: APIClient, body: Any, content_type: str, status: int
) -> None:
    response = client.post(BULK, body, content_type=content_type)
    assert response.status_code == status, response.content
    assert response["Content-Type"] == "application/problem+json"
    assert Record.objects.count() == 0


def test_more_than_ten_thousand_rows_belong_into_a_stream(client: APIClient) -> None:
    response = client.post(BULK, [{}] * 10_001, format="json")
    assert response.status_code == 413
    assert "application/x-ndjson" in response.json()["detail"]


def test_one_call_is_taken_back_alone(client: APIClient) -> None:
    client.post(BULK, rows(1, 2), format="json")
    second = client.post(BULK, rows(2, 3, city="Paris"), format="json").json()
    address = f"{ORIGINS}/{second['origin']}"
    assert client.get(address).json()["kind"] == "api_key"

    foretold = client.post(f"{address}/undo", {"dry_run": True}, format="json").json()
    assert (foretold["reverted"], foretold["dry_run"]) == (2, True)
    assert Record.objects.filter(deleted_at=None).count() == 3

    done = client.post(f"{address}/undo", {}, format="json").json()
    assert (done["reverted"], done["refused"], done["conflicts"]) == (2, 0, [])
    assert sorted(Record.objects.filter(deleted_at=None).values_list("key", flat=True)) == ["C-1", "C-2"]
    assert (
        "city" not in Record.objects.get(key="C-2").data or Record.objects.get(key="C-2").data["city"] is None
    )
    assert client.get(address).json()["undone_at"]


def test_what_somebody_else_changed_later_stays(client: APIClient) -> None:
    made = client.post(BULK, rows(1), format="json").json()
    client.patch("/api/v1/records/clients/key:C-1", {"name": "Changed"}, format="json")
    body = client.post(f"{ORIGINS}/{made['origin']}/undo", {}, format="json").json()
    assert (body["reverted"], body["refused"]) == (0, 1)
    assert body["conflicts"][0]["key"] == "C-1"
    assert body["conflicts"][0]["record"].startswith("rec_")


def test_a_saved_mapping_is_used(client: APIClient) -> None:
    saved = client.post(
        "/api/v1/mappings",
        {
            "name": "CRM",
            "dataset": "clients",
            "spec": {
                "fields": [
                    {"target": "external_id", "source": "ID"},
                    {"target": "name", "source": '"Full name"', "transforms": "trim | upper"},
                ]
            },
        },
        format="json",
    )
    assert saved.status_code == 201, saved.content
    body = client.post(
        f"{BULK}?mapping={saved.json()['id']}", [{"ID": "C-1", "Full name": " Ada "}], format="json"
    ).json()
    assert body["created"] == 1, body
    assert Record.objects.get().data["name"] == "ADA"
    other = client.post(f"/api/v1/records/contacts/bulk?mapping={saved.json()['id']}", [], format="json")
    assert other.status_code == 400
    assert client.post(f"{BULK}?mapping=map_nothing", [], format="json").status_code == 404


def test_a_repeated_call_is_answered_alike_and_written_once(client: APIClient) -> None:
    text = lines(rows(*range(30)))
    first = client.post(BULK, text, content_type="application/x-ndjson", HTTP_IDEMPOTENCY_KEY="load-1")
    changes = Change.objects.count()
    again = client.post(BULK, text, content_type="application/x-ndjson", HTTP_IDEMPOTENCY_KEY="load-1")
    assert again["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert Change.objects.count() == changes == 30
    other = client.post(BULK, text + "\n", content_type="application/x-ndjson", HTTP_IDEMPOTENCY_KEY="load-1")
    assert other.status_code == 422
