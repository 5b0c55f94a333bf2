"""`/performance`: the endpoints by time, and advice that stands on numbers alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.apikeys.models import UsageBucket
from apps.apikeys.models.usage import Grain, Level
from apps.apikeys.services import usage
from apps.apikeys.usage import counting, performance, selectors, store
from apps.tenants.models import Organization
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.usage.test_counting import call
from tests.people import member, signed_in

PATH = "/api/v1/performance"
ADVICE = f"{PATH}/recommendations"


@pytest.fixture
def admin(acme: Organization, issue: Issue) -> Any:
    return client_of(issue(acme, name="admin").secret)


def called(organization: Organization, count: int, *, ago: timedelta = timedelta(), **values: Any) -> None:
    collected = counting.Collected()
    at = (timezone.now() - ago).timestamp()
    for _ in range(count):
        collected.note(call(organization, **{"at": at, **values}))
    store.write(collected)


def advised(admin: Any, query: str = "") -> dict[str, dict[str, Any]]:
    found = admin.get(f"{ADVICE}{query}").json()
    return {one["code"]: one for one in found["recommendations"]}


def test_statements_are_counted_where_they_are_made(acme: Organization, admin: Any) -> None:
    for _ in range(3):
        assert admin.get("/api/v1/api-keys").status_code == 200
    usage.flush()
    bucket = UsageBucket.objects.get(level=Level.ENDPOINT, grain=Grain.HOUR, route="/api-keys")
    with CaptureQueriesContext(connection) as warm:
        admin.get("/api/v1/api-keys")
    # The first call of the three also had to find out who calls.
    assert 3 * len(warm) <= bucket.statements <= 3 * len(warm) + 10
    assert 0 < bucket.database_us < bucket.time_us
    assert not connection.execute_wrappers


def test_the_overview(acme: Organization, globex: Organization, admin: Any) -> None:
    called(acme, 30, route="/quick", time_us=4_000, statements=2, database_us=1_000)
    called(acme, 10, route="/slow", time_us=900_000, statements=10, database_us=450_000)
    called(acme, 10, route="/slow", status=500, time_us=900_000)
    called(acme, 7, ago=timedelta(hours=30), route="/quick", time_us=4_000)
    called(globex, 99, route="/theirs", time_us=5_000_000)
    found = admin.get(PATH).json()
    totals = found["totals"]
    assert (totals["requests"], totals["error_rate"], totals["server_error_rate"]) == (50, 20.0, 20.0)
    assert 3 <= totals["p50_ms"] <= 5
    assert totals["p99_ms"] <= totals["longest_ms"] == 900.0
    assert totals["statements_per_call"] == 3.2
    assert totals["database_share"] == round(100 * 4.53 / 18.12, 2)
    assert found["previous"]["requests"] == 7
    assert sum(point["requests"] for point in found["series"]) == 50
    assert [one["endpoint"] for one in found["slowest"]] == ["GET /slow", "GET /quick"]


def test_the_endpoints(acme: Organization, globex: Organization, admin: Any) -> None:
    called(acme, 3, route="/a", time_us=100_000, statements=9)
    called(acme, 9, route="/b", method="POST", time_us=50_000)
    called(acme, 5, route="/c", time_us=1_000, status=404)
    called(globex, 50, route="/theirs")
    for ordering, names in {
        "-time": ["POST /b", "GET /a", "GET /c"],
        "-p95": ["GET /a", "POST /b", "GET /c"],
        "-requests": ["POST /b", "GET /c", "GET /a"],
        "-errors": ["GET /c", "GET /a", "POST /b"],
        "-statements": ["GET /a", "GET /c", "POST /b"],
        "endpoint": ["GET /a", "POST /b", "GET /c"],
    }.items():
        found = admin.get(f"{PATH}/endpoints?ordering={ordering}").json()
        assert [one["endpoint"] for one in found["endpoints"]] == names, ordering
    found = admin.get(f"{PATH}/endpoints?limit=1").json()
    assert (found["count"], len(found["endpoints"])) == (3, 1)
    assert found["endpoints"][0]["total_ms"] == 450.0
    for query in ("limit=0", "limit=201", "ordering=p95", "from=x", "nonsense=1"):
        assert admin.get(f"{PATH}/endpoints?{query}").status_code in (400, 422), query


def test_nothing_is_advised_without_reason(acme: Organization, admin: Any) -> None:
    called(acme, 500, time_us=20_000, statements=4, database_us=5_000)
    called(acme, performance.ENOUGH - 1, route="/few", status=500, time_us=9_000_000, statements=500)
    assert advised(admin) == {}
    called(acme, 1, route="/few", status=500, time_us=9_000_000, statements=500)
    assert {"server-errors", "slow", "many-statements"} <= set(advised(admin))


def test_an_endpoint_that_fails_comes_first_with_examples(acme: Organization, admin: Any) -> None:
    called(acme, 296, route="/x", bytes_out=performance.LARGE_BYTES)
    for n in range(4):
        called(acme, 1, route="/x", status=502, request_id=f"req_{n}")
    called(acme, 200, route="/y")
    found = admin.get(ADVICE).json()["recommendations"]
    first = found[0]
    assert first["code"] == "server-errors"
    assert first["endpoint"] == "GET /x"
    assert first["sample"] == 300
    assert first["measure"] == {
        "name": "server_error_rate", "value": 1.33, "bound": 1.0, "unit": "percent",
    }  # fmt: skip
    assert first["examples"] == ["req_3", "req_2", "req_1"]
    assert first["share"] == 100.0
    assert "4 of 300" in first["detail"]


def test_a_slow_endpoint_is_told_where_its_time_goes(acme: Organization, admin: Any) -> None:
    called(acme, 150, route="/db", time_us=2_000_000, database_us=1_800_000)
    called(acme, 150, route="/own", time_us=2_000_000, database_us=100_000)
    found = [one for one in admin.get(ADVICE).json()["recommendations"] if one["code"] == "slow"]
    actions = {one["endpoint"]: one["action"] for one in found}
    assert "90 % of its time went to the database" in actions["GET /db"]
    assert "Only 5 %" in actions["GET /own"]
    assert {one["share"] for one in found} == {50.0}


def test_slower_than_a_week_before(acme: Organization, admin: Any) -> None:
    week = timedelta(days=7)
    called(acme, 200, ago=week, route="/x", time_us=100_000)
    called(acme, 200, route="/x", time_us=120_000)
    called(acme, 200, ago=week, route="/y", time_us=100_000)
    called(acme, 500, route="/y", time_us=380_000)
    called(acme, 99, ago=week, route="/z", time_us=10_000)
    called(acme, 200, route="/z", time_us=380_000)
    found = [
        one for one in admin.get(ADVICE).json()["recommendations"] if one["code"] == "slower-than-before"
    ]
    assert [one["endpoint"] for one in found] == ["GET /y"]
    assert "2.5 times as often" in found[0]["action"]
    assert "a week before" in found[0]["detail"]
    assert 145 <= found[0]["measure"]["bound"] <= 150 < found[0]["measure"]["value"]
    assert "slower-than-before" not in advised(admin, "?range=1h")


def test_what_else_is_advised_about_endpoints(acme: Organization, admin: Any) -> None:
    called(acme, 200, route="/x", statements=80, bytes_out=2_000_000, time_us=900_000)
    found = advised(admin)
    assert set(found) == {"many-statements", "large-answers", "hot-endpoint"}
    assert found["many-statements"]["measure"]["value"] == 80.0
    assert found["large-answers"]["measure"]["value"] == 2_000_000
    assert found["hot-endpoint"]["share"] == 100.0


def test_callers_are_named(acme: Organization, globex: Organization, issue: Issue, admin: Any) -> None:
    shop, till = issue(acme, name="shop").key, issue(acme, name="till").key
    theirs = issue(globex, name="theirs").key
    called(acme, 90, subject_id=shop.group.hex)
    called(acme, 10, subject_id=shop.group.hex, status=429)
    called(acme, 80, subject_id=till.group.hex)
    called(acme, 20, subject_id=till.group.hex, status=422)
    called(globex, 200, subject_id=theirs.group.hex, status=429)
    found = advised(admin)
    assert set(found) == {"limited", "rejected-calls"}
    assert found["limited"]["caller"] == f"shop ({shop.number})"
    assert found["limited"]["measure"]["value"] == 10.0
    assert found["limited"]["share"] == 100.0
    assert found["rejected-calls"]["caller"] == f"till ({till.number})"
    assert "20 of 100" in found["rejected-calls"]["detail"]


def test_who_may_ask(acme: Organization, issue: Issue) -> None:
    stranger = client_of(issue(acme, scopes=["records:read"]).secret)
    for path in (PATH, f"{PATH}/endpoints", ADVICE):
        assert Client().get(path).status_code == 401
        assert stranger.get(path).status_code == 403
        assert stranger.post(path, {}, format="json").status_code == 405


def test_it_costs_the_same_however_many_endpoints(acme: Organization) -> None:
    span = selectors.span_of("24h")
    counts = []
    for number in (1, 30):
        for n in range(number):
            called(acme, 100, route=f"/r{n}", status=500)
        with CaptureQueriesContext(connection) as asked:
            assert performance.advise(acme, span).recommendations
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 7


def test_the_dashboard_shows_what_is_advised(acme: Organization, globex: Organization, issue: Issue) -> None:
    owner = signed_in(member(acme, "owner"))
    called(acme, 200, route="/x")
    page = owner.get("/admin/api-usage/").content.decode()
    assert "Nothing is advised" in page
    called(acme, 200, route="/<b>", status=500, request_id="req_example")
    called(globex, 200, route="/theirs", status=500)
    page = owner.get("/admin/api-usage/").content.decode()
    assert "GET /&lt;b&gt; fails" in page
    assert "200 of 200 calls were answered 5xx" in page
    assert "req_example" in page
    assert "/theirs" not in page
    # Of one caller or endpoint nothing is advised: the bounds are those of the whole API.
    assert "Advice" not in owner.get("/admin/api-usage/?endpoint=GET /x").content.decode()
