"""Replays: counted, worked off in the background, paused, cancelled, killed, and nothing done twice."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audit.models import AuditEntry
from apps.events.services import fanout, outbox
from apps.kernel.errors import Conflict, InvalidInput, RaceLost
from apps.tenants.services import organizations
from apps.webhooks import choices, tasks
from apps.webhooks.errors import EndpointNotSending
from apps.webhooks.models import Delivery, Replay
from apps.webhooks.services import endpoints, pausing, replaying, replays
from apps.webhooks.statuses import Cause, DeliveryStatus, ReplayStatus
from tests.webhooks.conftest import ADA, only_delivery, publish, run
from tests.webhooks.peer import go, peer
from tests.webhooks.receiver import say

LONG_AGO = timedelta(days=1)


def chosen(endpoint, what="all", **options):
    options = {"since": timezone.now() - LONG_AGO, **options}
    return replays.choose(organization=endpoint.organization, endpoint=endpoint, what=what, **options)


def order(endpoint, what="all", **options):
    return replays.order(
        organization=endpoint.organization, choice=chosen(endpoint, what, **options), actor=ADA
    )


def worked(replay):
    """The replay when a worker has been at it."""
    replaying.take(replay_id=replay.pk)
    replay.refresh_from_db()
    return replay


def many(organization, count, type="custom.order.paid"):
    outbox.publish_many(
        organization=organization,
        drafts=[outbox.Draft(type=type, data={"order": n}) for n in range(count)],
        even_if_unheard=True,
    )
    fanout.sweep()


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(choices, "PAGE", 10)
    monkeypatch.setattr(replaying, "PAGE", 10)
    monkeypatch.setattr(replays, "PAGE", 10)


@pytest.mark.parametrize(
    ("what", "sent"),
    [
        ("failed", {"failed": 3}),
        ("missing", {"missing": 2}),
        ("all", {"failed": 3, "delivered": 4, "missing": 2}),
    ],
)
def test_what_is_counted_is_what_is_sent(organization, endpoint_at, receiver, what, sent):
    many(organization, 2)
    run()
    endpoint = endpoint_at(receiver.url, retry_attempts=0)
    many(organization, 7)
    receiver.answers = [say(500)] * 3
    run()
    assert Counter(Delivery.objects.values_list("status", flat=True)) == {"failed": 3, "delivered": 4}
    receiver.arrivals.clear()

    counted = replays.count(chosen(endpoint, what))
    assert {name: n for name in ("failed", "delivered", "missing") if (n := getattr(counted, name))} == sent
    replay = order(endpoint, what)
    assert (replay.total, replay.sent, replay.status) == (counted.total, 0, ReplayStatus.RUNNING)
    run()
    assert receiver.arrivals == []  # nothing before a worker has come
    worked(replay)
    run()

    assert (replay.status, replay.sent, replay.percent_complete) == ("completed", counted.total, 100)
    assert replay.completed_at is not None
    assert Counter(receiver.ids).most_common(1)[0][1] == 1
    assert len(receiver.arrivals) == counted.total
    assert not Delivery.objects.filter(status=DeliveryStatus.FAILED).exists() or what == "missing"
    entry = AuditEntry.objects.get(action="webhook.replayed")
    assert entry.changes["replay"] == ["", replay.number]


def test_it_goes_page_by_page_and_a_second_worker_finds_nothing_left(
    organization, endpoint_at, receiver, small_pages
):
    endpoint = endpoint_at(receiver.url)
    many(organization, 35)
    run()
    replay = order(endpoint)

    replaying.take(replay_id=replay.pk, budget=0)
    replay.refresh_from_db()
    assert (replay.status, replay.sent) == (ReplayStatus.RUNNING, 0)
    worked(replay)
    assert (replay.status, replay.sent) == (ReplayStatus.COMPLETED, 35)
    assert not replaying.take(replay_id=replay.pk)
    run()

    assert set(Counter(receiver.ids).values()) == {2}
    assert len({(arrival.id, arrival.body) for arrival in receiver.arrivals}) == 35
    assert Delivery.objects.filter(cause=Cause.REPLAY).count() == 35


def test_paused_it_owes_nothing_more_and_goes_on_where_it_was(
    organization, endpoint_at, receiver, small_pages, monkeypatch
):
    endpoint = endpoint_at(receiver.url)
    many(organization, 25)
    run()
    replay = order(endpoint)
    done = replaying._Page.owe

    def owe_and_pause(page, choice):
        sent = done(page, choice)
        replays.pause(replay=Replay.objects.get(pk=replay.pk), actor=ADA)
        return sent

    monkeypatch.setattr(replaying._Page, "owe", owe_and_pause)
    worked(replay)
    monkeypatch.setattr(replaying._Page, "owe", done)
    assert (replay.status, replay.sent, replay.percent_complete) == (ReplayStatus.PAUSED, 10, 40)
    assert not replaying.take(replay_id=replay.pk)
    assert Delivery.objects.filter(cause=Cause.REPLAY).count() == 10

    replays.resume(replay=replay, actor=ADA)
    worked(replay)
    assert (replay.status, replay.sent) == (ReplayStatus.COMPLETED, 25)
    run()
    assert set(Counter(receiver.ids).values()) == {2}
    told = AuditEntry.objects.filter(action__startswith="replay.").order_by("id")
    assert list(told.values_list("action", flat=True)) == ["replay.paused", "replay.resumed"]


def test_cancelled_it_stays_so(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    replay = replays.cancel(replay=order(endpoint), actor=ADA)

    assert not replaying.take(replay_id=replay.pk)
    for deed in (replays.pause, replays.resume, replays.cancel):
        with pytest.raises(RaceLost):
            deed(replay=replay, actor=ADA)
    run()
    assert len(receiver.arrivals) == 1
    assert worked(order(endpoint)).sent == 1  # and does not stand in the way of another


def test_two_replays_of_one_past_do_not_run_at_once(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    first = order(endpoint)
    with pytest.raises(Conflict, match=first.number):
        order(endpoint, "failed")
    assert Replay.objects.count() == 1
    worked(first)
    assert order(endpoint).number != first.number


def test_an_endpoint_that_goes_away_ends_it(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    replay = order(endpoint)
    endpoints.remove(endpoint=endpoint, actor=ADA)

    worked(replay)
    run()
    assert (replay.status, replay.sent) == (ReplayStatus.FAILED, 0)
    assert "removed" in replay.status_reason
    assert len(receiver.arrivals) == 1
    with pytest.raises(EndpointNotSending):
        order(endpoint)


def test_a_paused_endpoint_holds_what_is_replayed(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    pausing.pause(endpoint=endpoint, actor=ADA)
    assert worked(order(endpoint)).sent == 1
    run()
    assert len(receiver.arrivals) == 1
    pausing.resume(endpoint=endpoint, actor=ADA)
    run()
    assert len(receiver.arrivals) == 2


def test_only_these_types(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    late = endpoint_at(receiver.url, batch_delivery=True, batch_size=2)
    for type in ("custom.order.paid", "custom.order.sent", "custom.ordering", "custom.client.new"):
        publish(organization, type)
    run()
    for wanted, number in (
        (["custom.order.*"], 2),
        (["custom.ordering", "custom.client.new"], 2),
        (["*"], 4),
    ):
        assert replays.count(chosen(endpoint, event_types=wanted)).total == number, wanted
    assert replays.count(chosen(late, event_types=["custom.client.new"])).delivered == 1  # in a batch
    assert replays.count(chosen(late, event_types=["custom.other"])).total == 0
    receiver.arrivals.clear()

    worked(order(endpoint, event_types=["custom.client.new"]))
    run()
    assert [arrival.body.count(b"custom.client.new") for arrival in receiver.arrivals] == [1]


def test_only_until_then(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    publish(organization, order=1)
    run()
    middle = timezone.now() + timedelta(milliseconds=2)
    while timezone.now() <= middle + timedelta(milliseconds=2):
        pass
    publish(organization, order=2)
    run()
    assert replays.count(chosen(endpoint, until=middle)).total == 1
    assert replays.count(chosen(endpoint, since=middle)).total == 1
    with pytest.raises(InvalidInput):
        chosen(endpoint, since=middle, until=middle)


def test_what_was_ordered_is_refused_where_it_makes_no_sense(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url)
    for options, pointer in (
        ({"since": timezone.now() + LONG_AGO}, "/since"),
        ({"since": None}, "/since"),
        ({"what": "some"}, "/what"),
        ({"statuses": ["delivering"]}, "/status"),
        ({"event_types": ["custom.*", "Custom Order"]}, "/event_types/1"),
        ({"event_types": ["a"] * 101}, "/event_types"),
        ({"delivery_ids": [endpoint.pk] * 1001}, "/ids"),
    ):
        with pytest.raises(InvalidInput) as refused:
            chosen(endpoint, **options)
        assert [error.pointer for error in refused.value.errors] == [pointer]
    assert not Replay.objects.exists()


def test_order_within_a_key_is_kept(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, ordering="fifo", retry_attempts=0)
    receiver.answers = [say(500)] * 5
    for n in range(5):
        publish(organization, order=n, subject="rec_1")
    for _ in range(5):
        run()
    ids = receiver.ids.copy()
    assert len(ids) == 5

    assert worked(order(endpoint)).sent == 5
    for _ in range(5):
        run()
    assert receiver.ids == ids * 2
    assert worked(order(endpoint)).sent == 5  # now as new deliveries
    for _ in range(5):
        run()
    assert receiver.ids == ids * 3


def test_selected_deliveries_in_every_state(organization, endpoint_at, receiver):
    endpoint = endpoint_at(receiver.url, retry_attempts=1, retry_intervals=[3600])
    other = endpoint_at(receiver.url)
    many(organization, 1)
    run()
    endpoints.send_test(endpoint=endpoint, actor=ADA)
    receiver.answers = [say(500), say(500)]
    many(organization, 1)
    run()
    rows = Delivery.objects.filter(endpoint=endpoint)
    assert Counter(rows.values_list("status", flat=True)) == {"delivered": 2, "retrying": 1}
    everything = [row.pk for row in Delivery.objects.all()]
    stranger = organizations.create(name="Elsewhere")

    assert (
        replays.count(replays.choose(organization=stranger, what="selected", delivery_ids=everything)).total
        == 0
    )
    choice = replays.choose(organization=organization, what="selected", delivery_ids=everything)
    counted = replays.count(choice)
    assert (counted.delivered, counted.waiting, counted.total) == (2, 2, 4)
    replay = worked(replays.order(organization=organization, choice=choice, actor=ADA))
    assert (replay.status, replay.sent) == ("completed", 4)
    receiver.arrivals.clear()
    run()
    assert Counter(receiver.ids).most_common(1)[0][1] == 2  # each event for two endpoints
    assert len(receiver.arrivals) == 4

    pausing.deactivate(endpoint=other, actor=ADA)
    choice = replays.choose(organization=organization, what="selected", statuses=["delivered"])
    assert replays.count(choice).total == 2  # neither tests, nor replays, nor those of what is switched off


def test_a_replay_that_nobody_rang_for_is_found(organization, endpoint_at, receiver, monkeypatch):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    replay = order(endpoint)
    rung = []
    monkeypatch.setattr(replaying, "enqueue", lambda name, *args, **options: rung.append((name, *args)))
    tasks.replay_sweep()
    assert rung == [("webhooks.replay", str(replay.pk))]
    tasks.replay(str(replay.pk))
    replay.refresh_from_db()
    assert replay.status == ReplayStatus.COMPLETED


@pytest.mark.django_db(transaction=True)
def test_killed_in_the_middle_it_goes_on_and_sends_nothing_twice(transactional_db, endpoint_at, receiver):
    organization = organizations.create(name="Northwind")
    endpoint = endpoint_at(receiver.url, organization=organization, retry_attempts=0)
    many(organization, 120)
    receiver.answers = [say(500)] * 40
    run()
    assert Counter(Delivery.objects.values_list("status", flat=True)) == {"failed": 40, "delivered": 80}
    receiver.arrivals.clear()
    replay = order(endpoint)

    for survived, deed in ((0, "in the first page"), (20, "in the third page")):
        with peer("replay-and-die", str(replay.pk), str(survived // 10 + 1)) as worker:
            go(worker)
            assert worker.wait(timeout=30) == -9, deed
        replay.refresh_from_db()
        assert (replay.status, replay.sent) == (ReplayStatus.RUNNING, survived), deed
        assert not replaying.take(replay_id=replay.pk)  # its lease still holds
        Replay.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    worked(replay)
    run()

    assert (replay.status, replay.sent) == (ReplayStatus.COMPLETED, 120)
    assert set(Counter(receiver.ids).values()) == {1}
    assert len(receiver.arrivals) == 120


def test_killed_always_at_the_same_place_it_is_given_up_and_can_be_taken_up_again(
    organization, endpoint_at, receiver
):
    endpoint = endpoint_at(receiver.url)
    publish(organization)
    run()
    replay = order(endpoint)
    Replay.objects.filter(pk=replay.pk).update(attempts=replaying.MAX_ATTEMPTS)
    worked(replay)
    assert (replay.status, replay.sent) == (ReplayStatus.FAILED, 0)
    assert "interrupted" in replay.status_reason
    replays.resume(replay=replay, actor=ADA)
    assert worked(replay).sent == 1
    run()
    assert only_sent_twice(endpoint)


def only_sent_twice(endpoint):
    return Delivery.objects.filter(endpoint=endpoint, status=DeliveryStatus.DELIVERED).count() == 2


def test_a_template_that_still_fails_stays_as_it_is(organization, endpoint_at, receiver):
    endpoint = endpoint_at(
        receiver.url,
        payload_format="custom",
        custom_template='{"n": {% if data.order %}oops{% endif %}}',
    )
    publish(organization, order=1)
    run()
    assert only_delivery(endpoint).status == DeliveryStatus.FAILED
    replay = worked(order(endpoint, "failed"))
    assert (replay.status, replay.total, replay.sent) == (ReplayStatus.COMPLETED, 1, 0)
    endpoints.update(endpoint=endpoint, actor=ADA, custom_template='{"n": {{ data.order }}}')
    assert worked(order(endpoint, "failed")).sent == 1
    run()
    assert [arrival.body for arrival in receiver.arrivals] == [b'{"n": 1}']


def test_very_much_is_counted_by_the_worker(organization, endpoint_at, receiver, small_pages):
    many(organization, 30)
    run()
    endpoint = endpoint_at(receiver.url)
    rough = replays.count(chosen(endpoint), at_most=10)
    assert (rough.missing, rough.is_exact) == (10, False)
    replay = order(endpoint)
    Replay.objects.filter(pk=replay.pk).update(total=None, missing=10)
    worked(replay)
    assert (replay.total, replay.missing, replay.sent) == (30, 30, 30)
    run()
    assert len(set(receiver.ids)) == 30
