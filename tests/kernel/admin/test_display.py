"""Values on a page: escaped, readable, never more than a screen can take."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from apps.kernel.admin import (
    Series,
    ago,
    badge,
    bar_chart,
    chips,
    definition_list,
    duration,
    email_link,
    json_block,
    link,
    masked,
    mono,
    number,
    size,
    sparkline,
    status_badge,
    text_block,
    tracker,
)
from apps.kernel.admin.progress import Progress, progress_bar

ATTACK = "<script>alert(1)</script>\"'"


@pytest.mark.parametrize(
    "shown",
    [
        badge(ATTACK, ATTACK, title=ATTACK),
        status_badge(ATTACK, ATTACK, title=ATTACK),
        json_block({ATTACK: [ATTACK]}, title=ATTACK),
        text_block(ATTACK, title=ATTACK),
        link("https://example.com/?a=" + ATTACK, ATTACK),
        link(ATTACK, ATTACK),
        email_link(f"a@{ATTACK}"),
        mono(ATTACK, copy=True),
        masked(ATTACK * 3),
        chips([ATTACK]),
        definition_list([(ATTACK, ATTACK)]),
        sparkline([1, 2], label=ATTACK),
        bar_chart([ATTACK], [Series(ATTACK, (1,), ATTACK)], unit=ATTACK),
        tracker([(ATTACK, ATTACK)]),
        progress_bar(Progress(1, 2, True, status=ATTACK, unit=ATTACK, note=ATTACK), f"/x/?{ATTACK}"),
    ],
)
def test_nothing_that_was_stored_becomes_markup(shown: str) -> None:
    assert "<script" not in shown
    assert "alert(1)</script>" not in shown


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "//evil.example", "ftp://x/y"],
)
def test_only_http_and_own_paths_become_links(address: str) -> None:
    assert "<a" not in link(address, "here")
    assert "here" in link(address, "here")


def test_good_addresses_become_links() -> None:
    assert link("https://example.com/a", "A") == '<a class="hub-link" href="https://example.com/a">A</a>'
    assert 'href="/admin/"' in link("/admin/", "Home")
    assert 'rel="noopener noreferrer"' in link("http://example.com", new_tab=True)


def test_json_keeps_its_order_and_its_letters() -> None:
    shown = json_block({"z": "Zoë", "a": [1, None]})

    assert shown.index("&quot;z&quot;") < shown.index("&quot;a&quot;")
    assert "Zoë" in shown
    assert "data-copy-block" in shown


def test_what_is_too_long_is_cut_and_says_so() -> None:
    shown = text_block("x" * 200_001)

    assert "The first 200,000 characters of 200,001." in shown
    assert len(shown) < 201_000


def test_a_secret_shows_its_end_at_most() -> None:
    assert masked("sk_live_0123456789abcdef") == '<code class="hub-mono">••••••••cdef</code>'
    assert masked("short") == '<code class="hub-mono">••••••••</code>'


def test_times_sizes_and_numbers_are_told_in_fitting_units() -> None:
    now = timezone.now()
    assert ">3 minutes ago<" in ago(now - dt.timedelta(seconds=185))
    assert ">in 2 hours<" in ago(now + dt.timedelta(hours=2, minutes=1))
    assert ">just now<" in ago(now)
    assert ago(None) == '<span class="hub-muted">Never</span>'
    assert [duration(s) for s in (0.34, 12.4, 200, 7500, None)] == [
        "340 ms",
        "12.4 s",
        "3 min 20 s",
        "2 h 05 min",
        "–",
    ]
    assert [size(n) for n in (0, 1023, 1536, 5 * 1024**3)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert number(1234567) == "1,234,567"


def test_a_status_has_its_colour_and_its_words() -> None:
    assert "hub-bad" in status_badge("failed")
    assert ">Partially completed<" in status_badge("partially_completed").replace("</i>", ">")
    assert "hub-quiet" in status_badge("something_new")
    assert "Never" in status_badge("")


def test_progress_tells_rate_and_remaining_time() -> None:
    progress = Progress(
        done=400,
        total=1000,
        active=True,
        started_at=timezone.now() - dt.timedelta(seconds=10),
        note="3 rows failed",
    )

    told = progress.as_json()
    assert (told["percent"], told["text"], told["note"], told["active"]) == (
        40.0,
        "400 of 1,000 rows",
        "3 rows failed",
        True,
    )
    assert told["pace"] in ("40 rows/s · about 15 seconds left", "40 rows/s · about 14 seconds left")
    bar = progress_bar(progress, "/admin/x/progress/", reload=True)
    assert 'data-progress-url="/admin/x/progress/"' in bar
    assert " data-reload" in bar


def test_progress_of_unknown_length_and_of_finished_work() -> None:
    unknown = Progress(done=400, total=None, active=True)
    assert unknown.percent is None
    assert "hub-unknown" in progress_bar(unknown, "/p/")

    done = Progress(done=0, total=0, active=False, status="completed")
    assert done.percent == 100.0
    assert "data-progress-url" not in progress_bar(done, "/p/")
    assert "not started" in progress_bar(None)


def test_a_chart_without_anything_says_so() -> None:
    assert "No syncs in this time." in bar_chart(["Mon"], [Series("ok", (0,))], unit="syncs")
    shown = bar_chart(["Mon", "Tue"], [Series("ok", (1, 3), "good"), Series("failed", (1, 0), "bad")])
    assert 'title="Mon: ok: 1, failed: 1"' in shown
    assert "height:75.0%" not in shown
    assert "height:100.0%" in shown
