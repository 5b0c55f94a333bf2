"""How values are shown: escaped, readable, and never more than a screen can take."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

EMPTY = mark_safe('<span class="hub-muted">–</span>')
SAFE_SCHEMES = ("http", "https")
JSON_LIMIT = 200_000


def empty() -> SafeString:
    """What stands where there is nothing."""
    return EMPTY


def muted(text: object) -> SafeString:
    return format_html('<span class="hub-muted">{}</span>', text)


def mono(text: object, *, copy: bool = False) -> SafeString:
    """Text in a fixed-width face; with a copy button if asked."""
    if text in (None, ""):
        return EMPTY
    if not copy:
        return format_html('<code class="hub-mono">{}</code>', text)
    return format_html(
        '<span class="hub-copyable"><code class="hub-mono">{0}</code>'
        '<button type="button" class="hub-copy" data-copy="{0}" title="Copy" aria-label="Copy">'
        '<span class="material-symbols-outlined">content_copy</span></button></span>',
        text,
    )


def json_block(value: Any, *, title: str = "") -> SafeString:
    """A JSON value on several lines, in the order it was stored, escaped, in UTF-8, with a copy button."""
    if value is None or value == "":
        return EMPTY
    text = json.dumps(value, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder, default=str)
    return text_block(text, title=title or "JSON", css="hub-json")


def text_block(text: str, *, title: str = "", css: str = "") -> SafeString:
    """Text as it is, in a box with a copy button; what is beyond 200,000 characters is left out, visibly."""
    if not text:
        return EMPTY
    cut = text[:JSON_LIMIT]
    note = format_html(
        '<p class="hub-muted">The first {} characters of {}.</p>', f"{JSON_LIMIT:,}", f"{len(text):,}"
    )
    return format_html(
        '<figure class="hub-code"><figcaption><span>{}</span>'
        '<button type="button" class="hub-copy" data-copy-block title="Copy">'
        '<span class="material-symbols-outlined">content_copy</span> Copy</button></figcaption>'
        '<pre class="{}" tabindex="0">{}</pre>{}</figure>',
        title,
        css,
        cut,
        note if len(text) > JSON_LIMIT else "",
    )


def safe_url(url: str) -> str:
    """`url` if it is http, https or a path of this site; otherwise nothing."""
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return ""
    if parts.scheme in SAFE_SCHEMES and parts.netloc:
        return url.strip()
    if not parts.scheme and not parts.netloc and url.startswith("/") and not url.startswith("//"):
        return url
    return ""


def link(url: str, text: object = "", *, new_tab: bool = False) -> SafeString:
    """A link, if the address is http, https or a path of this site; plain text for any other."""
    good = safe_url(url or "")
    if not good:
        return format_html("{}", text or url) if (text or url) else EMPTY
    outside = mark_safe(' target="_blank" rel="noopener noreferrer"') if new_tab else ""
    return format_html('<a class="hub-link" href="{}"{}>{}</a>', good, outside, text or url)


def email_link(address: str) -> SafeString:
    if not address:
        return EMPTY
    if "@" not in address or any(c in address for c in '"<>?&\n\r '):
        return format_html("{}", address)
    return format_html('<a class="hub-link" href="mailto:{0}">{0}</a>', address)


def chips(values: Iterable[object]) -> SafeString:
    """Several short words, each in a box of its own."""
    out = format_html_join(" ", '<span class="hub-chip">{}</span>', ((value,) for value in values))
    return format_html('<span class="hub-chips">{}</span>', out) if out else EMPTY


def masked(text: str, *, keep: int = 4) -> SafeString:
    """A secret's last characters, so that one knows which it is; short ones wholly as dots."""
    if not text:
        return EMPTY
    shown = text[-keep:] if len(text) >= keep * 4 else ""
    return format_html('<code class="hub-mono">••••••••{}</code>', shown)


# --- time, size, numbers


def since_text(seconds: float) -> str:
    """`3 minutes`, in the largest unit that fits."""
    seconds = abs(seconds)
    for size, name in (
        (86400 * 365, "year"),
        (86400 * 30, "month"),
        (86400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ):
        if seconds >= size:
            n = int(seconds // size)
            return f"{n} {name}{'s' if n != 1 else ''}"
    n = int(seconds)
    return f"{n} second{'s' if n != 1 else ''}"


def ago(when: datetime.datetime | None, *, never: str = "Never") -> SafeString:
    """“3 minutes ago” or “in 2 hours”, with the exact time on hover; kept current by hub.js."""
    if when is None:
        return muted(never)
    delta = (timezone.now() - when).total_seconds()
    text = (
        "just now"
        if abs(delta) < 5
        else f"{since_text(delta)} ago"
        if delta >= 0
        else f"in {since_text(delta)}"
    )
    return format_html(
        '<time class="hub-ago" datetime="{}" title="{}">{}</time>', when.isoformat(), exact(when), text
    )


def exact(when: datetime.datetime) -> str:
    """A time to the second in the current zone, with the zone's name."""
    local = timezone.localtime(when)
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"


def within(name: str) -> str:
    """A name in the middle of a sentence: “GPS positions” keeps its capitals, “Clients” does not."""
    return " ".join(word if word.isupper() else word.lower() for word in name.split(" "))


def duration(seconds: float | datetime.timedelta | None) -> str:
    """`340 ms`, `12.4 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return "–"
    value = seconds.total_seconds() if isinstance(seconds, datetime.timedelta) else float(seconds)
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.1f} s"
    if value < 3600:
        return f"{int(value // 60)} min {int(value % 60)} s"
    return f"{int(value // 3600)} h {int(value % 3600 // 60):02d} min"


def milliseconds(value: float | None) -> str:
    return "–" if value is None else duration(value / 1000)


def size(count: int | None) -> str:
    """Bytes in binary units: `1.5 MiB`."""
    if count is None:
        return "–"
    if count < 1024:
        return f"{count} B"
    power = min(int(math.log(count, 1024)), 5)
    return f"{count / 1024**power:.1f} {('B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB')[power]}"


def number(value: float | None) -> str:
    """With thousands separators; whole numbers without a fraction."""
    if value is None:
        return "–"
    return (
        f"{value:,}"
        if isinstance(value, int)
        else formats.number_format(value, use_l10n=True, force_grouping=True)
    )


def definition_list(pairs: Sequence[tuple[str, object]]) -> SafeString:
    """Names and values, one pair a line."""
    return format_html(
        '<dl class="hub-facts">{}</dl>',
        format_html_join("", "<dt>{}</dt><dd>{}</dd>", ((k, v) for k, v in pairs)),
    )
