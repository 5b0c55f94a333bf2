"""What calls add up to, without a request in sight of the database."""

from __future__ import annotations

import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import Client, RequestFactory
from django.utils import timezone

from apps.apikeys.middleware import Statements
from apps.apikeys.models import APIKey, RequestLog, UsageAddresses, UsageBucket
from apps.apikeys.models.usage import Grain, Level
from apps.apikeys.services import keys, usage
from apps.apikeys.usage import counting, histogram, retention, sketch, store
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.people import member, signed_in

KEYS = "/api/v1/api-keys"


def buckets(**where: Any) -> list[UsageBucket]:
    return list(UsageBucket.objects.filter(**where).order_by("status_class", "route", "method"))


def test_calls_are_counted_by_caller_endpoint_version_and_status(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    client = client_of(issued.secret, HTTP_USER_AGENT="Shop/1.0")
    for _ in range(3):
        assert client.get(KEYS).status_code == 200
    assert client.get(f"{KEYS}/KEY-2026-09999").status_code == 404
    assert client.post(KEYS, {"scopes": []}, format="json").status_code == 422
    assert UsageBucket.objects.count() == 0
    assert usage.flush() == 5

    details = buckets(level=Level.DETAIL, grain=Grain.HOUR)
    assert [(b.method, b.route, b.version, b.status_class, b.count) for b in details] == [
        ("GET", "/api-keys", "v1", 2, 3),
        ("POST", "/api-keys", "v1", 4, 1),
        ("GET", "/api-keys/{id}", "v1", 4, 1),
    ]
    first = details[0]
    assert (first.subject_kind, first.subject_id) == ("key", issued.key.group.hex)
    assert first.organization_id == acme.pk
    assert first.bytes_out > 3 * 100
    assert sum(getattr(first, name) for name in histogram.COLUMNS) == 3
    assert 0 < first.longest_us <= first.time_us
    assert buckets(level=Level.DETAIL, status_class=4, method="POST")[0].bytes_in > 0
    for level, count in ((Level.ORGANIZATION, 2), (Level.SUBJECT, 2), (Level.ENDPOINT, 3)):
        rows = buckets(level=level, grain=Grain.DAY)
        assert len(rows) == count
        assert sum(row.count for row in rows) == 5
    assert sum(row.count for row in buckets(grain=Grain.EVER)) == 5

    lines = list(RequestLog.objects.order_by("at"))
    assert [(row.method, row.path, row.status, row.label) for row in lines[:1]] == [
        ("GET", KEYS, 200, "test")
    ]
    assert lines[-1].code == "invalid"
    assert (lines[0].user_agent, lines[0].ip) == ("Shop/1.0", "127.0.0.1")
    assert lines[0].request_id.startswith("req_")


def test_two_writes_add_up(acme: Organization, issue: Issue) -> None:
    client = client_of(issue(acme).secret)
    for _ in range(2):
        client.get(KEYS)
        usage.flush()
    [bucket] = buckets(level=Level.SUBJECT, grain=Grain.DAY)
    assert bucket.count == 2
    assert bucket.first_at < bucket.last_at


def test_a_request_runs_no_statement_for_it(
    acme: Organization, issue: Issue, django_assert_num_queries: Any
) -> None:
    issued = issue(acme)
    client = client_of(issued.secret)
    client.get("/api/v1/nothing-here")
    client.get(KEYS)
    with django_assert_num_queries(1):
        client.get(KEYS)
    request = RequestFactory().get("/api/v1/x")
    with django_assert_num_queries(0):
        response = client.get("/api/v1/nothing-here")
        usage.note(request, response, 0.001, Statements())


def test_a_group_is_one_caller(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    second = keys.rotate(key=issued.key, actor=SYSTEM)
    client_of(issued.secret).get(KEYS)
    client_of(second.secret).get(KEYS)
    usage.flush()
    [bucket] = buckets(level=Level.SUBJECT, grain=Grain.HOUR)
    assert bucket.count == 2
    assert APIKey.objects.exclude(last_used_at=None).count() == 2


def test_strangers_are_charged_to_nobody(acme: Organization, issue: Issue, client: Client) -> None:
    issued = issue(acme)
    wrong = issued.secret[:-8] + "00000000"
    for text in (wrong, "sk_live_nonsense", "x" * 40):
        assert client.get(KEYS, HTTP_AUTHORIZATION=f"Bearer {text}").status_code == 401
    assert client.get(KEYS).status_code == 401
    usage.flush()
    assert not UsageBucket.objects.exclude(organization=None).exists()
    assert not UsageBucket.objects.exclude(subject_kind="").exists()
    assert sum(b.refused for b in buckets(level=Level.ORGANIZATION, grain=Grain.HOUR)) == 4
    assert RequestLog.objects.filter(organization=None, subject_kind="", refused=True).count() == 4
    issued.key.refresh_from_db()
    assert issued.key.last_used_at is None


def test_a_known_key_that_is_refused_is_charged_for_the_attempt(acme: Organization, issue: Issue) -> None:
    far = issue(acme, ip_whitelist=["192.0.2.0/24"])
    ended = issue(acme)
    keys.revoke(key=ended.key, actor=SYSTEM)
    assert client_of(far.secret).get(KEYS).status_code == 403
    assert client_of(ended.secret).get(KEYS).status_code == 401
    usage.flush()
    found = buckets(level=Level.SUBJECT, grain=Grain.HOUR)
    assert {(b.subject_id, b.refused, b.count) for b in found} == {
        (far.key.group.hex, 1, 1),
        (ended.key.group.hex, 1, 1),
    }
    far.key.refresh_from_db()
    assert far.key.last_used_at is None


def test_people_count_too(acme: Organization) -> None:
    user = member(acme, "owner")
    signed_in(user).get(KEYS)
    usage.flush()
    [bucket] = buckets(level=Level.SUBJECT, grain=Grain.HOUR)
    assert (bucket.subject_kind, bucket.subject_id) == ("user", str(user.pk))


def test_odd_methods_and_addresses_make_no_series(acme: Organization, client: Client) -> None:
    for n in range(5):
        client.generic(f"FOO{n}", f"/api/v1/made-up-{n}")
        client.get(f"/api/made/up/{n}")
    usage.flush()
    found = buckets(level=Level.ENDPOINT, grain=Grain.DAY)
    assert {(b.method, b.route) for b in found} == {
        ("OTHER", counting.NOWHERE),
        ("GET", counting.NOWHERE),
    }


def test_hostile_paths_and_agents_are_stored_harmlessly(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    agent = f"curl {issued.secret} \x00\udcff" + "x" * 5000
    client_of(issued.secret).get(f"{KEYS}/{issued.secret}", HTTP_USER_AGENT=agent)
    usage.flush()
    [line] = RequestLog.objects.all()
    assert issued.secret not in line.path + line.user_agent
    assert "***" in line.path


def test_last_use_only_moves_forward(acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    later = timezone.now()
    APIKey.objects.filter(pk=key.pk).update(last_used_at=later)
    collected = counting.Collected()
    collected.calls = 1
    collected.used[key.pk] = (later - timedelta(minutes=1)).timestamp()
    store.write(collected)
    key.refresh_from_db()
    assert key.last_used_at == later


def test_what_cannot_be_written_is_kept(
    acme: Organization, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(issue(acme).secret)
    client.get(KEYS)
    with monkeypatch.context() as patched:
        # The database's own refusal: a table that is not there.
        patched.setattr(UsageAddresses._meta, "db_table", "not_there")
        assert usage.flush() == 0
    assert not UsageBucket.objects.exists()
    client.get(KEYS)
    assert usage.waiting() == 2
    assert usage.flush() == 2
    assert [b.count for b in buckets(level=Level.SUBJECT, grain=Grain.DAY)] == [2]
    assert RequestLog.objects.count() == 2


def test_memory_is_bounded(acme: Organization) -> None:
    collected = counting.Collected()
    for n in range(counting.MOST_SERIES + 500):
        collected.note(call(acme, subject_id=f"s{n}", ip=f"10.0.{n // 250}.{n % 250}"))
    assert len(collected.sums) <= counting.MOST_SERIES + 1
    assert sum(s.count for s in collected.sums.values()) == counting.MOST_SERIES + 500
    assert sum(len(mine) for mine in collected.lines.values()) <= counting.MOST_LINES_IN_ALL


def call(organization: Organization, **values: Any) -> counting.Call:
    given: dict[str, Any] = {
        "at": timezone.now().timestamp(),
        "organization": organization.pk,
        "subject_kind": "key",
        "subject_id": "k1",
        "label": "test",
        "key_id": None,
        "method": "GET",
        "path": "/api/v1/x",
        "route": "/x",
        "version": "v1",
        "status": 200,
        "code": "",
        "time_us": 1500,
        "bytes_in": 0,
        "bytes_out": 10,
        "ip": None,
        "user_agent": "",
        "request_id": "",
    }
    return counting.Call(**{**given, **values})


@pytest.mark.django_db(transaction=True)
def test_several_processes_add_to_the_same_rows(transactional_db: None) -> None:
    from apps.tenants.services import organizations

    acme = organizations.create(name="Acme")
    at = timezone.now().timestamp()
    rounds, threads = 10, 4

    def work(number: int) -> None:
        try:
            for n in range(rounds):
                collected = counting.Collected()
                for m in range(20):
                    ip = f"10.{number}.{n}.{m}"
                    collected.note(call(acme, at=at, route=f"/r{m % 5}", subject_id=f"s{m % 3}", ip=ip))
                store.write(collected)
        finally:
            connections.close_all()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    total = rounds * threads * 20
    for level in Level:
        assert sum(b.count for b in buckets(level=level, grain=Grain.DAY)) == total
    [everybody] = UsageAddresses.objects.filter(level=Level.ORGANIZATION, grain=Grain.DAY)
    assert abs(sketch.count(bytes(everybody.sketch)) - total) < total * 0.1


def test_addresses_are_exact_while_few_and_estimated_when_many() -> None:
    found = sketch.EMPTY
    for n in range(sketch.EXACT):
        found = sketch.add(found, [sketch.hash_of(f"10.0.0.{n}")] * 2)
    assert sketch.count(found) == sketch.EXACT
    for size in (500, 5_000, 100_000):
        many = sketch.add(sketch.EMPTY, (sketch.hash_of(f"a{n}") for n in range(size)))
        assert abs(sketch.count(many) - size) < 0.07 * size
        assert len(many) == 2049
    left = sketch.add(sketch.EMPTY, (sketch.hash_of(f"a{n}") for n in range(3000)))
    right = sketch.add(sketch.EMPTY, (sketch.hash_of(f"a{n}") for n in range(1500, 4500)))
    assert sketch.merge([left, right]) == sketch.merge([right, left])
    assert abs(sketch.count(sketch.merge([left, right])) - 4500) < 300


def test_percentiles_err_by_less_than_their_step() -> None:
    numbers = random.Random(11)
    durations = sorted(int(numbers.lognormvariate(3, 1) * 1000) for _ in range(20_000))
    counts = [0] * histogram.STEPS
    for duration in durations:
        counts[histogram.step_of(duration)] += 1
    for share in (0.5, 0.95, 0.99):
        exact = durations[int(share * len(durations))] / 1000
        found = histogram.percentile(counts, share)
        assert found is not None
        assert abs(found - exact) < 0.25 * exact
    assert histogram.percentile([0] * histogram.STEPS, 0.5) is None
    assert histogram.percentile([1] + [0] * (histogram.STEPS - 1), 0.99, longest=0.4) == 0.4


def test_what_is_old_goes_and_sums_stay(acme: Organization) -> None:
    now = timezone.now()
    collected = counting.Collected()
    for days in (0, 3, 40, 500):
        collected.note(call(acme, at=(now - timedelta(days=days)).timestamp(), ip="10.0.0.1"))
    store.write(collected)
    retention.thin(now)
    kept = {grain: {b.starts_at for b in buckets(grain=grain)} for grain in Grain}
    assert [len(kept[grain]) for grain in (Grain.MINUTES, Grain.HOUR, Grain.DAY)] == [1, 2, 3]
    assert sum(b.count for b in buckets(grain=Grain.EVER)) == 4
    assert UsageAddresses.objects.filter(grain=Grain.HOUR, level=Level.SUBJECT).count() == 2


def test_a_callers_lines_are_bounded(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "LINES_OF_ONE", 20)
    for _ in range(3):
        collected = counting.Collected()
        for _ in range(15):
            collected.note(call(acme))
            collected.note(call(acme, subject_kind="", subject_id="", status=401))
        store.write(collected)
    newest = set(RequestLog.objects.filter(subject_kind="key").order_by("-id").values_list("pk")[:20])
    retention.thin()
    assert set(RequestLog.objects.filter(subject_kind="key").values_list("pk")) == newest
    assert RequestLog.objects.count() == 40


def test_templates() -> None:
    for route, expected in {
        r"api/(?P<version>v[0-9]+)/records/(?P<dataset>[^/]+)/(?P<id>key:.+?|[^/]+)/changes$": (
            "/records/{dataset}/{id}/changes"
        ),
        "api/records/<str:dataset>": "/records/{dataset}",
        "api/schema": "/schema",
        "api/.*$": counting.NOWHERE,
        None: counting.NOWHERE,
    }.items():
        assert counting.template_of(route) == expected
