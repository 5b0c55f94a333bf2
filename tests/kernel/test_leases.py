from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from apps.kernel.errors import RaceLost
from apps.kernel.leases import (
    Heartbeat,
    LeaseLost,
    claim,
    fenced_update,
    free,
    holds,
    owner_name,
    release,
    renew,
)
from tests.kernel.sample.models import Chore

pytestmark = pytest.mark.django_db(transaction=True)


def chores(count: int) -> list[Chore]:
    return Chore.objects.bulk_create([Chore(rank=n) for n in range(count)])


def expire(chore: Chore) -> None:
    Chore.objects.filter(pk=chore.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def waited_for(condition: Callable[[], bool], seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work` in threads that start together, each with a connection of its own."""
    barrier = threading.Barrier(count)

    def one(number: int) -> Any:
        try:
            barrier.wait(10)
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def test_a_claim_takes_free_rows_in_order():
    chores(5)
    first = claim(Chore.objects.order_by("rank"), owner="a", seconds=60, limit=2)
    second = claim(Chore.objects.order_by("-rank"), owner="b", seconds=60, limit=2)
    rest = claim(Chore.objects.all(), owner="c", seconds=60, limit=10)

    assert [row.rank for row in first] == [0, 1]
    assert [row.rank for row in second] == [4, 3]
    assert [row.rank for row in rest] == [2]
    assert claim(Chore.objects.all(), owner="d", seconds=60) == []
    assert claim(Chore.objects.all(), owner="d", seconds=60, limit=0) == []


def test_the_row_in_hand_tells_what_the_table_tells():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="me", seconds=90)
    stored = Chore.objects.get()

    assert (row.lease_owner, row.lease_token) == ("me", 1)
    assert (stored.lease_owner, stored.lease_until, stored.lease_token) == ("me", row.lease_until, 1)
    assert row.lease_until is not None
    assert abs(row.lease_until - timezone.now() - timedelta(seconds=90)) < timedelta(seconds=10)
    assert holds(row)


def test_conditions_and_joins_of_the_queryset_hold():
    chores(3)
    rows = claim(Chore.objects.filter(rank__gte=1).order_by("rank"), owner="a", seconds=60, limit=5)

    assert [row.rank for row in rows] == [1, 2]
    assert Chore.objects.filter(free()).get().rank == 0


def test_an_expired_lease_is_taken_over_and_its_owner_is_fenced_off():
    chores(1)
    [mine] = claim(Chore.objects.all(), owner="slow", seconds=60)
    expire(mine)
    assert not holds(mine)
    [theirs] = claim(Chore.objects.all(), owner="quick", seconds=60)

    assert (theirs.lease_token, holds(theirs), holds(mine)) == (2, True, False)
    with pytest.raises(LeaseLost) as caught:
        fenced_update(mine, result="stale")
    assert isinstance(caught.value, RaceLost)
    assert caught.value.code == "lease_lost"
    assert not renew(mine, 60)
    assert not release(mine)
    stored = Chore.objects.get()
    assert (stored.result, stored.lease_owner, mine.result) == ("", "quick", "")
    fenced_update(theirs, result="done")
    assert Chore.objects.get().result == "done"


def test_an_owner_that_claims_again_fences_off_its_own_past():
    chores(1)
    [before] = claim(Chore.objects.all(), owner="same", seconds=60)
    expire(before)
    [now] = claim(Chore.objects.all(), owner="same", seconds=60)

    with pytest.raises(LeaseLost):
        fenced_update(before, result="stale")
    fenced_update(now, result="done")


def test_a_lease_that_ran_out_but_that_nobody_took_is_still_ours():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=60)
    expire(row)
    fenced_update(row, result="late but alone")
    assert renew(row, 60)

    assert holds(row)
    assert Chore.objects.get().result == "late but alone"


def test_a_released_row_is_free_and_no_longer_ours():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=60)
    stale = Chore.objects.get()
    assert release(row)
    assert (row.lease_owner, row.lease_until) == ("", None)
    assert not release(stale)
    for gone in (row, stale):
        with pytest.raises(LeaseLost):
            fenced_update(gone, result="x")

    [again] = claim(Chore.objects.all(), owner="b", seconds=60)
    assert again.lease_token == 2


def test_a_row_that_was_never_claimed_cannot_be_updated_under_a_lease():
    [row] = chores(1)

    with pytest.raises(LeaseLost):
        fenced_update(row, result="x")
    assert not holds(row)
    assert Chore.objects.get().result == ""


def test_a_deleted_row_is_a_lost_lease():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=60)
    Chore.objects.all().delete()

    with pytest.raises(LeaseLost):
        fenced_update(row, result="x")


def test_renewing_moves_the_end():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=1)
    assert renew(row, 600)
    stored = Chore.objects.get()

    assert stored.lease_until is not None
    assert row.lease_until is not None
    assert stored.lease_until > timezone.now() + timedelta(seconds=500)
    assert abs(stored.lease_until - row.lease_until) < timedelta(seconds=5)
    assert stored.lease_token == 1


@pytest.mark.usefixtures("ring_file")
def test_encrypted_fields_are_sealed_in_a_fenced_update():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=60)
    fenced_update(row, secret="s3cr3t", rank=7)

    assert (row.secret, row.rank) == ("s3cr3t", 7)
    assert (Chore.objects.get().secret, Chore.objects.get().rank) == ("s3cr3t", 7)


def test_workers_that_claim_at_once_never_get_the_same_row():
    chores(60)

    def work(number: int) -> list[int]:
        mine: list[int] = []
        while rows := claim(Chore.objects.order_by("rank"), owner=owner_name(), seconds=60, limit=3):
            mine += [row.rank for row in rows]
        return mine

    taken = in_threads(8, work)

    assert sorted(rank for ranks in taken for rank in ranks) == list(range(60))
    assert set(Chore.objects.values_list("lease_token", flat=True)) == {1}


def test_one_row_goes_to_exactly_one_of_many():
    for _ in range(5):
        Chore.objects.all().delete()
        chores(1)
        winners = in_threads(8, lambda n: len(claim(Chore.objects.all(), owner=f"w{n}", seconds=60)))
        assert sorted(winners) == [0] * 7 + [1]


def test_nobody_waits_for_rows_that_another_is_claiming():
    if connection.vendor != "postgresql":  # SQLite has one writer at a time
        return
    chores(2)
    claimed, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            claim(Chore.objects.order_by("rank"), owner="slow", seconds=60)
            claimed.set()
            done.wait(10)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert claimed.wait(10)
    started = time.monotonic()
    rows = claim(Chore.objects.order_by("rank"), owner="quick", seconds=60, limit=2)
    seconds = time.monotonic() - started
    done.set()
    holder.join()

    assert [row.rank for row in rows] == [1]
    assert seconds < 2


def test_owner_names_differ_and_fit_the_column():
    names = {owner_name() for _ in range(100)}

    assert len(names) == 100
    assert max(map(len, names)) <= 64


def test_a_heartbeat_keeps_the_lease_while_the_work_lasts():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=0.6)
    with Heartbeat(row, 0.6) as heartbeat:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert claim(Chore.objects.all(), owner="thief", seconds=60) == []
            heartbeat.check()
            time.sleep(0.05)
        assert not heartbeat.lost
    assert holds(row) or renew(row, 60)
    fenced_update(row, result="done")
    assert Chore.objects.get().result == "done"


def test_a_heartbeat_notices_that_the_lease_is_gone():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=60)
    Chore.objects.update(lease_token=99)
    with Heartbeat(row, 0.15) as heartbeat:
        assert waited_for(lambda: heartbeat.lost)
        with pytest.raises(LeaseLost, match="no longer leased to this worker"):
            heartbeat.check()


def test_a_heartbeat_stops_at_once_with_its_work_and_closes_its_connection():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=3600)
    started = time.monotonic()
    with pytest.raises(ZeroDivisionError), Heartbeat(row, 3600):
        1 / 0  # noqa: B018

    assert time.monotonic() - started < 2
    assert [t.name for t in threading.enumerate() if t.name == "lease-heartbeat"] == []


def test_the_work_may_release_the_row_under_its_heartbeat():
    chores(1)
    [row] = claim(Chore.objects.all(), owner="a", seconds=60)
    with Heartbeat(row, 0.1) as heartbeat:
        release(row)
        assert waited_for(lambda: heartbeat.lost)
    assert Chore.objects.get().lease_owner == ""
