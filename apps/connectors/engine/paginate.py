"""Ways through many pages: strategies that a stream picks by `paginate.kind`.

A position is a small JSON value that says where the next request starts; it is part of the checkpoint, so a
killed run continues there. It never holds a credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import urlencode, urljoin

from apps.connectors.engine.errors import ConfigurationError
from apps.connectors.engine.http import Request, Response, origin, split_query, without_query
from apps.connectors.engine.paths import search

Position = dict[str, Any]
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a paginator looks at to find the next page."""

    request: Request
    response: Response
    body: Any
    rows: Sequence[Any]


class Paginator(Protocol):
    """`options` are the stream's `paginate` block, checked against `schema` (properties) and `required`."""

    kind: str
    schema: Mapping[str, Any]
    required: tuple[str, ...]

    def start(self, options: Options) -> Position:
        """Where the first page is."""

    def place(self, request: Request, options: Options, position: Position) -> Request:
        """The request for the page at `position`."""

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        """Where the next page is, or None if this was the last."""


_PARAM = {"type": "string", "minLength": 1, "maxLength": 100}
_PATH = {"type": "string", "minLength": 1, "format": "jmespath"}
_SIZE = {"type": "integer", "minimum": 1, "maximum": 100_000}
_IN = {"enum": ["query", "body"], "default": "query"}
_STOP = {
    "type": "array",
    "items": {"enum": ["empty_page", "short_page", "repeat_page"]},
    "uniqueItems": True,
}


def _put(request: Request, options: Options, name: str, value: Any) -> Request:
    if options.get("in") == "body":
        return request.with_json(name, value)
    return request.with_param(name, str(value))


def _with_size(request: Request, options: Options) -> Request:
    if options.get("size_param") and options.get("size"):
        return _put(request, options, options["size_param"], options["size"])
    return request


def _count(path: str | None, body: Any) -> int | None:
    value = search(path, body) if path else None
    try:
        return None if value is None or isinstance(value, bool) else int(value)
    except (TypeError, ValueError):
        return None


def _is_over(options: Options, answer: Answer) -> bool:
    """The stop rules that page and offset share: what the answer says, else an empty or a short page."""
    more = search(options["more_path"], answer.body) if options.get("more_path") else None
    if more is not None and options.get("more_path"):
        return more in (False, "false", "False", 0, "0", "")
    if not answer.rows:
        return True
    size = options.get("size")
    return bool(size and "short_page" in options.get("stop", ()) and len(answer.rows) < size)


class Single:
    """One answer holds everything."""

    kind = "none"
    schema: Mapping[str, Any] = {}
    required: tuple[str, ...] = ()

    def start(self, options: Options) -> Position:
        return {}

    def place(self, request: Request, options: Options, position: Position) -> Request:
        return request

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        return None


class ByPage:
    """A page number that counts up."""

    kind = "page"
    schema: Mapping[str, Any] = {
        "param": _PARAM,
        "start": {"type": "integer", "minimum": 0},
        "size_param": _PARAM,
        "size": _SIZE,
        "in": _IN,
        "pages_path": _PATH,
        "total_path": _PATH,
        "more_path": _PATH,
        "stop": _STOP,
    }
    required: tuple[str, ...] = ("param",)

    def start(self, options: Options) -> Position:
        return {"page": options.get("start", 1), "rows": 0}

    def place(self, request: Request, options: Options, position: Position) -> Request:
        return _put(_with_size(request, options), options, options["param"], position["page"])

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        read = position["rows"] + len(answer.rows)
        pages = _count(options.get("pages_path"), answer.body)
        total = _count(options.get("total_path"), answer.body)
        if pages is not None and position["page"] - options.get("start", 1) + 1 >= pages:
            return None
        if (total is not None and read >= total) or _is_over(options, answer):
            return None
        return {"page": position["page"] + 1, "rows": read}


class ByOffset:
    """A number of rows to skip; it grows by what really came, as providers cap the page size silently."""

    kind = "offset"
    schema: Mapping[str, Any] = {
        "param": _PARAM,
        "start": {"type": "integer", "minimum": 0},
        "size_param": _PARAM,
        "size": _SIZE,
        "in": _IN,
        "total_path": _PATH,
        "more_path": _PATH,
        "stop": _STOP,
    }
    required: tuple[str, ...] = ("param",)

    def start(self, options: Options) -> Position:
        return {"offset": options.get("start", 0)}

    def place(self, request: Request, options: Options, position: Position) -> Request:
        return _put(_with_size(request, options), options, options["param"], position["offset"])

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        following = position["offset"] + len(answer.rows)
        total = _count(options.get("total_path"), answer.body)
        if total is not None and following - options.get("start", 0) >= total:
            return None
        if not answer.rows or _is_over(options, answer):
            return None
        return {"offset": following}


