"""What older versions look like: made from the newest by the declared changes, everywhere alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from django.apps import apps
from rest_framework.test import APIClient

from apps.apikeys.services import keys, usage, verified
from apps.kernel.api.changes import changes, template_of
from apps.kernel.api.docs import document
from apps.kernel.api.versions import versions
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.services import organizations
from tests.house.samples import Maker
from tests.house.test_api import OPERATIONS

COUNTS = ["rows", "created", "updated", "unchanged", "restored", "deleted", "failed"]
BULK = "records/clients/bulk"
ROWS = [{"external_id": "C-1", "name": "Ada"}, {"external_id": "C-2", "nobody": 1}]


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    verified.forget_all()
    usage.forget_all()
    yield
    verified.forget_all()


def client_of(organization: Organization, **values: Any) -> APIClient:
    issued = keys.create(
        organization=organization,
        name="versions",
        actor=SYSTEM,
        scopes=["*:*"],
        permissions=keys.ALL_PERMISSIONS,
        never_expires=True,
        **values,
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issued.secret}")
    return client


@pytest.fixture
def client(acme: Organization) -> APIClient:
    return client_of(acme)


@pytest.fixture
def delivery(acme: Organization) -> Any:
    return Maker(acme).make(apps.get_model("webhooks", "Delivery"), attempts=3)


@pytest.fixture
def job_error(acme: Organization) -> Any:
    return Maker(acme).make(apps.get_model("jobs", "JobError"), message="It is not a date.")


def conforms(value: Any, version: str, path: str, method: str = "get", status: str = "200") -> None:
    """The answer is what this version's document promises."""
    made = document(version)
    schema = made["paths"][f"/api/{version}/{path}"][method]["responses"][status]["content"][
        "application/json"
    ]["schema"]
    jsonschema.validate(value, {**schema, "components": made["components"]}, jsonschema.Draft202012Validator)


def test_every_change_names_operations_and_schemas_that_there_are() -> None:
    known = {f"{operation.method.upper()} {operation.address}" for operation in OPERATIONS}
    schemas = document(versions.newest.name)["components"]["schemas"]
    assert changes.all()
    for change in changes.all():
        assert set(change.operations) <= known, change.id
        assert set(change.schemas) <= set(schemas), change.id
        assert versions.revision(change.since) is not None


def test_a_bulk_write_counts_as_its_version_does(client: APIClient) -> None:
    new = client.post(f"/api/v2/{BULK}?dry_run=true", ROWS, format="json")
    old = client.post(f"/api/v1/{BULK}?dry_run=true", ROWS, format="json")
    assert (new["API-Version"], old["API-Version"]) == ("v2", "v1")
    assert new.json()["counts"]["created"] == 1
    assert list(old.json()) == ["origin", "mode", "dry_run", *COUNTS, "deletion_skipped", "errors"]
    assert {name: old.json()[name] for name in COUNTS} == new.json()["counts"]
    conforms(new.json(), "v2", "records/{dataset}/bulk", "post")
    conforms(old.json(), "v1", "records/{dataset}/bulk", "post")
    lines = b"\n".join(json.dumps(row).encode() for row in ROWS)
    streamed = client.post(f"/api/v1/{BULK}?dry_run=true", lines, content_type="application/x-ndjson")
    assert streamed.json() == old.json()


@pytest.mark.parametrize(("first", "then"), [("v1", "v2"), ("v2", "v1"), ("v1", "v1")])
def test_a_replay_is_in_the_version_that_asks(client: APIClient, first: str, then: str) -> None:
    given = {"format": "json", "HTTP_IDEMPOTENCY_KEY": "k-1"}
    once = client.post(f"/api/{first}/{BULK}", ROWS, **given)
    again = client.post(f"/api/{then}/{BULK}", ROWS, **given)
    assert again["Idempotent-Replayed"] == "true"
    assert (again["API-Version"], again.status_code) == (then, 200)
    told = {
        version: answer.json()["counts" if version == "v2" else "created"]
        for version, answer in ((first, once), (then, again))
    }
    assert told.get("v1", 1) == 1
    assert told.get("v2", {"created": 1})["created"] == 1
    assert again.json()["origin"] == once.json()["origin"]
    if first == then:
        assert again.content == once.content


