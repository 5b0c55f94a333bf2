"""Small charts without a library: an SVG line and HTML bars, made on the server, that obey the theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

TONES = ("a", "b", "c", "d", "e", "f", "good", "bad", "warn", "busy", "quiet")


@dataclass(frozen=True)
class Series:
    """One colour of a bar chart: a name, a value for each bar, and a tone (`good`, `bad`, `a` … `f`)."""

    name: str
    values: tuple[float, ...]
    tone: str = "a"


def sparkline(values: Sequence[float], *, label: str = "", width: int = 120, height: int = 28) -> SafeString:
    """A line without axes: how a number went. `label` is read out and shown on hover."""
    if not values or not any(values):
        return format_html('<span class="hub-muted" title="{}">no activity</span>', label)
    top = max(values) or 1
    step = width / max(1, len(values) - 1)
    points = [
        (round(i * step, 1), round(height - 2 - v / top * (height - 4), 1)) for i, v in enumerate(values)
    ]
    line = " ".join(f"{x},{y}" for x, y in points)
    return format_html(
        '<svg class="hub-spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img"'
        ' aria-label="{label}">'
        '<title>{label}</title><polygon points="0,{h} {line} {w},{h}"></polygon>'
        '<polyline points="{line}"></polyline></svg>',
        w=width,
        h=height,
        line=line,
        label=label or "trend",
    )


def bar_chart(
    labels: Sequence[str], series: Sequence[Series], *, unit: str = "", height: int = 160
) -> SafeString:
    """Stacked bars with a legend; each bar tells its numbers on hover. `labels` name the bars."""
    totals = [sum(s.values[i] for s in series) for i in range(len(labels))]
    top = max(totals, default=0)
    if not top:
        return format_html('<p class="hub-chart-empty">No {} in this time.</p>', unit or "activity")
    every = max(1, -(-len(labels) // _shown(labels)))
    bars = format_html_join(
        "",
        '<div class="hub-bar" title="{}"><div class="hub-stack">{}</div><span>{}</span></div>',
        (
            (
                _told(label, series, i, unit),
                format_html_join(
                    "",
                    '<i class="hub-tone-{}" style="height:{}%"></i>',
                    (
                        (s.tone if s.tone in TONES else "a", round(s.values[i] / top * 100, 2))
                        for s in reversed(series)
                        if s.values[i]
                    ),
                ),
                label if i % every == 0 else "",
            )
            for i, label in enumerate(labels)
        ),
    )
    legend = format_html_join(
        "",
        '<li><i class="hub-tone-{}"></i>{} <b>{}</b></li>',
        ((s.tone if s.tone in TONES else "a", s.name, f"{sum(s.values):,.0f}") for s in series),
    )
    return format_html(
        '<figure class="hub-chart"><div class="hub-bars" style="height:{}px" role="img" aria-label="{}">'
        '<span class="hub-top">{}</span>{}</div><ul class="hub-legend">{}</ul></figure>',
        height,
        f"{sum(totals):,.0f} {unit} in all".replace("  ", " "),
        f"{top:,.0f}",
        bars,
        legend,
    )


def line_chart(
    labels: Sequence[str],
    series: Sequence[tuple[str, Sequence[float | None], str]],
    *,
    unit: str = "",
    height: int = 160,
) -> SafeString:
    """Lines over one axis: (name, values, tone) each; None is a gap. Moments tell their numbers on hover."""
    top = max((value for _, values, _ in series for value in values if value is not None), default=0)
    if not top:
        return format_html('<p class="hub-chart-empty">No {} in this time.</p>', unit or "activity")
    count = max(1, len(labels) - 1)

    def runs(values: Sequence[float | None]) -> list[str]:
        found: list[list[str]] = [[]]
        for i, value in enumerate(values):
            if value is None:
                found.append([])
            else:
                found[-1].append(f"{round(i / count * 600, 1)},{round(150 - value / top * 148, 1)}")
        # A single moment is a short stroke, or it would not be seen.
        return [
            " ".join(
                run if len(run) > 1 else [run[0], f"{float(run[0].split(',')[0]) + 4},{run[0].split(',')[1]}"]
            )
            for run in found
            if run
        ]

    lines = format_html_join(
        "",
        '<polyline class="hub-line-{}" points="{}"></polyline>',
        ((tone if tone in TONES else "a", run) for _, values, tone in series for run in runs(values)),
    )
    every = max(1, -(-len(labels) // _shown(labels)))
    hovers = format_html_join(
        "",
        '<div class="hub-bar" title="{}"><div class="hub-stack"></div><span>{}</span></div>',
        (
            (
                f"{label}: "
                + (
                    ", ".join(f"{n} {v[i]:,.1f} {unit}" for n, v, _ in series if v[i] is not None).strip()
                    or "none"
                ),
                label if i % every == 0 else "",
            )
            for i, label in enumerate(labels)
        ),
    )
    legend = format_html_join(
        "",
        '<li><i class="hub-tone-{}"></i>{}</li>',
        ((tone if tone in TONES else "a", name) for name, _, tone in series),
    )
    return format_html(
        '<figure class="hub-chart"><div class="hub-bars hub-lines" style="height:{}px" role="img"'
        ' aria-label="{}"><span class="hub-top">{} {}</span><svg viewBox="0 0 600 152"'
        ' preserveAspectRatio="none" aria-hidden="true">{}</svg>{}</div>'
        '<ul class="hub-legend">{}</ul></figure>',
        height,
        ", ".join(name for name, _, _ in series),
        f"{top:,.0f}" if top >= 10 else f"{top:,.1f}",
        unit,
        lines,
        hovers,
        legend,
    )


def _shown(labels: Sequence[str]) -> int:
    """How many labels find room below a chart in half a page."""
    return max(2, min(8, 45 // max(map(len, labels), default=1)))


def _told(label: str, series: Sequence[Series], i: int, unit: str) -> str:
    parts = [f"{s.name}: {s.values[i]:,.0f}" for s in series if s.values[i]]
    return f"{label}: " + (", ".join(parts) if parts else "none") + (f" {unit}" if unit and parts else "")


def tracker(cells: Sequence[tuple[str, str]]) -> SafeString:
    """A row of small cells, oldest first, each a tone (good, bad, warn, quiet) and what it tells on hover."""
    if not cells:
        return mark_safe('<span class="hub-muted">no checks yet</span>')
    return format_html(
        '<span class="hub-tracker">{}</span>',
        format_html_join(
            "",
            '<i class="hub-tone-{}" title="{}"></i>',
            ((tone if tone in TONES else "quiet", text) for tone, text in cells),
        ),
    )
