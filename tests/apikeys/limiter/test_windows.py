"""Never more than N in any window, whichever way it is counted, and how much less at most."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apps.apikeys.limiter import plans
from apps.apikeys.limiter.local import LocalStore
from apps.apikeys.limiter.plans import BUCKET, BUCKETS, SECOND, Counter, Plan, Verdict
from apps.apikeys.limiter.remote import RedisStore

Check = Callable[..., Verdict]


class Clock:
    """Microseconds that pass when told. Begins at a time like Redis's own."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_123_456

    def __call__(self) -> int:
        return self.now


class Counting:
    """A store and its clock, under counters that nobody else uses."""

    def __init__(self, kind: str) -> None:
        self.clock = Clock()
        self.key = f"test-{secrets.token_hex(8)}"
        self.local = LocalStore(self.clock) if kind == "local" else None
        self.redis = (
            RedisStore(settings.LIMITS_REDIS_URL, prefix=self.key, timeout=5, clock=self.clock)
            if kind == "redis"
            else None
        )

    def check(self, plan: Plan, *, take: bool = True) -> Verdict:
        if self.local is not None:
            return self.local.check(plan, take=take)
        assert self.redis is not None
        return self.redis.check(plan, take=take)[0]


KINDS = ["local", *(["redis"] if settings.LIMITS_REDIS_URL else [])]


@pytest.fixture(params=KINDS)
def counting(request: Any) -> Counting:
    return Counting(request.param)


