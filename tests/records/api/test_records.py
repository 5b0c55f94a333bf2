"""`/api/v1/records/{dataset}`."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.records.models import Record
from apps.tenants.models import Organization
from tests.records.api.conftest import Open

CLIENTS = "/api/v1/records/clients"


def add(client: APIClient, n: int, **values: Any) -> dict[str, Any]:
    body = {"external_id": f"C-{n:04}", "name": f"Client {n}", "email": f"c{n}@example.com", **values}
    response = client.post(CLIENTS, body, format="json")
    assert response.status_code == 201, response.content
    return dict(response.json())


def test_a_record_is_added_read_changed_replaced_and_deleted(client: APIClient) -> None:
    made = client.post(
        CLIENTS, {"external_id": "C-1", "name": "Ada", "email": "ada@example.com"}, format="json"
    )
    assert made.status_code == 201, made.content
    body = made.json()
    assert body["key"] == "C-1"
    assert body["version"] == 1
    assert made["Location"] == f"{CLIENTS}/{body['id']}"

    address = f"{CLIENTS}/{body['id']}"
    assert client.get(address).json() == body
    assert client.get(f"{CLIENTS}/key:C-1").json() == body

    changed = client.patch(address, {"name": "Ada Lovelace", "email": None}, format="json").json()
    assert (changed["name"], changed["version"]) == ("Ada Lovelace", 2)
    assert changed.get("email") is None

    replaced = client.put(address, {"external_id": "C-1", "name": "Countess"}, format="json").json()
    assert (replaced["name"], replaced["version"]) == ("Countess", 3)

    assert client.delete(address).status_code == 204
    assert client.get(address).status_code == 404
    history = client.get(f"{address}/changes").json()["data"]
    assert [change["operation"] for change in history] == ["deleted", "updated", "updated", "created"]
    assert history[0]["origin"]["kind"] == "api_key"
    assert history[3]["after"]["name"] == "Ada"


def test_an_answer_can_be_sent_back_as_it_is(client: APIClient) -> None:
    body = add(client, 1)
    again = client.put(f"{CLIENTS}/{body['id']}", body, format="json")
    assert again.status_code == 200, again.content
    assert again.json()["version"] == 1


def test_wrong_values_are_named_one_by_one(client: APIClient) -> None:
    response = client.post(CLIENTS, {"external_id": "C-1", "name": "", "email": "nobody"}, format="json")
    assert response.status_code == 422
    errors = {error["pointer"]: error["code"] for error in response.json()["errors"]}
    assert set(errors) == {"/name", "/email"}
    assert Record.objects.count() == 0


def test_unknown_fields_are_refused(client: APIClient) -> None:
    response = client.post(CLIENTS, {"external_id": "C-1", "name": "Ada", "nmae": "x"}, format="json")
    assert response.status_code == 422
    assert response.json()["errors"] == [
        {"pointer": "/nmae", "code": "unknown_field", "detail": "There is no field “nmae”."}
    ]
    assert Record.objects.count() == 0


def test_a_key_is_taken_once(client: APIClient) -> None:
    add(client, 1)
    response = client.post(CLIENTS, {"external_id": "C-0001", "name": "Other"}, format="json")
    assert response.status_code == 409
    assert Record.objects.count() == 1


def test_nobodys_change_is_lost(client: APIClient) -> None:
    body = add(client, 1)
    address = f"{CLIENTS}/{body['id']}"
    etag = client.get(address)["ETag"]
    assert client.patch(address, {"name": "First"}, format="json", HTTP_IF_MATCH=etag).status_code == 200
    for late in (
        client.patch(address, {"name": "Second"}, format="json", HTTP_IF_MATCH=etag),
        client.put(address, {"external_id": "C-0001", "name": "Second"}, format="json", HTTP_IF_MATCH=etag),
        client.delete(address, HTTP_IF_MATCH=etag),
    ):
        assert late.status_code == 412
        assert late.json()["code"] == "precondition_failed"
    assert client.get(address).json()["name"] == "First"


def test_pages_follow_one_another_in_both_directions(client: APIClient) -> None:
    numbers = [add(client, n)["key"] for n in range(7)]
    seen: list[str] = []
    address = f"{CLIENTS}?limit=3&ordering=external_id"
    pages = []
    while address:
        page = client.get(address).json()
        pages.append([row["key"] for row in page["data"]])
        seen += pages[-1]
        last, address = page, page["next"]
    assert seen == numbers
    assert [len(page) for page in pages] == [3, 3, 1]
    back = []
    while last["previous"]:
        last = client.get(last["previous"]).json()
        back.append([row["key"] for row in last["data"]])
    assert back == [pages[1], pages[0]]


def test_pages_are_stable_when_records_come_in(client: APIClient) -> None:
    numbers = [add(client, n)["key"] for n in range(4)]
    first = client.get(f"{CLIENTS}?limit=2").json()
    add(client, 99)
    second = client.get(first["next"]).json()
    assert [row["key"] for row in first["data"] + second["data"]] == list(reversed(numbers))
    assert second["next"] is None


def test_records_without_a_value_are_in_the_order_and_none_is_left_out(client: APIClient) -> None:
    add(client, 1, email=None)
    add(client, 2, email="b@example.com")
    add(client, 3, email="a@example.com")
    add(client, 4, email=None)
    for ordering, expected in (
        ("email", ["C-0001", "C-0004", "C-0003", "C-0002"]),
        ("-email", ["C-0002", "C-0003", "C-0004", "C-0001"]),
    ):
        address: str | None = f"{CLIENTS}?limit=1&ordering={ordering}"
        seen, page = [], {}
        while address:
            page = client.get(address).json()
            seen += [row["key"] for row in page["data"]]
            address = page["next"]
        assert seen == expected
        back = [page["data"][0]["key"]]
        while page["previous"]:
            page = client.get(page["previous"]).json()
            back += [row["key"] for row in page["data"]]
        assert back == list(reversed(expected))


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ("name=Client 2", ["C-0002"]),
        ("name__startswith=client", ["C-0003", "C-0002", "C-0001"]),
        ("external_id__in=C-0001,C-0003", ["C-0003", "C-0001"]),
        ("external_id__gte=C-0002&ordering=external_id", ["C-0002", "C-0003"]),
        ("search=C-0003", ["C-0003"]),
        ("email=c1@example.com", ["C-0001"]),
        ("created_since=2020-01-01T00:00:00Z&limit=1", ["C-0003"]),
        ("updated_since=2999-01-01T00:00:00Z", []),
    ],
)
def test_filters(client: APIClient, query: str, keys: list[str]) -> None:
    for n in (1, 2, 3):
        add(client, n)
    response = client.get(f"{CLIENTS}?{query}")
    assert response.status_code == 200, response.content
    assert [row["key"] for row in response.json()["data"]] == keys


@pytest.mark.parametrize(
    "query",
    [
        "colour=red",
        "notes=x",
        "name__regex=.*",
        "ordering=notes",
        "limit=0",
        "limit=201",
        "limit=ten",
        "cursor=nonsense",
        "updated_since=yesterday",
        "updated_since=2026-01-01T00:00:00",
        "include_deleted=perhaps",
        "limit=1&limit=2",
        "name=a%00b",
    ],
)
def test_what_cannot_be_asked_is_an_error_and_not_ignored(client: APIClient, query: str) -> None:
    add(client, 1)
    response = client.get(f"{CLIENTS}?{query}")
    assert response.status_code == 400, response.content
    errors = response.json()["errors"]
    assert errors[0]["pointer"] == "?" + query.rpartition("&")[2].partition("=")[0]


def test_an_unknown_parameter_is_answered_with_the_known_ones(client: APIClient) -> None:
    detail = client.get(f"{CLIENTS}?colour=red").json()["detail"]
    assert "“colour”" in detail
    for name in ("limit", "ordering", "updated_since", "email", "external_id"):
        assert name in detail


def test_sparse_answers(client: APIClient) -> None:
    body = add(client, 1)
    assert client.get(f"{CLIENTS}?fields=name").json()["data"] == [{"id": body["id"], "name": "Client 1"}]
    assert set(client.get(f"{CLIENTS}/{body['id']}?fields=name,version").json()) == {"id", "name", "version"}


def test_deleted_records_are_listed_when_asked_for(client: APIClient) -> None:
    body = add(client, 1)
    client.delete(f"{CLIENTS}/{body['id']}")
    assert client.get(CLIENTS).json()["data"] == []
    [tombstone] = client.get(f"{CLIENTS}?include_deleted=true").json()["data"]
    assert tombstone["id"] == body["id"]
    assert tombstone["deleted_at"]


def test_nothing_of_another_organization_is_seen_or_touched(
    client: APIClient, globex: Organization, open_client: Open
) -> None:
    theirs = open_client(globex)
    record = add(theirs, 7)
    calls = [
        client.get(f"{CLIENTS}/{record['id']}"),
        client.get(f"{CLIENTS}/key:C-0007"),
        client.get(f"{CLIENTS}/{record['id']}/changes"),
        client.patch(f"{CLIENTS}/{record['id']}", {"name": "Mine"}, format="json"),
        client.put(f"{CLIENTS}/{record['id']}", {"external_id": "C-0007", "name": "Mine"}, format="json"),
        client.delete(f"{CLIENTS}/{record['id']}"),
    ]
    assert [call.status_code for call in calls] == [404] * 6
    assert client.get(f"{CLIENTS}?include_deleted=true").json()["data"] == []
    origin = theirs.get("/api/v1/records/origins").json()["data"][0]["id"]
    assert client.get(f"/api/v1/records/origins/{origin}").status_code == 404
    assert client.post(f"/api/v1/records/origins/{origin}/undo", {}, format="json").status_code == 404
    assert client.get("/api/v1/records/origins").json()["data"] == []
    assert theirs.get(f"{CLIENTS}/{record['id']}").json() == record


def test_a_cursor_serves_one_list_only(client: APIClient) -> None:
    for n in range(3):
        add(client, n)
    cursor = client.get(f"{CLIENTS}?limit=1").json()["next"].partition("cursor=")[2]
    assert client.get(f"/api/records/clients?limit=1&cursor={cursor}").status_code == 200
    assert client.get(f"{CLIENTS}?limit=1&ordering=name&cursor={cursor}").status_code == 400
    assert client.get(f"/api/v1/records/contacts?limit=1&cursor={cursor}").status_code == 400
    for n in (0, len(cursor) // 2, len(cursor) - 1):
        forged = cursor[:n] + ("A" if cursor[n] != "A" else "B") + cursor[n + 1 :]
        assert client.get(f"{CLIENTS}?limit=1&cursor={forged}").status_code == 400


def test_reading_needs_reading_and_writing_writing(acme: Organization, open_client: Open) -> None:
    reader = open_client(acme, scopes=["records:read"])
    response = reader.post(CLIENTS, {"external_id": "C-1", "name": "Ada"}, format="json")
    assert response.status_code == 403
    assert Record.objects.count() == 0
    writer = open_client(acme, scopes=["records:write"])
    body = add(writer, 1)
    assert writer.get(CLIENTS).status_code == 403
    assert writer.delete(f"{CLIENTS}/{body['id']}").status_code == 403
    assert reader.get(f"{CLIENTS}/{body['id']}").status_code == 200


def test_an_unknown_dataset_is_404(client: APIClient) -> None:
    for address in (
        "/api/v1/records/unicorns",
        "/api/v1/records/unicorns/rec_1",
        "/api/v1/datasets/unicorns",
    ):
        assert client.get(address).status_code == 404
    assert client.post("/api/v1/records/unicorns/bulk", [], format="json").status_code == 404


def test_a_key_with_slashes_and_spaces_is_found(client: APIClient) -> None:
    client.post(CLIENTS, {"external_id": "A/B c?d", "name": "Odd"}, format="json")
    assert client.get(f"{CLIENTS}/key:A%2FB%20c%3Fd").json()["name"] == "Odd"
    assert len(client.get(f"{CLIENTS}/key:A%2FB%20c%3Fd/changes").json()["data"]) == 1
