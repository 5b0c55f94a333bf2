"""Limits at the API's door: who is counted, what a refusal says, and what counts nothing."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import django_ratelimit.core
import pytest
from rest_framework.test import APIClient

from apps.apikeys import limiter, limits, quotas
from apps.apikeys.limiter.core import CLOSED, LOCAL, OPEN, Limiter
from apps.apikeys.limiter.remote import RedisStore
from apps.apikeys.models import Application, RateLimit
from apps.apikeys.principals import Subject
from apps.apikeys.services import keys
from apps.apikeys.services import limits as rate_limits
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of

KEYS = "/api/v1/api-keys"
DATASETS = "/api/v1/datasets"


@pytest.fixture(autouse=True)
def _no_shares() -> Iterator[None]:
    limits.shares.forget_all()
    yield
    limits.shares.forget_all()


def limit(organization: Organization, **values: Any) -> RateLimit:
    rule = RateLimit.objects.create(organization=organization, **values)
    limiter.bump()
    return rule


def for_key(organization: Organization, issued: Any, **values: Any) -> RateLimit:
    return limit(organization, subject_kind="key", subject_id=issued.key.group.hex, **values)


def statuses(client: APIClient, count: int, path: str = DATASETS, **headers: str) -> list[int]:
    return [client.get(path, **headers).status_code for _ in range(count)]


def test_a_key_gets_its_limit_and_then_a_problem(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=3)
    client = client_of(issued.secret)
    first = client.get(DATASETS)
    assert first.status_code == 200
    assert first["RateLimit-Policy"] == '"minute";q=3;w=60, "hour";q=1000000;w=3600'
    assert first["RateLimit"].startswith('"minute";r=2;t=60, "hour";r=999999;t=')
    assert statuses(client, 2) == [200, 200]
    refused = client.get(DATASETS)
    assert refused.status_code == 429
    assert refused["Content-Type"] == "application/problem+json"
    body = refused.json()
    assert body["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert body["violated-policies"] == ["minute"]
    assert body["code"] == "rate_limited"
    assert "3 calls a minute" in body["detail"]
    wait = int(refused["Retry-After"])
    assert 1 <= wait <= 60
    told = dict(part.split("=") for part in refused["RateLimit"].split(",")[0].split(";")[1:])
    assert told["r"] == "0"
    assert wait >= int(told["t"])
    assert refused["Cache-Control"] == "no-store"
    assert "X-RateLimit-Limit" not in refused


def test_the_older_headers_come_when_the_setting_asks(
    acme: Organization, issue: Issue, settings: Any
) -> None:
    settings.LIMITS_LEGACY_HEADERS = True
    issued = issue(acme)
    for_key(acme, issued, per_minute=3)
    answer = client_of(issued.secret).get(DATASETS)
    assert (answer["X-RateLimit-Limit"], answer["X-RateLimit-Remaining"]) == ("3", "2")
    assert time.time() < int(answer["X-RateLimit-Reset"]) <= time.time() + 61


def test_a_key_and_its_successor_share_one_quota(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=4)
    successor = keys.rotate(key=issued.key, actor=SYSTEM)
    assert statuses(client_of(issued.secret), 2) == [200, 200]
    assert statuses(client_of(successor.secret), 3) == [200, 200, 429]
    assert statuses(client_of(issued.secret), 1) == [429]


def test_keys_have_quotas_of_their_own(acme: Organization, issue: Issue) -> None:
    limit(acme, per_minute=2)
    one, other = client_of(issue(acme).secret), client_of(issue(acme).secret)
    assert statuses(one, 3) == [200, 200, 429]
    assert statuses(other, 3) == [200, 200, 429]


def test_refusals_for_other_reasons_use_no_quota(acme: Organization, issue: Issue) -> None:
    weak = issue(acme, scopes=["datasets:read"], permissions=None, ip_blacklist=["192.0.2.0/24"])
    for_key(acme, weak, per_minute=2)
    client = client_of(weak.secret)
    assert statuses(client, 5, KEYS) == [403] * 5
    assert statuses(client, 5, REMOTE_ADDR="192.0.2.7") == [403] * 5
    misspelt = weak.secret[:-1] + ("y" if weak.secret.endswith("x") else "x")
    assert statuses(client_of(misspelt), 5) == [401] * 5
    assert client.get("/api/v9/datasets").status_code == 404
    assert statuses(client, 3) == [200, 200, 429]


def test_a_forwarded_address_changes_nothing(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=5)
    client = client_of(issued.secret)
    found = [
        client.get(DATASETS, HTTP_X_FORWARDED_FOR=f"203.0.113.{n}", REMOTE_ADDR=f"198.51.100.{n}").status_code
        for n in range(12)
    ]
    assert found == [200] * 5 + [429] * 7


def test_most_specific_wins_for_each_window(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    limit(acme, per_minute=100, per_day=5000)
    for_key(acme, issued, per_minute=7, burst=5)
    answer = client_of(issued.secret).get(DATASETS)
    assert answer["RateLimit-Policy"] == (
        '"minute";q=7;w=60, "hour";q=1000000;w=3600, "day";q=5000;w=86400, "burst";q=5;w=43'
    )
    other = client_of(issue(acme).secret).get(DATASETS)
    assert other["RateLimit-Policy"] == '"minute";q=100;w=60, "hour";q=1000000;w=3600, "day";q=5000;w=86400'


def test_limits_of_endpoints_hold_besides_the_keys_own(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=6)
    limit(acme, endpoint="GET /datasets*", per_minute=2)
    client = client_of(issued.secret)
    first = client.get(DATASETS)
    assert '"minute GET /datasets*";q=2;w=60' in first["RateLimit-Policy"]
    assert statuses(client, 3) == [200, 429, 429]
    refused = client.get("/api/datasets")
    assert refused.json()["violated-policies"] == ["minute GET /datasets*"]
    # The refused ones cost the key nothing: four of its six are left, for other endpoints.
    assert statuses(client, 5, KEYS) == [200] * 4 + [429]
    # HEAD is a GET.
    assert client.head(DATASETS).status_code == 429


def test_an_endpoint_rule_of_a_key_goes_before_everybodys(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    limit(acme, endpoint="/datasets*", per_minute=1)
    for_key(acme, issued, endpoint="GET /datasets", per_minute=3)
    assert statuses(client_of(issued.secret), 4) == [200] * 3 + [429]
    assert statuses(client_of(issue(acme).secret), 2) == [200, 429]


def test_a_rule_that_is_off_lifts_what_is_less_specific(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    limit(acme, per_minute=1)
    for_key(acme, issued, enabled=False)
    client = client_of(issued.secret)
    assert statuses(client, 4) == [200] * 4
    assert "RateLimit" not in client.get(DATASETS)


def test_rules_of_another_organization_mean_nothing(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    issued = issue(acme)
    limit(globex, per_minute=1)
    limit(globex, subject_kind="key", subject_id=issued.key.group.hex, per_minute=1)
    assert statuses(client_of(issued.secret), 3) == [200] * 3


def test_all_or_nothing(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=2, per_hour=50, per_day=60, burst=40)
    client = client_of(issued.secret)
    assert statuses(client, 10) == [200] * 2 + [429] * 8
    refused = client.get(DATASETS)
    assert '"hour";r=48' in refused["RateLimit"]
    assert '"day";r=58' in refused["RateLimit"]


def test_warm_calls_need_no_sql_for_their_limits(
    acme: Organization, issue: Issue, django_assert_num_queries: Any
) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=100, per_hour=1000, per_day=10_000, burst=50)
    limit(acme, endpoint="GET /api-keys*", per_minute=60)
    client = client_of(issued.secret)
    client.get(f"{KEYS}?limit=1")
    with django_assert_num_queries(1):
        assert client.get(f"{KEYS}?limit=1").status_code == 200


def test_another_process_changes_a_limit_and_a_key(acme: Organization, issue: Issue) -> None:
    """What this process remembers is asked anew at the very next call after another one's bump."""
    issued, other = issue(acme), issue(acme)
    client = client_of(issued.secret)
    assert statuses(client, 1) == statuses(client_of(other.secret), 1) == [200]
    # As another process would: the rows change, and the generation, but nothing in this process's memory.
    elsewhere = limiter._from_settings()
    RateLimit.objects.create(organization=acme, per_minute=1)
    type(issued.key).objects.filter(pk=issued.key.pk).update(scopes=["records:read"])
    elsewhere.bump()
    assert statuses(client, 1) == [403]
    type(issued.key).objects.filter(pk=other.key.pk).update(status="revoked")
    elsewhere.bump()
    assert statuses(client_of(other.secret), 1) == [401]
    assert quotas.rules_of(acme.pk).rules


