"""The facts about a provider, as frozen values parsed from a manifest.yaml. Facts, never logic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.connectors.engine import schema, template
from apps.connectors.engine.auth import STRATEGIES, Credential, Strategy
from apps.connectors.engine.errors import Kind
from apps.connectors.engine.incremental import Incremental
from apps.connectors.engine.paginate import PAGINATORS, Paginator
from apps.connectors.engine.validation import Problem, problems

# What a template may look at. Credentials reach a request through an auth strategy alone.
CONTEXT = frozenset({"config", "environment", "stream"})


class ManifestError(Exception):
    """A manifest, or a stream in an integration's settings, that is not right; `problems` name each place."""

    def __init__(self, what: str, found: Iterable[Problem]) -> None:
        self.what = what
        self.problems = list(found)
        super().__init__(f"{what}: " + " ".join(str(problem) for problem in self.problems))


@dataclass(frozen=True)
class FormField:
    """One question of the connection form. A dotted name lies within an object of the settings."""

    name: str
    label: str
    kind: str
    help: str = ""
    placeholder: str = ""
    required: bool = False
    default: Any = None
    pattern: str = ""
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None
    auth: tuple[str, ...] = ()  # asked for these modes only; empty: always


@dataclass(frozen=True)
class AuthMode:
    """One way to authenticate that a provider offers."""

    mode: str
    label: str
    strategy: Strategy
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: tuple[Credential, ...] = ()
    help: str = ""

    @property
    def method(self) -> str:
        return self.strategy.method


@dataclass(frozen=True)
class RequestSpec:
    """A request with templates in it."""

    path: str
    method: str = "GET"
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None


@dataclass(frozen=True)
class TestRequest:
    """What shows, cheaply, that a connection works."""

    request: RequestSpec
    path_exists: str = ""
    identity_path: str = ""


@dataclass(frozen=True)
class ErrorRule:
    """What an answer means where the status alone does not say it. All conditions must hold."""

    kind: Kind
    status: tuple[int, ...] = ()
    path: str = ""
    equals: tuple[Any, ...] = ()
    body_regex: str = ""
    message: str = ""


@dataclass(frozen=True)
class Limits:
    """Calls that a provider allows one connection; None is unlimited."""

    per_minute: int | None = None
    per_hour: int | None = None
    per_day: int | None = None


@dataclass(frozen=True)
class Stream:
    """One kind of object of a provider, and how to read it."""

    name: str
    label: str
    request: RequestSpec
    remote_id: str
    records_path: str = "@"
    remote_version: str = ""
    description: str = ""
    pagination: Mapping[str, Any] = field(default_factory=lambda: {"kind": "none"})
    incremental: Incremental | None = None
    deleted_when: str = ""
    dataset: str = ""
    mapping: Mapping[str, Any] = field(default_factory=dict)

    @property
    def paginator(self) -> Paginator:
        return PAGINATORS[self.pagination["kind"]]


