"""The guides of docs/guides as pages and as something to search: Markdown read once per process.

A guide is a file `NN-name.md` whose first line is its title; the number orders it, the name is its address
below /api/docs/. Links to other guides and example addresses of the hub are made to fit where it runs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

EXAMPLE = "https://hub.example.com"
_FILE = re.compile(r"(\d+)-([a-z0-9-]+)\.md")


@dataclass(frozen=True)
class Section:
    """A heading of a guide and the plain text below it."""

    anchor: str
    title: str
    level: int
    text: str


@dataclass(frozen=True)
class Guide:
    name: str
    title: str
    source: str
    html: SafeString
    sections: tuple[Section, ...]

    @property
    def contents(self) -> list[Section]:
        """What the page's own table of contents lists."""
        return [section for section in self.sections if section.level == 2]


def folder() -> Path:
    return Path(settings.BASE_DIR) / "docs" / "guides"


@cache
def guides() -> tuple[Guide, ...]:
    """All guides in their order."""
    files = sorted(path for path in folder().glob("[0-9]*.md") if _FILE.fullmatch(path.name))
    return tuple(_read(path) for path in files)


def guide(name: str) -> Guide | None:
    return next((found for found in guides() if found.name == name), None)


def as_one_text() -> str:
    """All guides as one Markdown text, for the reference."""
    return "\n\n".join(found.source for found in guides())


def _read(path: Path) -> Guide:
    match = _FILE.fullmatch(path.name)
    assert match is not None
    source = path.read_text(encoding="utf-8").strip()
    here = settings.HUB_BASE_URL
    tokens = _markdown().parse(source.replace(EXAMPLE, here))
    sections: list[Section] = []
    title = match[2].replace("-", " ").capitalize()
    body: list[str] = []
    heading: tuple[str, str, int] = ("", title, 1)
    kept = []
    skipping = False
    for number, token in enumerate(tokens):
        if token.type == "heading_open":
            text = _plain(tokens[number + 1])
            level = int(token.tag[1])
            if level == 1:
                title, heading, skipping = text, ("", text, 1), True
            else:
                sections.append(Section(*heading, " ".join(body)))
                anchor = slugify(text)
                token.attrSet("id", anchor)
                heading, body = (anchor, text, level), []
        elif token.type in ("inline", "fence", "code_block") and not skipping:
            body.append(_plain(token))
        if not skipping:  # the page shows the title itself
            kept.append(token)
        if token.type == "heading_close":
            skipping = False
    sections.append(Section(*heading, " ".join(body)))
    made = _markdown().renderer.render(kept, _markdown().options, {})
    # Our own files, rendered without raw HTML.
    return Guide(match[2], title, source, mark_safe(made), tuple(sections))  # noqa: S308


def _plain(token: Any) -> str:
    if token.children:
        return "".join(child.content if child.type != "softbreak" else " " for child in token.children)
    return str(token.content)


@cache
def _markdown() -> MarkdownIt:
    made = MarkdownIt("commonmark", {"html": False, "highlight": _highlight}).enable("table")
    made.add_render_rule("link_open", _link_open)
    return made


def _link_open(self: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    href = str(token.attrs.get("href", ""))
    other = _FILE.fullmatch(href.partition("#")[0])
    if other:
        token.attrSet("href", f"/api/docs/{other[2]}{href[len(other[0]) :]}")
    elif href.startswith("https://") and not href.startswith(settings.HUB_BASE_URL):
        token.attrSet("rel", "noopener noreferrer")
    rendered: str = self.renderToken(tokens, index, options, env)
    return rendered


def _highlight(code: str, language: str, _attributes: str) -> str:
    try:
        lexer = get_lexer_by_name({"sh": "bash"}.get(language, language or "text"))
    except ClassNotFound:
        return str(escape(code))
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True)))


# Searching.


@dataclass(frozen=True)
class Entry:
    """Something that can be found: where it is, what it is called, what it says."""

    url: str
    title: str
    within: str
    text: str
    code: str = ""


@dataclass(frozen=True)
class Hit:
    entry: Entry
    score: int
    snippet: SafeString


def guide_entries() -> list[Entry]:
    found = []
    for one in guides():
        for section in one.sections:
            url = f"/api/docs/{one.name}" + (f"#{section.anchor}" if section.anchor else "")
            found.append(Entry(url, section.title, one.title, section.text))
    return found


def find(text: str, entries: Callable[[], list[Entry]], *, most: int = 40) -> list[Hit]:
    """Entries that have every word of `text` as the beginning of one of theirs, the best first."""
    words = [word for word in re.findall(r"[\w{}/.-]+", text.lower()) if word.strip("/.-")][:8]
    if not words:
        return []
    patterns = [re.compile(rf"(?<![a-z0-9]){re.escape(word.strip('/'))}") for word in words]
    hits = []
    for entry in entries():
        title = f"{entry.title} {entry.code}".lower()
        body = f"{entry.within} {entry.text}".lower()
        score = 0
        for pattern in patterns:
            in_title, in_body = len(pattern.findall(title)), len(pattern.findall(body))
            if not in_title and not in_body:
                break
            score += 12 * bool(in_title) + min(in_body, 5)
        else:
            hits.append(Hit(entry, score, _snippet(entry.text, patterns)))
    return sorted(hits, key=lambda hit: (-hit.score, hit.entry.title))[:most]


def _snippet(text: str, patterns: list[re.Pattern[str]]) -> SafeString:
    """A part of the text around the first word that was found, all found words marked."""
    plain = " ".join(text.split())
    starts = [found.start() for pattern in patterns if (found := pattern.search(plain.lower()))]
    start = max(0, min(starts, default=0) - 60)
    part = plain[start : start + 220]
    marks = sorted({(m.start(), m.end()) for pattern in patterns for m in pattern.finditer(part.lower())})
    pieces, at = [], 0
    for begin, end in marks:
        if begin >= at:
            pieces += [escape(part[at:begin]), "<mark>", escape(part[begin:end]), "</mark>"]
            at = end
    pieces.append(escape(part[at:]))
    more = ("… " if start else "", " …" if len(plain) > start + 220 else "")
    return mark_safe(more[0] + "".join(pieces) + more[1])  # noqa: S308 - escaped piece by piece


__all__ = ["Entry", "Guide", "Hit", "as_one_text", "find", "guide", "guide_entries", "guides"]
