"""Integrations over the API."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.connectors.models import Integration, SyncJob
from apps.connectors.services import running
from apps.tenants.models import Project
from apps.tenants.services import organizations
from tests.connectors.shop import TOKEN, customer, stream

BASE = "/api/v1/integrations"


@pytest.fixture
def body(peer):
    return {
        "connector": "rest",
        "name": "Shop",
        "auth_mode": "bearer",
        "credentials": {"token": TOKEN},
        "webhook_secret": "whsec-5e55ion",
        "config": {"base_url": peer.url, "test_path": "/me", "streams": [stream()]},
        "sync_settings": {"auto_sync": True, "interval_minutes": 15},
        "rate_limits": {"requests_per_minute": 100},
    }


def test_the_whole_life_of_an_integration(client, body, peer):
    created = client.post(BASE, body, format="json")

    assert created.status_code == 201, created.json()
    found = created.json()
    url = f"{BASE}/{found['id']}"
    assert created["Location"] == url
    assert (found["status"], found["credentials_set"]) == ("pending_setup", ["token"])
    assert found["has_webhook_secret"] is True
    assert found["sync_settings"]["schedule"] == "Every 15 minutes"
    assert found["rate_limits"]["requests_per_minute"] == 100
    assert found["streams"][0]["dataset"] == "clients"

    test = client.post(f"{url}/test", {}, format="json")
    assert (test.status_code, test.json()["ok"], test.json()["status_code"]) == (200, True, 200)

    connected = client.post(f"{url}/connect", {}, format="json")
    assert (connected.status_code, connected.json()["status"]) == (200, "active")

    started = client.post(f"{url}/sync", {"streams": ["customers"], "mode": "full"}, format="json")
    assert (started.status_code, started.json()["status"]) == (202, "pending")
    again = client.post(f"{url}/sync", {}, format="json")
    assert (again.status_code, again.json()["code"]) == (409, "sync_running")
    assert started.json()["id"] in again.json()["detail"]

    running.run(job_id=SyncJob.objects.get().pk)
    job = client.get(started["Location"]).json()
    assert (job["status"], job["records_created"], job["percent"]) == ("completed", 25, 100)
    assert job["streams"][0]["cursor_after"] == "2026-01-01T10:25:00Z"

    statistics = client.get(f"{url}/statistics").json()
    assert (statistics["total_requests"], statistics["failed_requests"], statistics["records_synced"]) == (
        5,
        0,
        25,
    )
    assert statistics["syncs"] == {"total": 1, "completed": 1, "partial": 0, "failed": 0, "cancelled": 0}
    health = client.get(f"{url}/health").json()
    assert (health["status"], health["health_score"], health["uptime"]) == ("healthy", 100, 100.0)
    assert health["rate_limits"] == [{"period": "minute", "limit": 100, "used": 5}]
    logs = client.get(f"{url}/logs").json()["data"]
    assert [log["action"] for log in logs] == ["read customers"] * 3 + ["test"] * 2
    history = client.get(f"{url}/history").json()["data"]
    assert [event["action"] for event in history] == ["connected", "tested", "tested", "created"]
    assert client.get(f"{BASE}/statistics").json()["data"][0]["active"] == 1

    paused = client.post(f"{url}/pause", {}, format="json")
    assert paused.json()["status"] == "inactive"
    assert client.post(f"{url}/disconnect", {}, format="json").json()["status"] == "disconnected"
    assert client.delete(url).status_code == 204
    assert client.get(url).status_code == 404
    assert client.get(BASE).json()["data"] == []


def test_credentials_are_never_answered(client, body):
    answers = [client.post(BASE, body, format="json")]
    url = answers[0]["Location"]
    answers += [
        client.patch(url, {"credentials": {"token": "n3w-t0ken-value"}}, format="json"),
        client.post(f"{url}/connect", {}, format="json"),
        client.get(url),
        client.get(BASE),
        client.get(f"{url}/logs"),
        client.get("/api/v1/integration-logs"),
        client.get(f"{url}/history"),
        client.get(f"{url}/health"),
    ]
    answers += [
        client.get(f"/api/v1/integration-logs/{log['id']}")
        for log in client.get(f"{url}/logs").json()["data"]
    ]

    for answer in answers:
        for secret in (TOKEN, "n3w-t0ken-value", "whsec-5e55ion"):
            assert secret not in answer.content.decode()
    assert Integration.objects.get().credentials == {"token": "n3w-t0ken-value"}


def test_a_failed_test_refuses_to_connect_with_the_reason(client, body, peer):
    url = client.post(BASE, {**body, "credentials": {"token": "wrong-token"}}, format="json")["Location"]

    answer = client.post(f"{url}/connect", {}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (409, "connection_test_failed")
    assert "The provider refused the credentials (HTTP 401)" in answer.json()["detail"]
    assert Integration.objects.get().status == "pending_setup"


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"connector": "magic"}, ["/connector"]),
        ({"name": ""}, ["/name"]),
        ({"colour": "red"}, ["/colour"]),
        ({"sync_settings": {"auto_sync": True, "enabled": False, "interval_minutes": 5}},
         ["/sync_settings/auto_sync"]),
        ({"sync_settings": {"crontab": "x"}}, ["/sync_settings/crontab"]),
        ({"config": {"base_url": "ftp://x"}}, ["/config/base_url"]),
        ({"credentials": {"password": "x"}}, ["/credentials/password"]),
        ({"streams": [{"name": "ghosts"}]}, ["/streams/0/name"]),
        ({"project": "prj_nope"}, ["/project"]),
    ],
)  # fmt: skip
def test_wrong_input_is_pointed_at(client, body, change, pointers):
    answer = client.post(BASE, {**body, **change}, format="json")

    assert answer.status_code == 422, answer.json()
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
    assert Integration.objects.count() == 0


def test_put_replaces_and_patch_changes(client, body):
    url = client.post(BASE, {**body, "description": "Ours"}, format="json")["Location"]

    patched = client.patch(url, {"rate_limits": {"requests_per_day": 5000}}, format="json").json()
    assert (patched["description"], patched["rate_limits"]["requests_per_minute"]) == ("Ours", 100)
    put = client.put(url, {"name": "Store", "config": body["config"]}, format="json").json()

    assert (put["name"], put["description"], put["code"], put["auth_mode"]) == ("Store", "", "shop", "bearer")
    assert put["sync_settings"]["auto_sync"] is False
    assert put["rate_limits"] == {
        "requests_per_minute": None,
        "requests_per_hour": None,
        "requests_per_day": None,
    }
    assert put["credentials_set"] == ["token"]


def test_an_edit_of_an_old_state_is_refused(client, body):
    url = client.post(BASE, body, format="json")["Location"]
    etag = client.get(url)["ETag"]
    client.patch(url, {"description": "by Ann"}, format="json")

    answer = client.patch(url, {"description": "by Bob"}, format="json", HTTP_IF_MATCH=etag)

    assert answer.status_code == 412
    assert Integration.objects.get().description == "by Ann"


def test_lists_are_filtered(client, body, organization):
    client.post(BASE, body, format="json")
    client.post(
        BASE,
        {"connector": "hubspot", "name": "CRM", "credentials": {"token": "pat-123456"}},
        format="json",
    )

    def names(query):
        return [row["name"] for row in client.get(f"{BASE}?{query}").json()["data"]]

    assert names("") == ["CRM", "Shop"]
    assert names("type=crm") == ["CRM"]
    assert names("provider=hubspot") == ["CRM"]
    assert names("category=other") == ["Shop"]
    assert names("status=active") == []
    assert names("search=sho") == ["Shop"]
    assert names("ordering=-name") == ["Shop", "CRM"]
    assert client.get(f"{BASE}?shape=round").status_code == 400


def test_a_stranger_finds_nothing(client, client_of, body, organization):
    url = client.post(BASE, body, format="json")["Location"]
    client.post(f"{url}/connect", {}, format="json")
    job = client.post(f"{url}/sync", {}, format="json")["Location"]
    log = client.get(f"{url}/logs").json()["data"][0]["id"]
    stranger = client_of(organizations.create(name="Southwind"))

    for path in (
        url,
        f"{url}/logs",
        f"{url}/history",
        f"{url}/health",
        f"{url}/statistics",
        job,
        f"{job}/errors",
    ):
        assert stranger.get(path).status_code == 404, path
    assert stranger.get(f"/api/v1/integration-logs/{log}").status_code == 404
    for path in (
        f"{url}/test",
        f"{url}/connect",
        f"{url}/disconnect",
        f"{url}/sync",
        f"{job}/cancel",
        f"{job}/retry",
    ):
        assert stranger.post(path, {}, format="json").status_code == 404, path
    assert stranger.patch(url, {"name": "Mine"}, format="json").status_code == 404
    assert stranger.delete(url).status_code == 404
    for path in (BASE, "/api/v1/sync-jobs", "/api/v1/integration-logs"):
        assert stranger.get(path).json()["data"] == []
    assert stranger.get(f"/api/v1/integration-logs?integration={url[-14:]}").json()["data"] == []
    assert stranger.get(f"{BASE}/statistics").json()["data"] == []
    project = Project.objects.create(organization=organization, name="P", slug="p")
    answer = stranger.post(BASE, {**body, "project": project.public_id}, format="json")
    assert answer.status_code == 422
    assert Integration.objects.get().name == "Shop"


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (("integrations:read",), {"list"}),
        (("integrations:read", "integrations:write"), {"list", "create"}),
        (("syncs:read",), {"jobs"}),
        ((), set()),
    ],
)
def test_scopes_are_needed(client_of, organization, body, scopes, allowed):
    client = client_of(organization, scopes)

    statuses = {
        "list": client.get(BASE).status_code,
        "create": client.post(BASE, body, format="json").status_code,
        "jobs": client.get("/api/v1/sync-jobs").status_code,
    }

    assert {name for name, status in statuses.items() if status in (200, 201)} == allowed
    assert set(statuses.values()) <= {200, 201, 403}
    assert Integration.objects.count() == ("create" in allowed)


def test_the_same_call_twice_makes_one_integration(client, body):
    first = client.post(BASE, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1")
    second = client.post(BASE, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["id"] == second.json()["id"]
    assert Integration.objects.count() == 1


def test_lists_cost_the_same_for_one_and_for_many(client, body):
    def queries(path):
        with CaptureQueriesContext(connection) as found:
            assert client.get(path).status_code == 200
        return len(found)

    client.post(BASE, body, format="json")
    client.get(BASE)
    one = queries(BASE)
    for n in range(6):
        client.post(BASE, {**body, "name": f"Shop {n}"}, format="json")
    assert queries(BASE) == one


def test_the_catalog(client):
    found = client.get("/api/v1/connectors").json()["data"]
    assert {item["id"] for item in found} >= {"rest", "hubspot"}
    assert client.get("/api/v1/connectors?search=contacts").json()["data"][0]["id"] == "hubspot"
    rest = client.get("/api/v1/connectors/rest").json()
    assert rest["config_schema"]["required"] == ["base_url"]
    assert [mode["mode"] for mode in rest["auth"]] == ["api_key", "bearer", "basic", "none"]
    assert rest["features"]["custom_streams"] is True
    assert client.get("/api/v1/connectors/magic").status_code == 404


def test_sync_jobs_can_be_cancelled_and_retried(client, body, peer):
    peer.collections["customers"][2] = customer(3, email="nowhere")
    url = client.post(BASE, body, format="json")["Location"]
    client.post(f"{url}/connect", {}, format="json")
    job = client.post(f"{url}/sync", {}, format="json")["Location"]

    cancelled = client.post(f"{job}/cancel", {}, format="json")
    assert cancelled.json()["status"] == "cancelled"
    assert client.post(f"{job}/cancel", {}, format="json").status_code == 409

    retried = client.post(f"{job}/retry", {}, format="json")
    assert (retried.status_code, retried.json()["retry_of"]) == (202, cancelled.json()["id"])
    running.run(job_id=SyncJob.objects.get(number=retried.json()["id"]).pk)
    assert client.get(retried["Location"]).json()["status"] == "partial"

    errors = client.get(f"{retried['Location']}/errors").json()["data"]
    assert [(error["remote_id"], error["field"], error["status"]) for error in errors] == [
        ("3", "email", "open")
    ]
    rows = client.post(f"{retried['Location']}/retry", {}, format="json")
    assert (rows.status_code, rows.json()["id"]) == (202, retried.json()["id"])
    assert len(client.get("/api/v1/sync-jobs?status=partial").json()["data"]) == 1
