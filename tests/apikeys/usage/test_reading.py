"""Reading usage over the API: right, scoped, and at the same cost however much there is."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.apikeys.services import keys, usage
from apps.apikeys.services.keys import IssuedKey
from apps.apikeys.usage import counting, store
from apps.audit.services import entries
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.usage.test_counting import call

ANALYTICS = "/api/v1/security/analytics"


@pytest.fixture
def admin(acme: Organization, issue: Issue) -> Any:
    return client_of(issue(acme, name="admin").secret)


def past(organization: Organization, key: IssuedKey, **values: Any) -> None:
    collected = counting.Collected()
    now = timezone.now()
    for hours in range(0, 48, 2):
        for n in range(3):
            collected.note(
                call(
                    organization,
                    at=(now - timedelta(hours=hours)).timestamp(),
                    subject_id=key.key.group.hex,
                    label=key.key.name,
                    status=(200, 200, 429)[n],
                    route=("/x", "/y", "/y")[n],
                    ip=f"192.0.2.{hours}",
                    **values,
                )
            )
    store.write(collected)


def test_analytics_of_everything(acme: Organization, issue: Issue, admin: Any) -> None:
    past(acme, issue(acme, name="shop"))
    found = admin.get(f"{ANALYTICS}?range=24h&group_by=key").json()
    totals = found["totals"]
    assert (totals["requests"], totals["failed"], totals["rate_limited"]) == (36, 12, 12)
    assert totals["by_status"] == {"2xx": 24, "4xx": 12}
    assert totals["success_rate"] == pytest.approx(66.67)
    assert 1 < totals["p50_ms"] <= 1.5
    assert found["distinct_ips"] in (12, 13)  # whole hours
    assert found["span"]["bucket_seconds"] == 3600
    assert 24 <= len(found["series"]) <= 25
    assert sum(point["requests"] for point in found["series"]) == 36
    [group] = found["groups"]
    assert group["name"].startswith("shop (KEY-")
    assert (group["requests"], group["failed"]) == (36, 12)


@pytest.mark.parametrize(
    ("by", "names"),
    [
        ("endpoint", ["GET /y", "GET /x"]),
        ("status", ["2xx", "4xx"]),
        ("version", ["v1"]),
        ("method", ["GET"]),
    ],
)
def test_rankings(acme: Organization, issue: Issue, admin: Any, by: str, names: list[str]) -> None:
    past(acme, issue(acme))
    assert [g["name"] for g in admin.get(f"{ANALYTICS}?group_by={by}").json()["groups"]] == names


def test_narrowed_to_a_key_and_an_endpoint(acme: Organization, issue: Issue, admin: Any) -> None:
    shop, other = issue(acme, name="shop"), issue(acme, name="other")
    past(acme, shop)
    past(acme, other)
    query = f"key={shop.key.number}&endpoint=GET /x"
    assert admin.get(f"{ANALYTICS}?range=24h").json()["totals"]["requests"] == 72
    assert admin.get(f"{ANALYTICS}?range=24h&key={shop.key.number}").json()["totals"]["requests"] == 36
    found = admin.get(f"{ANALYTICS}?range=24h&{query}&group_by=version").json()
    assert found["totals"]["requests"] == 12
    assert found["distinct_ips"] is None
    assert [g["requests"] for g in found["groups"]] == [12]
    ranked = admin.get(f"{ANALYTICS}?endpoint=GET /y&group_by=key").json()["groups"]
    assert {g["name"].partition(" ")[0] for g in ranked} == {"shop", "other"}


@pytest.mark.parametrize(
    "query",
    [
        "range=1y",
        "bucket=5m&range=90d",
        "bucket=hour&range=90d",
        "from=2020-01-01T00:00:00Z",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "limit=0",
        "limit=999",
        "endpoint=nonsense",
        "key=KEY-2020-99999",
        "application=nothing",
        "group_by=ip",
        "nonsense=1",
    ],
)
def test_what_makes_no_sense_is_said(admin: Any, query: str) -> None:
    response = admin.get(f"{ANALYTICS}?{query}")
    assert response.status_code in (400, 404)
    assert response.json()["code"]


def test_what_is_anothers_does_not_exist(
    acme: Organization, globex: Organization, issue: Issue, admin: Any
) -> None:
    theirs = issue(globex, name="theirs")
    past(globex, theirs)
    assert admin.get(f"{ANALYTICS}?key={theirs.key.public_id}").status_code == 404
    assert admin.get(f"/api/v1/api-keys/{theirs.key.public_id}/usage").status_code == 404
    usage.forget_all()
    assert admin.get(ANALYTICS).json()["totals"]["requests"] == 0
    assert "theirs" not in admin.get(f"{ANALYTICS}/file").getvalue().decode()
    narrow = client_of(issue(acme, scopes=["records:read"]).secret)
    for path in (ANALYTICS, f"{ANALYTICS}/file", "/api/v1/security", "/api/v1/security/audit-log"):
        assert narrow.get(path).status_code == 403


def test_the_usage_of_a_key(acme: Organization, issue: Issue, admin: Any) -> None:
    shop = issue(acme, name="shop")
    past(acme, shop, user_agent="Shop/1", request_id="req_1")
    newer = keys.rotate(key=shop.key, actor=SYSTEM)
    for key in (shop.key, newer.key):
        found = admin.get(f"/api/v1/api-keys/{key.number}/usage?range=7d").json()
        statistics = found["statistics"]
        assert (statistics["total_requests"], statistics["failed_requests"]) == (72, 24)
        assert statistics["rate_limited"] == 24
        assert (statistics["unique_ips"], statistics["endpoints_accessed"]) == (24, 2)
        assert statistics["first_used_at"] < statistics["last_used_at"]
        assert statistics["requests_per_day"] > 0
        assert len(found["recent_requests"]) == 20
        assert found["recent_requests"][0]["user_agent"] == "Shop/1"
        assert found["totals"]["requests"] == 72


def test_a_key_that_was_never_used(acme: Organization, issue: Issue, admin: Any) -> None:
    found = admin.get(f"/api/v1/api-keys/{issue(acme).key.number}/usage").json()
    assert found["statistics"]["total_requests"] == 0
    assert found["statistics"]["first_used_at"] is None
    assert found["totals"]["p95_ms"] is None
    assert found["groups"] == []


def test_the_overview(acme: Organization, issue: Issue, admin: Any) -> None:
    shop = issue(acme, ip_whitelist=["192.0.2.0/24"])
    assert client_of(shop.secret).get("/api/v1/api-keys").status_code == 403
    keys.suspend(key=issue(acme).key, actor=SYSTEM)
    usage.flush()
    found = admin.get("/api/v1/security").json()
    assert found["api_keys"]["active"] == 2
    assert found["api_keys"]["suspended"] == 1
    assert found["api_keys"]["unrestricted"] == 1
    assert found["last_24_hours"]["unauthorized"] == 1
    assert [row["status"] for row in found["refused"]] == [403]
    assert found["audit"]["entries"] >= 4
    assert found["audit"]["intact"] is None


def test_the_csv_file(acme: Organization, issue: Issue, admin: Any) -> None:
    past(acme, issue(acme, name="=cmd|' /C calc'!A0"))
    response = admin.get(f"{ANALYTICS}/file?range=24h")
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in response["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.getvalue().decode())))
    assert sum(int(row["requests"]) for row in rows) == 36
    assert {row["endpoint"] for row in rows} == {"/x", "/y"}
    assert all(row["caller"].startswith("'=cmd") for row in rows)


def test_ten_times_the_buckets_cost_the_same_statements(acme: Organization, issue: Issue, admin: Any) -> None:
    paths = [
        f"{ANALYTICS}?range=7d&group_by={by}" for by in ("key", "endpoint", "version", "status", "method")
    ] + ["/api/v1/security", f"/api/v1/api-keys/{issue(acme).key.number}/usage"]
    counts = []
    for most in (1, 30):
        for n in range(most):
            past(acme, issue(acme, name=f"k{n}"), method="POST" if n % 2 else "GET")
        admin.get(ANALYTICS)
        found = []
        for path in paths:
            runs = []
            for _ in range(2):  # what a process remembers for seconds may have run out in one of them
                with CaptureQueriesContext(connection) as queries:
                    assert admin.get(path).status_code == 200
                runs.append(len(queries))
            found.append(min(runs))
        counts.append(found)
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 14


def test_the_audit_log(acme: Organization, globex: Organization, issue: Issue, admin: Any) -> None:
    ada = Actor("user", "ada@example.com", "Ada", ip="192.0.2.7")
    for n in range(5):
        entries.record(
            organization=acme, actor=ada, action="thing.changed", object_ref=f"T-{n}",
            changes={"name": ["=old", "new"], "api_token": ["abc-secret", "def-secret"]},
        )  # fmt: skip
    entries.record(organization=globex, actor=ada, action="their.deed")
    path = "/api/v1/security/audit-log"
    page = admin.get(f"{path}?actor=ada@example.com&limit=2").json()
    assert [row["object"] for row in page["data"]] == ["T-4", "T-3"]
    assert page["data"][0]["ip"] == "192.0.2.7"
    assert page["data"][0]["changes"]["name"] == ["=old", "new"]
    assert "secret" not in str(page["data"][0]["changes"]["api_token"])
    following = admin.get(page["next"]).json()
    assert [row["object"] for row in following["data"]] == ["T-2", "T-1"]
    for query, count in (
        ("action=thing.changed", 5),
        ("object=T-3", 1),
        ("search=thing.", 5),
        ("search=their", 0),
        ("from=2000-01-01T00:00:00Z&to=2001-01-01T00:00:00Z", 0),
        ("actor_kind=user", 5),
        ("ordering=at&actor_kind=user", 5),
    ):
        assert len(admin.get(f"{path}?{query}").json()["data"]) == count, query
    one = page["data"][0]["id"]
    assert admin.get(f"{path}/{one}").json()["id"] == one

    text = admin.get(f"{path}/file?actor_kind=user").getvalue().decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["object"] for row in rows] == ["T-4", "T-3", "T-2", "T-1", "T-0"]
    lines = admin.get(f"{path}/file?format=ndjson").getvalue().decode().splitlines()
    assert len(lines) > 5
    assert "their.deed" not in "".join(lines)
    assert len(admin.get(f"{path}?action=audit.exported").json()["data"]) == 2


def test_the_audit_logs_verification(acme: Organization, admin: Any, settings: Any, tmp_path: Any) -> None:
    settings.HUB_HOME = tmp_path
    path = "/api/v1/security/audit-log/verification"
    assert admin.get(path).json()["intact"] is None
    assert admin.post(path).json()["intact"] is True
    with connection.cursor() as cursor:
        cursor.execute("UPDATE audit_auditentry SET action = 'x' WHERE sequence = 1")
    entries.record(organization=acme, actor=SYSTEM, action="thing.done")
    found = admin.post(path).json()
    assert found["intact"] is False
    assert {problem["code"] for problem in found["problems"]} <= {"changed", "anchor"}
    assert admin.get("/api/v1/security").json()["audit"]["intact"] is False
