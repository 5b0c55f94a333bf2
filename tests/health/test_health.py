"""How the hub says how it is."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.health import selectors
from apps.health.models import HealthCheck, Heartbeat
from apps.health.services import checks, heartbeats
from apps.kernel.probes import Finding, Probe, Verdict, graded

PASS, FAIL = Finding(Verdict.PASS, "Fine."), Finding(Verdict.FAIL, "Broken.")


def test_a_status_moves_after_two_equal_findings():
    now = timezone.now()
    check = HealthCheck(name="x:y", title="X")

    seen = []
    for finding in (PASS, FAIL, PASS, FAIL, FAIL, PASS, PASS):
        checks.settle(check, finding, now)
        seen.append(check.status)

    assert seen == ["pass", "pass", "pass", "pass", "fail", "fail", "pass"]


def test_a_probe_that_breaks_is_a_failure_without_its_secrets():
    def broken() -> Finding:
        raise RuntimeError("cannot reach https://hub:s3cret@db.example.com/?api_key=abcdef123456")

    finding = checks.ask(Probe("x:y", "X", broken))

    assert finding.verdict is Verdict.FAIL
    assert "s3cret" not in finding.detail
    assert "abcdef123456" not in finding.detail


@pytest.mark.parametrize(("observed", "verdict"), [(1, "pass"), (250, "warn"), (2000, "fail")])
def test_thresholds_grade_what_was_observed(observed, verdict):
    assert graded(observed, warn=250, fail=2000, unit="ms", detail="").verdict == verdict


@pytest.mark.django_db
def test_the_checks_run_and_the_hub_is_well():
    for queue in ("default", "sync"):
        heartbeats.beat(name=f"queue:{queue}", title=queue)
    heartbeats.beat(name="scheduler", title="Scheduler")

    troubled = checks.run_all()

    states = dict(HealthCheck.objects.values_list("name", "status"))
    assert {states[n] for n in ("database:response_time", "database:migrations", "keys:canary")} == {"pass"}
    assert {states[n] for n in ("workers:last_heard", "scheduler:last_heard")} == {"pass"}
    assert troubled == sum(status != "pass" for status in states.values())


@pytest.mark.django_db
def test_a_silent_worker_is_told():
    heartbeats.beat(name="queue:sync", title="sync")
    Heartbeat.objects.update(at=timezone.now() - timedelta(minutes=6))

    checks.run_all()

    check = HealthCheck.objects.get(name="workers:last_heard")
    assert check.status == "fail"
    assert check.detail.startswith("The queue “sync” was last heard 36")


@pytest.mark.django_db
def test_findings_that_nobody_renews_are_a_warning():
    heartbeats.beat(name="queue:sync", title="sync")
    heartbeats.beat(name="scheduler", title="Scheduler")
    checks.run_all()
    HealthCheck.objects.update(status="pass")
    assert selectors.overall().status == "pass"

    HealthCheck.objects.update(checked_at=timezone.now() - timedelta(minutes=4))

    assert selectors.overall().status == "warn"


@pytest.mark.django_db
def test_the_public_answer_tells_states_and_nothing_else():
    checks.run_all()

    answer = Client().get("/api/v1/health")

    body = answer.json()
    assert set(body) == {"status", "services", "timestamp"}
    assert all(set(service) == {"name", "status"} for service in body["services"])
    assert "GiB" not in answer.content.decode()


@pytest.mark.django_db
def test_a_vital_failure_answers_503():
    checks.run_all()
    HealthCheck.objects.filter(name="database:migrations").update(status="fail")

    answer = Client().get("/api/health")

    assert (answer.status_code, answer.json()["status"]) == (503, "fail")


def test_living_touches_no_database():
    # Without the database mark any query would be an error.
    answer = Client().get("/api/health/live")

    assert (answer.status_code, answer.json()) == (200, {"status": "pass"})


@pytest.mark.django_db
def test_ready_needs_migrations_and_keys():
    assert Client().get("/api/health/ready").status_code == 200
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'health'")

    assert Client().get("/api/health/ready").status_code == 503


@pytest.mark.django_db
def test_details_are_for_those_who_may_see_them():
    assert Client().get("/api/v1/health/detailed").status_code == 401
