"""What every answer of the API promises: pages with cursors, no unknown parameters, problems for errors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.kernel.api.permissions import PUBLIC
from apps.kernel.api.views import HubViewSet
from tests.house.test_api import OPERATIONS, Operation, acme, client  # noqa: F401

GETS = [o for o in OPERATIONS if o.method == "get"]
LISTS = [o for o in GETS if o.view.is_list(o.what) and not o.variables]
# Addresses that answer with everything at once, in the form of a page: what the hub itself knows.
WHOLE = {"connectors", "event-types", "versions", "inbound-schemes"}


def path_of(operation: Operation, name: str = "nothing-of-this-name") -> str:
    return "/api/v1/" + re.sub(r"{\w+}", name, operation.address)


def is_problem(response: Any, *status: int) -> bool:
    assert response.status_code in status, (response.status_code, response.content[:300])
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["request_id"] == response["X-Request-ID"]
    assert {"type", "title", "detail", "instance", "code"} <= set(body)
    return True


def test_every_list_of_a_view_set_has_pages() -> None:
    missing = [
        str(o)
        for o in GETS
        if o.what == "list"
        and issubclass(o.view, HubViewSet)
        and not o.view.is_list("list")
        and o.address not in WHOLE
    ]
    assert missing == []
    assert len(LISTS) >= 12


@pytest.mark.parametrize("operation", LISTS, ids=str)
def test_a_list_is_read_page_by_page(operation: Operation, client: APIClient) -> None:  # noqa: F811
    path = path_of(operation, "clients")
    page = client.get(path, {"limit": 1})
    assert page.status_code == 200, page.content
    assert {"data", "next", "previous"} <= set(page.json())
    assert len(page.json()["data"]) <= 1
    for query in ({"limit": 0}, {"limit": 100_000}, {"limit": "x"}, {"cursor": "made-up"}):
        is_problem(client.get(path, query), 400, 422)


@pytest.mark.parametrize("operation", [o for o in GETS if o.scope != PUBLIC], ids=str)
def test_unknown_query_parameters_are_refused(operation: Operation, client: APIClient) -> None:  # noqa: F811
    response = client.get(path_of(operation, "clients"), {"surely_not_a_parameter": "1"})
    # A view may look for its object first.
    if is_problem(response, 400, 404) and response.status_code == 400:
        assert "surely_not_a_parameter" in response.content.decode()
    if not operation.variables:
        assert response.status_code == 400


@pytest.mark.parametrize(
    "operation", [o for o in OPERATIONS if o.method in ("post", "put", "patch")], ids=str
)
def test_bodies_that_are_none_get_problems(operation: Operation, client: APIClient) -> None:  # noqa: F811
    if operation.address == "webhooks/receive/{code}":
        return
    path = path_of(operation)
    for body, kind in ((b"{", "application/json"), (b"\xff\xfe", "application/json"), (b"x", "image/png")):
        response = getattr(client, operation.method)(path, data=body, content_type=kind)
        if response.status_code not in (200, 204):  # what needs no body reads none
            is_problem(response, 400, 401, 403, 404, 409, 415, 422)


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if o.variables], ids=str)
def test_what_is_not_there_and_what_cannot_be_get_problems(
    operation: Operation,
    client: APIClient,  # noqa: F811
) -> None:
    for name in ("nothing-of-this-name", "%00", "x" * 300):
        response = getattr(client, operation.method)(path_of(operation, name), format="json")
        if response.status_code >= 400 and operation.address != "webhooks/receive/{code}":
            is_problem(response, 400, 401, 403, 404, 409, 415, 422)
        assert response.status_code < 500
    if operation.address == "webhooks/receive/{code}":  # answers providers in their own ways
        return
    method = next(m for m in ("post", "put", "delete") if not _takes(operation, m))
    is_problem(getattr(client, method)(path_of(operation), format="json"), 405)


def _takes(operation: Operation, method: str) -> bool:
    return any(o.address == operation.address and o.method == method for o in OPERATIONS)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v1/", "/api/v9/records/clients", "/api/nothing"])
def test_addresses_that_are_none_get_problems(path: str, client: APIClient) -> None:  # noqa: F811
    is_problem(client.get(path), 404)