def test_lists_details_and_what_lies_within(client: APIClient, delivery: Any) -> None:
    webhook = f"webhooks/{delivery.endpoint.number}"
    for version, name, other in (("v1", "attempts", "attempt_count"), ("v2", "attempt_count", "attempts")):
        for path, found in (
            ("deliveries", lambda body: body["data"][0]),
            (f"deliveries/{delivery.public_id}", lambda body: body),
            (f"{webhook}/deliveries", lambda body: body["data"][0]),
            (f"{webhook}/logs", lambda body: body["data"][0]),
            (webhook, lambda body: body["recent_deliveries"][0]),
        ):
            one = found(client.get(f"/api/{version}/{path}").json())
            assert one[name] == 3, (version, path)
            assert other not in one, (version, path)
        conforms(client.get(f"/api/{version}/deliveries").json(), version, "deliveries")


def test_sparse_answers_know_the_names_of_their_version(client: APIClient, delivery: Any) -> None:
    own = client.get("/api/v1/deliveries?fields=attempts,status&limit=1").json()["data"]
    assert own == [{"id": delivery.public_id, "status": delivery.status, "attempts": 3}]
    assert client.get("/api/v2/deliveries?fields=attempt_count").json()["data"][0]["attempt_count"] == 3
    for version, wrong, right in (("v1", "attempt_count", "attempts"), ("v2", "attempts", "attempt_count")):
        refused = client.get(f"/api/{version}/deliveries?fields={wrong}")
        assert refused.status_code == 400
        assert refused.json()["errors"][0]["code"] == "unknown_field"
        assert right in refused.json()["detail"]
    unknown = client.get("/api/v1/deliveries?fields=nothing").json()["detail"]
    assert " attempts," in unknown
    assert "attempt_count" not in unknown


def test_pages_lead_on_in_the_callers_names(client: APIClient, acme: Organization) -> None:
    maker = Maker(acme)
    for _ in range(3):
        maker.make(apps.get_model("webhooks", "Delivery"), attempts=3)
    page = client.get("/api/v1/deliveries?fields=attempts&limit=1").json()
    assert "fields=attempts" in page["next"]
    following = client.get(page["next"].removeprefix("http://testserver"))
    assert following.json()["data"][0]["attempts"] == 3


def test_the_errors_of_a_job(client: APIClient, job_error: Any) -> None:
    path = f"jobs/{job_error.job.number}/errors"
    [old] = client.get(f"/api/v1/{path}").json()["data"]
    [new] = client.get(f"/api/v2/{path}").json()["data"]
    assert old["message"] == new["detail"] == "It is not a date."
    assert list(old) == ["detail" if name == "message" else name for name in new] or len(old) == len(new)
    assert ("detail" in old, "message" in new) == (False, False)


def test_a_body_is_taken_in_the_names_of_its_version(client: APIClient, delivery: Any) -> None:
    path = f"webhooks/{delivery.endpoint.number}/rotate-secret"
    assert client.post(f"/api/v1/{path}", {"keep_for": 60}, format="json").status_code == 201
    assert client.post(f"/api/v2/{path}", {"overlap_seconds": 60}, format="json").status_code == 201
    for version, right, wrong in (
        ("v1", "keep_for", "overlap_seconds"),
        ("v2", "overlap_seconds", "keep_for"),
    ):
        unknown = client.post(f"/api/{version}/{path}", {wrong: 60}, format="json")
        assert unknown.status_code == 422
        [error] = unknown.json()["errors"]
        assert (error["pointer"], error["code"]) == (f"/{wrong}", "unknown_field")
        assert right in error["detail"]
        too_long = client.post(f"/api/{version}/{path}", {right: 10**9}, format="json")
        assert too_long.json()["errors"][0]["pointer"] == f"/{right}"
        assert too_long.json()["detail"].startswith(f"/{right}: ")


