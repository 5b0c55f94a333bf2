"""How the API does: its endpoints by time, and what the numbers advise. Computed when asked, never stored.

A recommendation appears when the numbers of the span bear it out and is gone when they no longer do. Each
rests on a minimum of calls, tells its measure and the bound that the measure passed, and names what to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Max

from apps.apikeys.models import RequestLog
from apps.apikeys.models.usage import Grain, Level
from apps.apikeys.usage import selectors
from apps.apikeys.usage.counting import NOWHERE
from apps.apikeys.usage.numbers import Numbers
from apps.apikeys.usage.selectors import EVERYTHING, Group, Span
from apps.tenants.models import Organization

WEEK = timedelta(days=7)
ENOUGH = 100  # calls below which nothing is advised
FAILING = 1.0  # percent of answers 5xx
SLOW_MS = 1000.0  # p95
MANY_STATEMENTS = 30.0  # a call
LARGE_BYTES = 500_000  # an answer
HOT_SHARE, HOT_SECONDS = 50.0, 60.0  # percent of all the API's time, and at least so much of it
SLOWER_TIMES, SLOWER_MS = 1.5, 50.0  # than the same span a week before
LIMITED = 10.0  # percent of a caller's calls
REJECTED = 20.0  # percent of a caller's calls answered 4xx, without those that a limit stopped
EXAMPLES = 3

SEVERITIES = ("high", "medium", "low")
CODES = (
    "server-errors", "slow", "slower-than-before", "many-statements", "large-answers", "hot-endpoint",
    "limited", "rejected-calls",
)  # fmt: skip
ORDERINGS = ("-time", "-p50", "-p95", "-p99", "-requests", "-errors", "-statements", "endpoint")


@dataclass(frozen=True, slots=True)
class Measure:
    """What was measured, and the bound that it passed."""

    name: str
    value: float
    bound: float
    unit: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One finding. `share` is how much of the span it is about, in percent of `share_of`."""

    code: str
    severity: str
    title: str
    detail: str
    action: str
    endpoint: str
    caller: str
    sample: int
    measure: Measure
    share: float
    share_of: str
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Advice:
    span: Span
    sample: int
    recommendations: list[Recommendation]


def endpoints(organization: Organization, span: Span) -> list[Group]:
    """Every endpoint that was called, with its numbers. One statement."""
    return _groups(organization, span, Level.ENDPOINT, "method", "route")


def callers(organization: Organization, span: Span) -> list[Group]:
    """Everybody who called, unnamed. One statement."""
    return _groups(organization, span, Level.SUBJECT, "subject_kind", "subject_id")


def _groups(organization: Organization, span: Span, level: Level, *columns: str) -> list[Group]:
    found: dict[tuple[str, ...], Group] = {}
    rows = selectors.summed(
        selectors.buckets(organization, span, level, EVERYTHING), *columns, "status_class"
    )
    for row in rows.annotate(last=Max("last_at")):
        key = tuple(row[name] for name in columns)
        group = found.setdefault(key, Group(key, " ".join(key), Numbers()))
        group.numbers.add(row)
        group.last_at = max(group.last_at or row["last"], row["last"])
    return sorted(found.values(), key=lambda group: group.key)


def total(groups: Iterable[Group]) -> Numbers:
    found = Numbers()
    for group in groups:
        found.merge(group.numbers)
    return found


def ordered(groups: Iterable[Group], ordering: str) -> list[Group]:
    """Sorted by one of ORDERINGS; equal ones by name."""
    if ordering == "endpoint":
        return sorted(groups, key=lambda group: (group.key[1], group.key[0]))
    return sorted(groups, key=lambda group: (-_worth(group.numbers, ordering[1:]), group.key))


def _worth(numbers: Numbers, name: str) -> float:
    if name == "time":
        return numbers.time_us
    if name == "requests":
        return numbers.count
    if name == "errors":
        return numbers.errors
    if name == "statements":
        return numbers.statements_per_call or 0.0
    return numbers.percentile(float(f"0.{name[1:]}")) or 0.0


def slowest(groups: Iterable[Group], limit: int = 5) -> list[Group]:
    """Those that keep their callers waiting longest, by p95."""
    return ordered((group for group in groups if group.key[1] != NOWHERE), "-p95")[:limit]


def before(span: Span, distance: timedelta) -> Span:
    """A span of the same length, so much earlier."""
    return Span(span.start - distance, span.end - distance, span.grain)


