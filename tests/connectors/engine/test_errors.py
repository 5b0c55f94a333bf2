from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apps.connectors.engine.errors import Kind, RetryPolicy, kind_of, retry_after_of
from apps.connectors.engine.probe import probe
from tests.connectors.acme import Provider, answer, connected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.VALIDATION),
        (401, Kind.AUTH),
        (403, Kind.PERMISSION),
        (404, Kind.NOT_FOUND),
        (408, Kind.TRANSIENT),
        (422, Kind.VALIDATION),
        (429, Kind.RATE),
        (500, Kind.TRANSIENT),
        (501, Kind.FATAL),
        (503, Kind.TRANSIENT),
        (302, Kind.FATAL),
    ],
)
def test_statuses_stand_for_kinds(status, kind):
    assert kind_of(status) is kind


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("120", 120.0),
        ("1.5", 1.5),
        ("Sat, 31 Jan 2026 10:01:00 GMT", 60.0),
        ("Sat, 31 Jan 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, seconds):
    now = datetime(2026, 1, 31, 10, tzinfo=UTC)

    assert retry_after_of({"retry-after": value}, now) == seconds


def test_waits_grow_and_obey_the_provider():
    policy = RetryPolicy()

    assert [policy.delay(n, None, spread=1.0) for n in (1, 2, 3, 4)] == [5, 15, 45, 135]
    assert policy.delay(1, None, spread=0.0) == 2.5
    assert policy.delay(20, None, spread=1.0) == 3600
    assert policy.delay(1, 66_975.0) == 66_975.0


def test_a_manifests_rules_come_before_the_status():
    rules = [
        {
            "when": {"status": [200], "path": "error.code", "equals": [17]},
            "kind": "auth",
            "message": "Log in anew.",
        },
        {"when": {"body_regex": "quota"}, "kind": "rate"},
    ]
    disguised = probe(connected(errors=rules), Provider(lambda r: answer({"error": {"code": 17}})))
    quota = probe(connected(errors=rules), Provider(lambda r: answer({"message": "daily quota"}, 403)))

    assert (disguised.ok, disguised.kind, disguised.reason) == (False, Kind.AUTH, "Log in anew.")
    assert quota.kind == Kind.RATE


def test_a_probe_tells_latency_and_identity():
    link = connected(test={"request": {"path": "/me"}, "path_exists": "login", "identity_path": "login"})

    good = probe(link, Provider(lambda r: answer({"login": "ann"})))
    other = probe(link, Provider(lambda r: answer({"hello": "world"})))

    assert (good.ok, good.status, good.latency_ms, good.identity) == (True, 200, 5, "ann")
    assert not other.ok
    assert other.reason.startswith("The provider answered, but without login")


def test_a_providers_words_never_carry_the_credentials():
    link = connected(auth="bearer", credentials={"token": "t0ken-secret"})

    result = probe(link, Provider(lambda r: answer({"message": "bad token t0ken-secret"}, 401)))

    assert result.reason == (
        "The provider refused the credentials (HTTP 401). Check them and test the connection again. "
        "It says: “bad token ***”"
    )