def test_a_dated_pin_holds_inside_its_version(acme: Organization, delivery: Any) -> None:
    for pin, path, expected in (
        ("v2@2026-11-15", "/api/v2", "attempts"),
        ("v2@2026-11-15", "/api", "attempts"),
        ("2026-11-22", "/api/v2", "attempt_count"),
        ("v2", "/api", "attempt_count"),
        ("v1@2026-11-01", "/api/v2", "attempt_count"),
        ("", "/api", "attempts"),
        ("2026-11-15", "/api", "attempts"),
    ):
        answer = client_of(acme, api_version=pin).get(f"{path}/deliveries")
        assert expected in answer.json()["data"][0], (pin, path)
    pinned = client_of(acme, api_version="v2@2026-11-15")
    answer = pinned.post(f"/api/v2/{BULK}?dry_run=true", ROWS, format="json")
    assert answer["API-Revision"] == "2026-11-15"
    assert "counts" in answer.json()


def test_a_single_call_may_choose_its_revision(client: APIClient, delivery: Any) -> None:
    old = client.get("/api/v2/deliveries", HTTP_API_REVISION="2026-11-15")
    assert old["API-Revision"] == "2026-11-15"
    assert "attempts" in old.json()["data"][0]
    wrong = client.get("/api/v2/deliveries", HTTP_API_REVISION="2026-01-01")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "unknown_revision")
    # v1 does not have the feature: the header is none of its business.
    assert client.get("/api/v1/deliveries", HTTP_API_REVISION="2026-01-01").status_code == 200


NO_PINS = ["v9", "v2@yesterday", "2026-13-01", "v2@", "@2026-11-15", "latest"]
# Days on which nothing came out, or came out in another version.
NO_REVISIONS = [
    "v2@2026-11-16",
    "v2@2027-01-01",
    "v1@2026-11-15",
    "v2@2026-11-01",
    "2026-11-20",
    "1999-01-01",
]


@pytest.mark.parametrize("pin", [*NO_PINS, *NO_REVISIONS])
@pytest.mark.parametrize("kind", ["api-keys", "oauth-applications"])
def test_a_pin_names_something_that_there_is(
    acme: Organization, client: APIClient, kind: str, pin: str
) -> None:
    body = {"name": "n", "scopes": ["records:read"], "api_version": pin}
    flows = {"flows": ["client_credentials"]} if kind == "oauth-applications" else {}
    answer = client.post(f"/api/v1/{kind}", {**body, **flows}, format="json")
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["pointer"] == "/api_version"
    assert ("Revisions: " in error["detail"]) == (pin in NO_REVISIONS)
    held = client.post(f"/api/v1/{kind}", {**body, **flows, "api_version": "v2@2026-11-15"}, format="json")
    assert held.status_code == 201
    changed = client.patch(f"/api/v1/{kind}/{held.json()['id']}", {"api_version": pin}, format="json")
    assert changed.status_code == 422
    assert client.get(f"/api/v1/{kind}/{held.json()['id']}").json()["api_version"] == "v2@2026-11-15"


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (r"api/^(?P<version>v[0-9]+)/^jobs/(?P<id>[^/]+)/errors\Z", "jobs/{id}/errors"),
        ("api/records/<str:dataset>/bulk", "records/{dataset}/bulk"),
        (r"api/^records/(?P<dataset>[^/]+)/(?P<id>key:.+?|[^/]+)$", "records/{dataset}/{id}"),
    ],
)
def test_routes_have_documented_addresses(route: str, expected: str) -> None:
    assert template_of(route) == expected


def test_health_answers_in_every_version(client: APIClient) -> None:
    for path in ("/api/health", "/api/v1/health", "/api/v2/health"):
        assert APIClient().get(path).status_code == 200