def advise(organization: Organization, span: Span) -> Advice:
    """What the numbers of the span advise, the gravest first. At most seven statements."""
    now = endpoints(organization, span)
    weeks = max(1, -(-(span.end - span.start) // WEEK))  # back to the same days of the week, without overlap
    earlier = {}
    if span.grain != Grain.MINUTES:  # five minutes of a week ago are not kept
        earlier = {group.key: group.numbers for group in endpoints(organization, before(span, weeks * WEEK))}
    everything = total(now)
    found = [
        *_about_endpoints(now, earlier, "a week" if weeks == 1 else f"{weeks} weeks", everything),
        *_about_callers(callers(organization, span), everything),
    ]
    found.sort(key=lambda one: (SEVERITIES.index(one.severity), -one.share, one.code))
    return Advice(span, everything.count, _with_examples(organization, span, found))


# --- endpoints


def _about_endpoints(
    groups: list[Group], earlier: dict[tuple[str, ...], Numbers], weeks: str, everything: Numbers
) -> Iterator[Recommendation]:
    for group in groups:
        if group.numbers.count >= ENOUGH and group.key[1] != NOWHERE:
            yield from _failing(group, everything)
            yield from _slow(group, everything)
            yield from _slower(group, earlier.get(group.key), weeks, everything)
            yield from _statements(group, everything)
            yield from _large(group, everything)
            yield from _hot(group, everything)


def _failing(group: Group, everything: Numbers) -> Iterator[Recommendation]:
    numbers = group.numbers
    rate = _percent(numbers.failures, numbers.count)
    if rate < FAILING:
        return
    yield _of_endpoint(
        group, "server-errors", "high", f"{group.label} fails",
        f"{numbers.failures} of {numbers.count} calls were answered 5xx ({rate} %).",
        "The fault is the hub's, not the caller's. Look up the examples' request ids in the hub's "
        "log, where the error stands with its traceback, and in “System” whether the database or Redis "
        "was away.",
        Measure("server_error_rate", rate, FAILING, "percent"),
        _percent(numbers.failures, everything.failures), "server errors",
    )  # fmt: skip


def _slow(group: Group, everything: Numbers) -> Iterator[Recommendation]:
    numbers = group.numbers
    p95 = numbers.percentile(0.95) or 0.0
    if p95 < SLOW_MS:
        return
    share = numbers.database_share or 0.0
    if share >= 60:
        action = (
            f"{share:.0f} % of its time went to the database. Ask for less at once (`limit`), filter "
            "by fields that are indexed, and look at the database's slow statements."
        )
    else:
        action = (
            f"Only {share:.0f} % of its time went to the database: the rest is the hub's own work or "
            "waiting for another system. Ask for fewer `fields`, and move bulk work to an import, an "
            "export or a webhook."
        )
    yield _of_endpoint(
        group, "slow", "medium", f"{group.label} is slow",
        f"One call in twenty took {p95:.0f} ms or longer (median {numbers.percentile(0.5):.0f} ms, "
        f"{numbers.count} calls).",
        action, Measure("p95", p95, SLOW_MS, "ms"),
        _percent(numbers.time_us, everything.time_us), "time",
    )  # fmt: skip


def _slower(
    group: Group, earlier: Numbers | None, weeks: str, everything: Numbers
) -> Iterator[Recommendation]:
    if earlier is None or earlier.count < ENOUGH:
        return
    now, was = group.numbers.percentile(0.95) or 0.0, earlier.percentile(0.95) or 0.0
    bound = round(max(was * SLOWER_TIMES, was + SLOWER_MS), 2)
    if now < bound:
        return
    more = group.numbers.count / earlier.count
    reason = (
        f"It is called {more:.1f} times as often: look at its callers in “API usage” first."
        if more >= 2
        else "It is not called much more often: compare with what was changed in that time (a new "
        "version of the hub, many more rows, other filters)."
    )
    yield _of_endpoint(
        group, "slower-than-before", "medium", f"{group.label} became slower",
        f"Its p95 went from {was:.0f} to {now:.0f} ms since the same time {weeks} before "
        f"({earlier.count} calls then, {group.numbers.count} now).",
        reason, Measure("p95", now, bound, "ms"),
        _percent(group.numbers.time_us, everything.time_us), "time",
    )  # fmt: skip


def _statements(group: Group, everything: Numbers) -> Iterator[Recommendation]:
    each = group.numbers.statements_per_call or 0.0
    if each < MANY_STATEMENTS:
        return
    yield _of_endpoint(
        group, "many-statements", "low", f"{group.label} asks the database often",
        f"A call made {each:.0f} SQL statements on average ({group.numbers.count} calls), which took "
        f"{group.numbers.database_share or 0:.0f} % of its time.",
        "So many are usually one statement for each row. Ask for fewer rows at once (`limit`), send "
        "rows in one bulk write instead of one by one, and report it to the hub's developers with these "
        "numbers.",
        Measure("statements_per_call", each, MANY_STATEMENTS, "statements"),
        _percent(group.numbers.statements, everything.statements), "statements",
    )  # fmt: skip


def _large(group: Group, everything: Numbers) -> Iterator[Recommendation]:
    each = round(group.numbers.bytes_out / group.numbers.count)
    if each < LARGE_BYTES:
        return
    yield _of_endpoint(
        group, "large-answers", "low", f"{group.label} sends large answers",
        f"An answer had {each} bytes on average ({group.numbers.count} calls).",
        "Ask for the fields that are needed (`fields`) and smaller pages (`limit`), and take whole "
        "datasets as an export.",
        Measure("bytes_per_answer", each, LARGE_BYTES, "bytes"),
        _percent(group.numbers.bytes_out, everything.bytes_out), "bytes sent",
    )  # fmt: skip


def _hot(group: Group, everything: Numbers) -> Iterator[Recommendation]:
    share = _percent(group.numbers.time_us, everything.time_us)
    if share < HOT_SHARE or group.numbers.time_us < HOT_SECONDS * 1_000_000:
        return
    action = (
        "Whatever makes it cheaper pays most. A caller that asks again and again whether something "
        "changed is better served by a webhook, or by `If-None-Match` with the last ETag."
        if group.key[0] == "GET"
        else "Whatever makes it cheaper pays most. Many single writes cost less as one bulk write."
    )
    yield _of_endpoint(
        group, "hot-endpoint", "low", f"{group.label} takes most of the API's time",
        f"{group.numbers.count} calls took {group.numbers.time_us / 1_000_000:.0f} s, {share} % of all.",
        action, Measure("share_of_time", share, HOT_SHARE, "percent"), share, "time",
    )  # fmt: skip


def _of_endpoint(
    group: Group, code: str, severity: str, title: str, detail: str, action: str, measure: Measure,
    share: float, share_of: str,
) -> Recommendation:  # fmt: skip
    return Recommendation(
        code, severity, title, detail, action, group.label, "", group.numbers.count, measure, share, share_of
    )


# --- callers


def _about_callers(groups: list[Group], everything: Numbers) -> list[Recommendation]:
    found: list[tuple[Group, str, Measure, int]] = []
    for group in groups:
        numbers = group.numbers
        if numbers.count < ENOUGH:
            continue
        limited = _percent(numbers.limited, numbers.count)
        if limited >= LIMITED:
            found.append(
                (group, "limited", Measure("limited_rate", limited, LIMITED, "percent"), numbers.limited)
            )
        wrong = numbers.errors - numbers.failures - numbers.limited
        rejected = _percent(wrong, numbers.count)
        if rejected >= REJECTED:
            measure = Measure("client_error_rate", rejected, REJECTED, "percent")
            found.append((group, "rejected-calls", measure, wrong))
    names = selectors.labels([(group.key[0], group.key[1]) for group, *_ in found])
    return [_of_caller(*one, names, everything) for one in found]


def _of_caller(
    group: Group,
    code: str,
    measure: Measure,
    hit: int,
    names: dict[tuple[str, str], str],
    everything: Numbers,
) -> Recommendation:
    caller = names[group.key[0], group.key[1]]
    calls = group.numbers.count
    if code == "limited":
        title = f"{caller} is stopped by its limits"
        detail = f"{hit} of {calls} calls were answered 429 ({measure.value} %)."
        action = (
            "Have the program wait as `Retry-After` says before it tries again. If it needs that "
            "many calls, give it a higher limit (`PUT security/rate-limits/{keyId}`, or “Limits” in the "
            "admin)."
        )
        share, share_of = _percent(hit, everything.limited), "limited calls"
    else:
        title = f"{caller} sends calls that are refused"
        detail = f"{hit} of {calls} calls were answered 4xx ({measure.value} %), limits not counted."
        action = (
            "The program asks for what is not there, not allowed or not valid. The request log shows "
            "which calls and the code of each answer; tell whoever maintains the program."
        )
        share, share_of = _percent(hit, everything.errors), "errors"
    return Recommendation(code, "medium", title, detail, action, "", caller, calls, measure, share, share_of)


# --- evidence


def _with_examples(
    organization: Organization, span: Span, found: list[Recommendation]
) -> list[Recommendation]:
    """The last failed requests of the span beside what is said about failures."""
    failing = {one.endpoint for one in found if one.code == "server-errors"}
    if not failing:
        return found
    ids: dict[str, list[str]] = {}
    rows = RequestLog.objects.filter(
        organization=organization, status__gte=500, at__gte=span.start, at__lt=span.end
    ).order_by("-id")
    for method, route, request_id in rows.values_list("method", "route", "request_id")[:500]:
        mine = ids.setdefault(f"{method} {route}", [])
        if len(mine) < EXAMPLES:
            mine.append(request_id)
    for one in found:
        if one.code == "server-errors":
            one.examples.extend(ids.get(one.endpoint, ()))
    return found


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0