@pytest.mark.parametrize(
    ("policy", "expected", "code"),
    [
        (LOCAL, [200, 200, 429, 429], "rate_limited"),
        (OPEN, [200] * 4, ""),
        (CLOSED, [429] * 4, "limits_unavailable"),
    ],
)
def test_redis_down_is_no_5xx(
    acme: Organization, issue: Issue, policy: str, expected: list[int], code: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    issued = issue(acme)
    for_key(acme, issued, per_minute=8)
    limiter.use(Limiter(store=RedisStore(f"redis://127.0.0.1:{port}/0"), when_down=policy, processes=4))
    client = client_of(issued.secret)
    assert statuses(client, 4) == expected
    if code:
        refused = client.get(DATASETS)
        assert refused.json()["code"] == code
        assert int(refused["Retry-After"]) >= 1


def test_whoever_asked_is_told_of_the_share_used_once(acme: Organization, issue: Issue) -> None:
    told: list[tuple[Any, str, float]] = []

    def listener(subject: Any, window: str, share: float) -> None:
        told.append((subject.kind, window, share))

    limits.on_share(listener)
    try:
        issued = issue(acme)
        for_key(acme, issued, per_minute=10)
        statuses(client_of(issued.secret), 14)
    finally:
        limits.shares._listeners.remove(listener)
    assert told == [("key", "minute", share / 10) for share in (5, 6, 7, 8, 9, 10)]


def test_public_views_are_limited_by_address(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()  # no edge of a fixed window in the middle
    monkeypatch.setattr(django_ratelimit.core, "time", SimpleNamespace(time=lambda: now))
    from django.test import RequestFactory

    from apps.apikeys.public_limits import check_view
    from apps.kernel.errors import RateLimited

    class View:
        public_rate = "3/m"

    def call(**meta: str) -> bool:
        try:
            check_view(RequestFactory().get("/api/v1/x", **meta), View())
        except RateLimited:
            return False
        return True

    assert [call(HTTP_X_FORWARDED_FOR=f"203.0.113.{n}") for n in range(5)] == [True] * 3 + [False] * 2
    assert call(REMOTE_ADDR="192.0.2.9")
    # One customer's IPv6 addresses are one.
    assert [call(REMOTE_ADDR=f"2001:db8:1:2::{n:x}") for n in range(1, 6)] == [True] * 3 + [False] * 2
    assert call(REMOTE_ADDR="2001:db8:1:3::1")


# --- over the API


def put(client: APIClient, path: str, body: dict[str, Any]) -> Any:
    return client.put(path, body, format="json")


@pytest.mark.parametrize("address", ["/api/v1/api-keys/{}/rate-limits", "/api/v1/security/rate-limits/{}"])
def test_limits_are_set_and_hold_from_the_next_call(
    acme: Organization, issue: Issue, address: str, django_capture_on_commit_callbacks: Any
) -> None:
    boss, issued = client_of(issue(acme).secret), issue(acme)
    worker = client_of(issued.secret)
    assert statuses(worker, 1) == [200]
    path = address.format(issued.key.number)
    body = {
        "requests_per_minute": 3,
        "burst_limit": 3,
        "endpoints": [{"endpoint": "GET /datasets*", "requests_per_minute": 1}],
    }
    with django_capture_on_commit_callbacks(execute=True):
        answer = put(boss, path, body)
    assert answer.status_code == 200, answer.json()
    told = answer.json()
    assert told["requests_per_minute"] == 3
    assert told["requests_per_hour"] is None
    assert told["endpoints"][0]["endpoint"] == "GET /datasets*"
    assert {(item["name"], item["limit"], item["source"]) for item in told["effective"]} == {
        ("minute", 3, "key"),
        ("hour", 1_000_000, "installation"),
        ("burst", 3, "key"),
        ("minute GET /datasets*", 1, "key"),
    }
    assert statuses(worker, 2) == [200, 429]
    assert statuses(worker, 3, KEYS) == [200, 200, 429]
    now = boss.get(path).json()
    assert now["throttled"] is True
    assert now["throttled_until"]
    assert next(item for item in now["effective"] if item["name"] == "minute")["remaining"] == 0
    # Another PUT replaces everything.
    with django_capture_on_commit_callbacks(execute=True):
        told = put(boss, path, {}).json()
    assert told["endpoints"] == []
    assert [item["source"] for item in told["effective"]] == ["installation"]
    assert statuses(worker, 3) == [200] * 3
    entries = AuditEntry.objects.filter(organization=acme, action="rate_limit.changed").order_by("sequence")
    assert [entry.object_ref for entry in entries] == [issued.key.number] * 2
    assert entries[0].changes["per_minute"] == [None, 3]
    assert entries[1].changes["GET /datasets* per_minute"] == [1, None]


def test_nobody_sets_their_own_limits(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    client = client_of(issued.secret)
    for path in (f"{KEYS}/{issued.key.number}/rate-limits", "/api/v1/security/default-rate-limits"):
        refused = put(client, path, {"requests_per_minute": 10_000})
        assert refused.status_code == 403
        assert refused.json()["code"] == "own_limits"
    successor = keys.rotate(key=issued.key, actor=SYSTEM)
    assert put(client_of(successor.secret), f"{KEYS}/{issued.key.number}/rate-limits", {}).status_code == 403


def test_limits_of_another_organization_are_not_there(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    client, foreign = client_of(issue(acme).secret), issue(globex)
    for path in (
        f"{KEYS}/{foreign.key.number}0/rate-limits",
        f"{KEYS}/{foreign.key.public_id}/rate-limits",
        f"/api/v1/security/rate-limits/{foreign.key.public_id}",
        "/api/v1/oauth-applications/nobody/rate-limits",
    ):
        assert client.get(path).status_code == 404
        assert put(client, path, {}).status_code == 404


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"requests_per_minute": 0}, "/requests_per_minute"),
        ({"requests_per_day": 10**12}, "/requests_per_day"),
        ({"burst_limit": "many"}, "/burst_limit"),
        ({"requests": 3}, "/requests"),
        ({"endpoints": [{"endpoint": "records", "requests_per_minute": 1}]}, "/endpoints/0/endpoint"),
        ({"endpoints": [{"endpoint": 'GET /"x', "requests_per_minute": 1}]}, "/endpoints/0/endpoint"),
        ({"endpoints": [{"endpoint": "GET /x"}]}, "/endpoints/0"),
        (
            {
                "endpoints": [
                    {"endpoint": "GET /x", "requests_per_minute": 1},
                    {"endpoint": "GET  /x", "requests_per_day": 1},
                ]
            },
            "/endpoints/1/endpoint",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(
    acme: Organization, issue: Issue, body: dict[str, Any], pointer: str
) -> None:
    client, other = client_of(issue(acme).secret), issue(acme)
    refused = put(client, f"{KEYS}/{other.key.number}/rate-limits", body)
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]
    assert not RateLimit.objects.exists()


def test_an_application_has_limits_like_a_key(
    acme: Organization, issue: Issue, django_capture_on_commit_callbacks: Any
) -> None:
    application = Application.objects.create(
        organization=acme,
        name="Shop",
        client_type="confidential",
        authorization_grant_type="client-credentials",
    )
    client = client_of(issue(acme).secret)
    path = f"/api/v1/oauth-applications/{application.client_id}/rate-limits"
    with django_capture_on_commit_callbacks(execute=True):
        assert put(client, path, {"requests_per_day": 5}).status_code == 200
    assert client.get(path).json()["requests_per_day"] == 5
    plan = quotas.rules_of(acme.pk).plan_for(
        acme.pk, Subject("application", application.client_id), "GET", "/x"
    )
    assert plan.policy == '"hour";q=1000000;w=3600, "day";q=5;w=86400'


def test_resetting_gives_everything_back(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    for_key(acme, issued, per_minute=2, burst=2)
    for_key(acme, issued, endpoint="/datasets", per_minute=2)
    client = client_of(issued.secret)
    assert statuses(client, 3) == [200, 200, 429]
    rate_limits.reset(target=rate_limits.of_key(issued.key), actor=SYSTEM)
    assert statuses(client, 3) == [200, 200, 429]
    assert AuditEntry.objects.filter(action="rate_limit.reset", object_ref=issued.key.number).exists()