@dataclass(frozen=True)
class Manifest:
    """One provider of the catalog. `custom_streams`: each integration defines its own streams."""

    slug: str
    version: str
    title: str
    summary: str
    type: str
    category: str
    base_urls: Mapping[str, str]
    auth: tuple[AuthMode, ...]
    test: TestRequest
    provider: str = ""
    status: str = "ga"
    docs: str = ""
    keywords: tuple[str, ...] = ()
    custom_streams: bool = False
    fields: tuple[FormField, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    decode: str = "json"
    timeout: float = 30.0
    errors: tuple[ErrorRule, ...] = ()
    limits: Limits = Limits()
    streams: tuple[Stream, ...] = ()

    @property
    def name(self) -> str:
        """For the registry."""
        return self.slug

    def auth_mode(self, mode: str) -> AuthMode | None:
        return next((auth for auth in self.auth if auth.mode == mode), None)


def _request(data: Mapping[str, Any]) -> RequestSpec:
    return RequestSpec(
        path=data["path"],
        method=data.get("method", "GET"),
        query=data.get("query", {}),
        headers=data.get("headers", {}),
        json=data.get("json"),
    )


def _incremental(data: Mapping[str, Any]) -> Incremental:
    return Incremental(
        path=data["cursor_path"],
        name=data["name"],
        place=data.get("in", "query"),
        op=data.get("op", "gte"),
        format=data.get("format", "iso"),
        lookback=data.get("lookback", 0),
        start=data.get("start", ""),
    )


def _stream(data: Mapping[str, Any]) -> Stream:
    return Stream(
        name=data["name"],
        label=data.get("label") or data["name"].replace("_", " ").capitalize(),
        request=_request(data["request"]),
        remote_id=data["remote_id"],
        records_path=data.get("records_path", "@"),
        remote_version=data.get("remote_version", ""),
        description=data.get("description", ""),
        pagination=data.get("paginate", {"kind": "none"}),
        incremental=_incremental(data["incremental"]) if "incremental" in data else None,
        deleted_when=data.get("deleted_when", ""),
        dataset=data.get("dataset", ""),
        mapping=data.get("mapping", {}),
    )


def _auth(data: Mapping[str, Any]) -> AuthMode:
    strategy = STRATEGIES[data["mode"]]
    own = tuple(Credential(**item) for item in data.get("credentials", ()))
    named = {credential.name for credential in own}
    return AuthMode(
        mode=data["mode"],
        label=data.get("label", strategy.label),
        strategy=strategy,
        settings=data.get("settings", {}),
        credentials=own + tuple(c for c in strategy.credentials if c.name not in named),
        help=data.get("help", ""),
    )


def _foreign_paths(document: Any, path: tuple[str | int, ...] = ()) -> Iterable[Problem]:
    """Templates that look at what templates may not see."""
    if isinstance(document, str):
        for used in sorted(template.paths(document)):
            if used.partition(".")[0] not in CONTEXT:
                allowed = ", ".join(sorted(CONTEXT))
                yield Problem(path, "invalid", f"{used} cannot be used in a template; there are {allowed}.")
    elif isinstance(document, Mapping):
        for key, value in document.items():
            yield from _foreign_paths(value, (*path, str(key)))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from _foreign_paths(value, (*path, index))


def _twice(names: Iterable[str], path: tuple[str | int, ...]) -> Iterable[Problem]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Problem((*path, index), "duplicate", f"“{name}” is there twice.")
        seen.add(name)


def stream_problems(document: Any, path: tuple[str | int, ...] = ("streams",)) -> list[Problem]:
    """What is wrong with a list of streams in an integration's settings."""
    found = problems(document, {"type": "array", "items": schema.stream(), "maxItems": 200})
    if not found:
        found = [*_twice((item["name"] for item in document), ()), *_foreign_paths(document)]
    return [Problem((*path, *problem.path), problem.code, problem.message) for problem in found]


def streams(document: list[dict[str, Any]]) -> tuple[Stream, ...]:
    """Streams of an integration's settings. Raises ManifestError."""
    found = stream_problems(document)
    if found:
        raise ManifestError("The streams are not right", found)
    return tuple(_stream(item) for item in document)


def _test(data: Mapping[str, Any]) -> TestRequest:
    return TestRequest(_request(data["request"]), data.get("path_exists", ""), data.get("identity_path", ""))


def parse(document: Any, what: str = "manifest.yaml") -> Manifest:
    """Check a manifest and make values of it. Raises ManifestError, naming each place that is wrong."""
    found = problems(document, schema.manifest())
    if not found:
        found = [
            *_foreign_paths(document),
            *_twice((item["name"] for item in document.get("streams", ())), ("streams",)),
            *_twice((item["mode"] for item in document["auth"]), ("auth",)),
        ]
    if found:
        raise ManifestError(what, found)
    http = document.get("http", {})
    return Manifest(
        slug=document["slug"],
        version=document["version"],
        title=document["title"],
        summary=document["summary"],
        type=document["type"],
        category=document["category"],
        base_urls={name: item["base_url"] for name, item in document["environments"].items()},
        auth=tuple(_auth(item) for item in document["auth"]),
        test=_test(document["test"]),
        provider=document.get("provider", document["slug"]),
        status=document.get("status", "ga"),
        docs=document.get("docs", ""),
        keywords=tuple(document.get("keywords", ())),
        custom_streams=document.get("custom_streams", False),
        fields=tuple(
            FormField(
                **{**item, "choices": tuple(item.get("choices", ())), "auth": tuple(item.get("auth", ()))}
            )
            for item in document.get("fields", ())
        ),
        headers=http.get("headers", {}),
        query=http.get("query", {}),
        decode=http.get("decode", "json"),
        timeout=float(http.get("timeout", 30.0)),
        errors=tuple(
            ErrorRule(
                kind=Kind(item["kind"]),
                status=tuple(item["when"].get("status", ())),
                path=item["when"].get("path", ""),
                equals=tuple(item["when"].get("equals", ())),
                body_regex=item["when"].get("body_regex", ""),
                message=item.get("message", ""),
            )
            for item in document.get("errors", ())
        ),
        limits=Limits(**document.get("limits", {})),
        streams=tuple(_stream(item) for item in document.get("streams", ())),
    )
