"""The SETUP.md of a connector as HTML: headings, paragraphs, lists, code, emphasis, links; nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_LINK = re.compile(r"\[([^\]]+)\]\((https://[^\s)]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_STRONG = re.compile(r"\*\*([^*]+)\*\*")
_EMPHASIS = re.compile(r"(?<![*\w])\*([^*\s][^*]*)\*(?!\w)")
_ITEM = re.compile(r"(?:[-*]|\d+\.)\s+(.*)")


def _inline(text: str) -> str:
    text = escape(text)
    text = _CODE.sub(r'<code class="hub-mono">\1</code>', text)
    text = _STRONG.sub(r"<strong>\1</strong>", text)
    text = _EMPHASIS.sub(r"<em>\1</em>", text)
    return _LINK.sub(r'<a class="hub-link" href="\2" target="_blank" rel="noopener noreferrer">\1</a>', text)


def _blocks(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.splitlines()
        if lines[0].startswith("#"):
            level = min(4, len(lines[0]) - len(lines[0].lstrip("#")) + 2)
            yield f"<h{level}>{_inline(lines[0].lstrip('# '))}</h{level}>"
            lines = lines[1:]
        if not lines:
            continue
        if _ITEM.match(lines[0]):
            yield from _list(lines)
        else:
            yield f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>"


def _list(lines: list[str]) -> Iterator[str]:
    tag = "ol" if lines[0][0].isdigit() else "ul"
    items: list[str] = []
    for line in lines:
        found = _ITEM.match(line)
        if found and not line.startswith(" "):
            items.append(found[1])
        elif items:
            items[-1] += " " + line.strip()
    yield f"<{tag}>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + f"</{tag}>"


def render(text: str) -> SafeString:
    """HTML of our own files; everything in them is escaped first."""
    return mark_safe("".join(_blocks(text)))  # noqa: S308 - escaped, then marked up by the patterns above