def bucketed(name: str, key: str, limit: int, seconds: int) -> Counter:
    """A window counted in buckets, although its limit is small."""
    length = seconds * SECOND
    return Counter(name, f"{key}:B", BUCKET, limit, length, -(-length // BUCKETS))


def most_in_any(passes: list[int], length: int) -> int:
    """The most passes in any half-open window; one that begins with a pass is the fullest."""
    most, last = 0, 0
    for first, begin in enumerate(passes):
        while last < len(passes) and passes[last] < begin + length:
            last += 1
        most = max(most, last - first)
    return most


# Steps of time from nothing over the edges of buckets and windows to long silence, in microseconds.
STEPS = st.lists(
    st.one_of(
        st.integers(0, 3),
        st.integers(0, 10 * SECOND // BUCKETS * 3),
        st.integers(0, 12 * SECOND),
        st.sampled_from([10 * SECOND - 1, 10 * SECOND, 10 * SECOND + 1, 10 * SECOND // BUCKETS]),
    ),
    min_size=1,
    max_size=120,
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [plans.window, bucketed])
@given(limit=st.integers(1, 12), steps=STEPS)
@hypothesis_settings(max_examples=60)
def test_against_a_reference_log(kind: str, make: Any, limit: int, steps: list[int]) -> None:
    """At most N pass in any window; and who is refused had N passes within a window and one bucket."""
    counting = Counting(kind)
    length = 10 * SECOND
    counter = make("w", counting.key, limit, 10)
    plan = plans.plan([counter])
    slack = counter.grain if counter.kind == BUCKET else 0
    passes: list[int] = []
    moments: list[int] = []
    begin = counting.clock.now
    for step in steps:
        counting.clock.now += step
        now = counting.clock.now
        verdict = counting.check(plan)
        (standing,) = verdict.standings
        if verdict.passed:
            passes.append(now)
        else:
            assert sum(1 for at in passes if at > now - length - slack) >= limit
            assert standing.remaining == 0
            assert 0 < standing.wait <= length + slack
        counted = sum(1 for at in passes if at > now - length)
        assert standing.remaining <= limit - counted
        if not verdict.passed and step % 2:
            # What it says is true: just before it would be refused, then it would pass.
            counting.clock.now += standing.wait - 1
            assert not counting.check(plan, take=False).passed
            counting.clock.now += 1
            assert counting.check(plan, take=False).passed
        moments.append(counting.clock.now - now)
    assert most_in_any(passes, length) <= limit
    if not slack:
        # The log is the reference itself.
        expected: list[int] = []
        now = begin
        for step, waited in zip(steps, moments, strict=True):
            now += step
            if sum(1 for at in expected if at > now - length) < limit:
                expected.append(now)
            now += waited
        assert passes == expected


@pytest.mark.parametrize("kind", KINDS)
@given(limit=st.integers(1, 8), pace=st.integers(1, 5), steps=STEPS)
@hypothesis_settings(max_examples=60)
def test_a_burst_is_regained_steadily(kind: str, limit: int, pace: int, steps: list[int]) -> None:
    """In any time at most the burst and what is regained in it; who waits as told gets in."""
    counting = Counting(kind)
    plan = plans.plan([plans.burst("burst", counting.key, limit, pace)])
    passes: list[int] = []
    for step in steps:
        counting.clock.now += step
        verdict = counting.check(plan)
        (standing,) = verdict.standings
        if verdict.passed:
            passes.append(counting.clock.now)
        else:
            assert 0 < standing.wait <= pace * SECOND
            if step % 2:
                counting.clock.now += standing.wait - 1
                assert not counting.check(plan, take=False).passed
                counting.clock.now += 1
                assert counting.check(plan, take=False).passed
    for first, begin in enumerate(passes):
        for count, end in enumerate(passes[first:], start=1):
            assert count <= limit + (end - begin) // (pace * SECOND)


def test_taking_every_place_at_once_gets_all_but_a_hundredth(counting: Counting) -> None:
    """The least that buckets allow: N in a window and one bucket, which is 100/101 of what was allowed."""
    plan = plans.plan([bucketed("w", counting.key, 5, 10)])
    taken, begin = 0, counting.clock.now
    while counting.clock.now < begin + 1010 * SECOND:
        verdict = counting.check(plan)
        if verdict.passed:
            taken += 1
        else:
            counting.clock.now += verdict.standings[0].wait
    assert taken >= 5 * 1010 // 10 * BUCKETS // (BUCKETS + 1)


def test_the_edge_of_a_window_lets_nobody_through_twice(counting: Counting) -> None:
    plan = plans.plan([plans.window("minute", counting.key, 100, 60)])
    for offset in (0, 59 * SECOND, 60 * SECOND - 1):
        counting.clock.now += offset - (counting.clock.now - 1_790_000_000_123_456)
        for _ in range(150):
            counting.check(plan)
    assert not counting.check(plan).passed
    counting.clock.now += 1
    passed = sum(counting.check(plan).passed for _ in range(300))
    assert passed == 100


def test_a_refusal_consumes_nothing(counting: Counting) -> None:
    narrow = plans.window("minute", f"{counting.key}:narrow", 2, 60)
    wide = plans.window("hour", f"{counting.key}:wide", 5000, 3600)
    day = plans.window("day", f"{counting.key}:day", 50, 86_400)
    some = plans.burst("burst", f"{counting.key}:burst", 10, 1)
    both = plans.plan([narrow, wide, day, some])
    verdicts = [counting.check(both) for _ in range(20)]
    assert [verdict.passed for verdict in verdicts] == [True] * 2 + [False] * 18
    assert [counter.name for counter in verdicts[-1].violated] == ["minute"]
    left = counting.check(plans.plan([wide, day, some]), take=False).standings
    assert [standing.remaining for standing in left] == [4998, 48, 8]


def test_looking_counts_nothing_and_says_what_is_left(counting: Counting) -> None:
    plan = plans.plan(
        [
            plans.window("minute", f"{counting.key}:m", 3, 60),
            plans.window("hour", f"{counting.key}:h", 2000, 3600),
            plans.burst("burst", f"{counting.key}:b", 3, 2),
        ]
    )
    for _ in range(5):
        look = counting.check(plan, take=False)
        assert look.passed
        assert [standing.remaining for standing in look.standings] == [3, 2000, 3]
    assert [standing.remaining for standing in counting.check(plan).standings] == [2, 1999, 2]


def test_a_lowered_limit_holds_at_once_and_says_when_it_ends(counting: Counting) -> None:
    for make in (plans.window, bucketed):
        wide = plans.plan([make("minute", f"{counting.key}{make.__name__}", 10, 60)])
        narrow = plans.plan([make("minute", f"{counting.key}{make.__name__}", 4, 60)])
        begin = counting.clock.now
        for _ in range(10):
            counting.check(wide)
            counting.clock.now += SECOND
        verdict = counting.check(narrow)
        assert not verdict.passed
        counting.clock.now += verdict.standings[0].wait - 1
        assert not counting.check(narrow, take=False).passed
        counting.clock.now += 1
        assert counting.check(narrow, take=False).passed
        assert counting.clock.now >= begin + 66 * SECOND


def test_large_numbers_need_no_large_memory(counting: Counting) -> None:
    """Ten thousand a day are counted in at most a hundred and one buckets."""
    plan = plans.plan([plans.window("day", counting.key, 10_000, 86_400)])
    for _ in range(300):
        assert counting.check(plan).passed
        counting.clock.now += 400 * SECOND
    if counting.local is not None:
        (cell,) = counting.local._cells.values()
        assert len(cell.buckets) <= BUCKETS + 1  # type: ignore[union-attr]
    else:
        assert counting.redis is not None
        home = f"{counting.key}:limits:{plan.counters[0].key}"
        assert counting.redis._command("LLEN", f"{home}:list") <= 2 * BUCKETS
        for name in (home, f"{home}:list"):
            # It outlives what counts, and not by much.
            assert 86_400_000 < counting.redis._command("PTTL", name) < 1.2 * 86_400_000


def test_counters_without_counts_are_forgotten() -> None:
    clock = Clock()
    store = LocalStore(clock)
    for n in range(100):
        store.check(plans.plan([plans.window("minute", f"k{n}", 5, 60)]))
    clock.now += 120 * SECOND
    store.check(plans.plan([plans.window("minute", "another", 5, 60)]))
    assert list(store._cells) == ["another:L"]


def test_headers_say_what_the_draft_wants() -> None:
    clock = Clock()
    store = LocalStore(clock)
    plan = plans.plan([plans.window("minute", "m", 60, 60), plans.window("day", "d", 10_000, 86_400)])
    assert plan.policy == '"minute";q=60;w=60, "day";q=10000;w=86400'
    verdict = store.check(plan)
    clock.now += 29 * SECOND + 1
    verdict = store.check(plan)
    assert verdict.limit_header().startswith('"minute";r=58;t=31, "day";r=9998;t=')
    for _ in range(70):
        verdict = store.check(plan)
    assert not verdict.passed
    assert verdict.retry_after == 31
    assert '"minute";r=0;t=31' in verdict.limit_header()