class ByCursor:
    """A token in the answer, or a value of its last row, that the next request sends back.

    The absence of the token ends it, never an empty page: an empty page with a token goes on.
    """

    kind = "cursor"
    schema: Mapping[str, Any] = {
        "param": _PARAM,
        "next_path": _PATH,
        "last_row_path": _PATH,
        "more_path": _PATH,
        "size_param": _PARAM,
        "size": _SIZE,
        "in": _IN,
    }
    required: tuple[str, ...] = ("param",)

    def start(self, options: Options) -> Position:
        return {"cursor": None}

    def place(self, request: Request, options: Options, position: Position) -> Request:
        request = _with_size(request, options)
        if position["cursor"] is None:
            return request
        return _put(request, options, options["param"], position["cursor"])

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        if options.get("more_path") and not search(options["more_path"], answer.body):
            return None
        if options.get("next_path"):
            token = search(options["next_path"], answer.body)
        elif answer.rows:
            token = search(options["last_row_path"], answer.rows[-1])
            if token is None:
                raise ConfigurationError(
                    f"The last row of the page has no {options['last_row_path']}, from which the next page "
                    "would start."
                )
        else:
            token = None
        if token is None or token == "" or token is False:
            return None
        if not isinstance(token, (str, int)):
            raise ConfigurationError(
                f"{options.get('next_path')} leads to {type(token).__name__}, not to a text or a number: "
                "correct the path to the next cursor."
            )
        return {"cursor": token}


class _ByLink:
    """A whole URL in the answer. It must lead to where the request went: credentials go nowhere else."""

    def start(self, options: Options) -> Position:
        return {"url": None}

    def place(self, request: Request, options: Options, position: Position) -> Request:
        if position["url"] is None:
            return _with_size(request, options)
        url, params = split_query(position["url"])
        return replace(request, url=url, params=params)

    @staticmethod
    def position_of(link: str, request: Request) -> Position:
        url = urljoin(request.full_url, link)
        if origin(url) != origin(request.url):
            raise ConfigurationError(
                f"The next page lies at {without_query(url)}, another host than "
                f"{without_query(request.url)}. The credentials are not sent there; it was not followed."
            )
        base, params = split_query(url)
        # A provider that echoes the key in its link must not bring it into the checkpoint.
        secrets = request.secret_values | {v for n, v in request.params if n in request.secret_params}
        kept = [(n, v) for n, v in params if n not in request.secret_params and v not in secrets]
        return {"url": f"{base}?{urlencode(kept)}" if kept else base}


class ByLinkHeader(_ByLink):
    """`Link: <…>; rel="next"` (RFC 8288)."""

    kind = "link_header"
    schema: Mapping[str, Any] = {"rel": _PARAM, "size_param": _PARAM, "size": _SIZE}
    required: tuple[str, ...] = ()

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        link = links_of(answer.response.headers.get("link", "")).get(options.get("rel", "next"))
        return self.position_of(link, answer.request) if link else None


class ByLinkInBody(_ByLink):
    """A URL, absolute or relative, at `next_path` of the answer."""

    kind = "link_body"
    schema: Mapping[str, Any] = {"next_path": _PATH, "size_param": _PARAM, "size": _SIZE}
    required: tuple[str, ...] = ("next_path",)

    def after(self, options: Options, position: Position, answer: Answer) -> Position | None:
        link = search(options["next_path"], answer.body)
        if link in (None, "", False):
            return None
        if not isinstance(link, str):
            raise ConfigurationError(f"{options['next_path']} leads to {type(link).__name__}, not to a link.")
        return self.position_of(link, answer.request)


_PARAMETER = re.compile(r""";\s*([A-Za-z*]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]+)""")
_TARGET = re.compile(r"\s*,?\s*<([^>]*)>")


def links_of(header: str) -> dict[str, str]:
    """Relation type (lower case) → target of a Link header; the first of several (RFC 8288 §3)."""
    found: dict[str, str] = {}
    at = 0
    while match := _TARGET.match(header, at):
        target, at, seen_rel = match[1].strip(), match.end(), False
        while parameter := _PARAMETER.match(header, at):
            at = parameter.end()
            value = parameter[2]
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1])
            if parameter[1].lower() == "rel" and not seen_rel:
                seen_rel = True
                for relation in value.lower().split():
                    found.setdefault(relation, target)
        following = header.find(",", at)
        if following < 0:
            break
        at = following
    return found


PAGINATORS: dict[str, Paginator] = {}


def register(paginator: Paginator) -> Paginator:
    PAGINATORS[paginator.kind] = paginator
    return paginator


for _paginator in (Single(), ByPage(), ByOffset(), ByCursor(), ByLinkHeader(), ByLinkInBody()):
    register(_paginator)
