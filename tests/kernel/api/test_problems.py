"""Every error is a problem document."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework import exceptions, serializers
from rest_framework.test import APIClient

from apps.kernel.api.problems import as_hub_error, field_errors
from apps.tenants.models import Project

PROJECTS = "/api/v1/projects"
MEMBERS = {"type", "title", "status", "detail", "instance", "request_id", "code"}


def test_a_problem_has_all_members(client: APIClient) -> None:
    response = client.get(f"{PROJECTS}/prj_nothing")
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) == MEMBERS
    assert body["type"] == "/api/errors#not_found"
    assert body["instance"] == f"{PROJECTS}/prj_nothing"
    assert body["request_id"] == response["X-Request-ID"]


def test_nested_validation_has_json_pointers(client: APIClient) -> None:
    body = {"tags": [{"label": "ok"}, {"label": "too long"}, {}], "nmae": "x", "a/b~c": 1}
    response = client.post(PROJECTS, body, format="json")
    assert response.status_code == 422
    errors = {error["pointer"]: error["code"] for error in response.json()["errors"]}
    assert errors == {"/nmae": "unknown_field", "/a~1b~0c": "unknown_field"}
    response = client.post(PROJECTS, {"tags": body["tags"]}, format="json")
    errors = {error["pointer"]: error["code"] for error in response.json()["errors"]}
    assert errors == {"/name": "required", "/tags/1/label": "max_length", "/tags/2/label": "required"}
    assert Project.objects.count() == 0


def test_an_unexpected_error_is_500_without_details(client: APIClient, caplog: Any) -> None:
    response = client.post(PROJECTS, {"name": "boom"}, format="json")
    assert response.status_code == 500
    assert response["Content-Type"] == "application/problem+json"
    assert set(response.json()) == MEMBERS
    assert response.json()["code"] == "internal_error"
    assert b"hunter2" not in response.content
    assert b"RuntimeError" not in response.content
    assert any("Unexpected error" in record.getMessage() for record in caplog.records)


def test_temporary_failures_and_limits_say_when_to_come_back(client: APIClient) -> None:
    busy = client.post(PROJECTS, {"name": "busy"}, format="json")
    assert (busy.status_code, busy["Retry-After"]) == (503, "5")
    limited = client.post(PROJECTS, {"name": "limit"}, format="json")
    assert (limited.status_code, limited["Retry-After"], limited["Cache-Control"]) == (429, "7", "no-store")
    assert limited.json()["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"


def test_what_no_view_answers_is_a_problem_too(db: None) -> None:
    for address in ("/api/v1/unicorns", "/api/unicorns/7", "/api/v1"):
        response = Client().get(address)
        assert response.status_code == 404, address
        assert response["Content-Type"] == "application/problem+json"
        assert set(response.json()) == MEMBERS
    elsewhere = Client().get("/elsewhere")
    assert elsewhere.status_code == 404
    assert elsewhere["Content-Type"].startswith("text/html")


def test_a_foreign_host_and_a_broken_path_are_400(db: None) -> None:
    foreign = Client().get("/api/v1/open", HTTP_HOST="evil.example.com")
    assert (foreign.status_code, foreign["Content-Type"]) == (400, "application/problem+json")


def test_a_crash_before_any_view_is_500_without_details(db: None, settings: Any) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.kernel.api.test_problems.crashing"]
    response = Client(raise_request_exception=False).get("/api/v1/open")
    assert (response.status_code, response["Content-Type"]) == (500, "application/problem+json")
    assert b"hunter2" not in response.content


def crashing(get_response: Any) -> Any:
    def middleware(request: Any) -> Any:
        raise RuntimeError("hunter2")

    return middleware


def test_a_wrong_method_is_405_with_the_right_ones(client: APIClient) -> None:
    response = client.delete(PROJECTS)
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert client.options(PROJECTS).status_code == 204


def test_an_undeclared_operation_is_403(client: APIClient) -> None:
    response = client.post("/api/v1/undeclared", {}, format="json")
    assert response.status_code == 403
    assert response.json()["code"] == "undeclared_scope"


def test_a_missing_scope_is_named(acme: Any) -> None:
    from tests.kernel.api.conftest import client_of

    response = client_of(acme, scopes=["projects:read"]).post(PROJECTS, {"name": "x"}, format="json")
    assert response.status_code == 403
    assert "projects:write" in response.json()["detail"]
    challenge = 'Bearer realm="Integration Hub", error="insufficient_scope", scope="projects:write"'
    assert response["WWW-Authenticate"] == challenge
    assert Project.objects.count() == 0


@pytest.mark.parametrize(
    ("detail", "expected"),
    [
        ("plain", [("", "invalid", "plain")]),
        ({"a": ["x", "y"]}, [("/a", "invalid", "x"), ("/a", "invalid", "y")]),
        ({"a": {"b": ["x"]}, "non_field_errors": ["z"]}, [("/a/b", "invalid", "x"), ("", "invalid", "z")]),
        ([{}, {"a": ["x"]}], [("/1/a", "invalid", "x")]),
        ({"a": {"0": ["x"]}}, [("/a/0", "invalid", "x")]),
    ],
)
def test_flattening(detail: Any, expected: list[tuple[str, str, str]]) -> None:
    error = serializers.ValidationError(detail)
    assert [(e.pointer, e.code, e.detail) for e in field_errors(error.detail)] == expected


def test_drf_errors_keep_their_status() -> None:
    for error, status in (
        (exceptions.ParseError(), 400),
        (exceptions.NotAuthenticated(), 401),
        (exceptions.PermissionDenied(), 403),
        (exceptions.UnsupportedMediaType("text/x"), 415),
        (exceptions.Throttled(3), 429),
    ):
        found = as_hub_error(error)
        assert found is not None
        assert found.status == status
