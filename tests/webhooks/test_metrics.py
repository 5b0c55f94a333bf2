"""`/metrics`: the numbers that Prometheus gets, their door, and counting each attempt once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.events.selectors import first_id
from apps.kernel import metrics
from apps.kernel.metrics import Family, Sample
from apps.webhooks.models import AttemptTally, Delivery, DeliveryAttempt, TallyMark
from apps.webhooks.services import pausing, tallying
from tests.webhooks.conftest import ADA, publish, run
from tests.webhooks.receiver import say

TOKEN = "a token of forty letters, as long as that"


def scrape() -> dict[str, float]:
    answer = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    found = {}
    for line in lines:
        match = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="[^"\n]*",?)*\})?) ([0-9.e+-]+)', line)
        assert match, line
        assert match[1] not in found
        found[match[1]] = float(match[2])
    return found


@pytest.fixture(autouse=True)
def _token(settings):
    settings.HUB_METRICS_TOKEN = TOKEN


def total(endpoint, result):
    return (
        f'hub_webhook_attempts_total{{organization="{endpoint.organization.slug}",'
        f'endpoint="{endpoint.number}",result="{result}"}}'
    )


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer "}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer ü"},
     {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}],
)  # fmt: skip
def test_nothing_is_told_without_the_token(db, headers):
    answer = Client().get("/metrics", headers=headers)
    assert answer.status_code == 401
    assert b"hub_" not in answer.content


def test_without_a_token_there_is_no_page(db, settings):
    settings.HUB_METRICS_TOKEN = ""
    assert Client().get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    assert Client().post("/metrics").status_code in (404, 405)


def test_what_is_due_held_and_done_is_told(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    receiver.usual = say(500)
    publish(organization)
    run()
    receiver.usual = say(200)
    publish(organization)
    run()
    found = scrape()
    assert found[total(endpoint, "delivered")] == 1
    assert found[total(endpoint, "5xx")] == 1
    assert found["hub_webhook_deliveries_later"] == 1
    assert found["hub_webhook_deliveries_due"] == found["hub_webhook_queue_age_seconds"] == 0
    assert found["hub_webhook_attempt_duration_seconds_count"] == 2
    assert found['hub_webhook_attempt_duration_seconds_bucket{le="+Inf"}'] == 2
    assert found['hub_webhook_endpoints{status="active"}'] == 1

    Delivery.objects.filter(status="retrying").update(next_attempt_at=timezone.now() - timedelta(seconds=90))
    found = scrape()
    assert found["hub_webhook_deliveries_due"] == 1
    assert 90 <= found["hub_webhook_queue_age_seconds"] < 150

    pausing.pause(endpoint=endpoint, actor=ADA, reason="")
    found = scrape()
    assert found["hub_webhook_deliveries_held"] == 1
    assert found["hub_webhook_deliveries_due"] == found["hub_webhook_queue_age_seconds"] == 0


def test_folding_counts_each_attempt_once_and_outlives_them(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    for _ in range(3):
        publish(organization)
    run()
    before = scrape()
    assert before[total(endpoint, "delivered")] == 3
    assert tallying.fold() == 0  # what ended a moment ago may not be all

    settled, tallying.SETTLED = tallying.SETTLED, timedelta(hours=-1)
    try:
        assert tallying.fold() == 3
        assert tallying.fold() == 0
    finally:
        tallying.SETTLED = settled
    assert scrape() == before

    DeliveryAttempt.objects.all().delete()
    assert scrape() == before
    assert AttemptTally.objects.get().count == 3


def test_a_mark_that_was_moved_is_not_moved_again(organization, endpoint_at, receiver, monkeypatch):
    endpoint_at(receiver.url)
    publish(organization)
    run()
    monkeypatch.setattr(tallying, "SETTLED", timedelta(hours=-1))
    monkeypatch.setattr(tallying, "_mark", lambda: first_id(timezone.now() - timedelta(days=1)))
    TallyMark.objects.create(pk=1, upto=first_id(timezone.now()))  # another worker was faster
    assert tallying.fold() == 0
    assert not AttemptTally.objects.exists()


def test_the_number_of_queries_does_not_grow(organization, endpoint_at, receiver):
    for n in range(6):
        endpoint_at(f"{receiver.url}/{n}", name=f"Endpoint {n}")
    publish(organization)
    run()
    with CaptureQueriesContext(connection) as queries:
        scrape()
    assert len(queries) <= 12


def test_labels_and_help_cannot_break_a_line(monkeypatch):
    nasty = 'a"b\\c\nd 1'
    family = Family("hub_x", "gauge", "two\nlines", [Sample(1, {"name": nasty})])
    monkeypatch.setattr(metrics, "collectors", {"x": lambda: [family]})
    assert metrics.render().splitlines() == [
        "# HELP hub_x two\\nlines",
        "# TYPE hub_x gauge",
        'hub_x{name="a\\"b\\\\c\\nd 1"} 1',
    ]
