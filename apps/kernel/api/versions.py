"""Versions of the API: the major one in the path, dated revisions inside it, and what answers a call.

`/api/v1/…` names its version. `/api/…` without one answers as the caller's pin (the `api_version` of the key,
else of the application, else of the organization), else as the oldest version that is supported. Inside a
version a pin such as `v2@2026-11-15` or `2026-11-15` holds a dated revision; who has none gets the version's
default revision, which an upgrade of the hub never moves.

A version is declared here once; what differs between revisions is declared as changes (`changes.py`) and
applied outside the views, which know only the newest. The state of a version (deprecated, sunset, flags)
belongs to the hub's administrator: it comes from a source that the app with the rows registers (`use`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from django.utils.functional import classproperty
from django.utils.http import http_date
from rest_framework.request import Request
from rest_framework.versioning import URLPathVersioning

from apps.kernel.errors import BadRequest, Forbidden, NotFound, TerminalError

_IN_PATH = re.compile(r"^/api/(v\d+)(?:/|$)")
_DAY = r"(\d{4}-\d\d-\d\d)"
_PIN = re.compile(rf"(v\d{{1,4}})(?:@{_DAY})?|{_DAY}", re.ASCII)
REVISION_HEADER = "API-Revision"
GUIDE = "/api/docs/versions"


@dataclass(frozen=True)
class Feature:
    """Something that can be switched per version. `default` holds while no row says otherwise."""

    name: str
    description: str
    default: bool = True


@dataclass(frozen=True)
class VersionSpec:
    """One version: its name (`v1`), when it came out, what it is in a sentence, its dated revisions."""

    name: str
    released: date
    changes: tuple[str, ...] = ()
    revisions: tuple[date, ...] = ()
    features: tuple[Feature, ...] = ()

    @property
    def dates(self) -> tuple[date, ...]:
        return self.revisions or (self.released,)

    def feature(self, name: str) -> Feature | None:
        return next((feature for feature in self.features if feature.name == name), None)


@dataclass(frozen=True, order=True)
class Revision:
    """A dated state of a version. `index` counts all revisions of all versions, oldest first."""

    index: int
    version: str
    date: date

    @property
    def name(self) -> str:
        return f"{self.version}@{self.date.isoformat()}"


@dataclass(frozen=True)
class State:
    """What the administrator decided about a version. All moments may lie in the future."""

    deprecated_at: datetime | None = None
    sunset_at: datetime | None = None
    default_revision: date | None = None
    flags: Mapping[str, bool] = field(default_factory=dict)
    successor: str = ""
    note: str = ""

    def is_deprecated(self, now: datetime) -> bool:
        return self.deprecated_at is not None and self.deprecated_at <= now

    def is_sunset(self, now: datetime) -> bool:
        return self.sunset_at is not None and self.sunset_at <= now


class Sunset(TerminalError):
    """The version has come to its end."""

    code = "version_sunset"
    status = 410
    title = "This version of the API is no longer served"


class FeatureOff(Forbidden):
    """The administrator switched it off for this version."""

    code = "feature_off"
    title = "Switched off in this version"


_AS_DECLARED = State()


class Versions:
    """The declared versions, oldest first, and their states."""

    def __init__(self) -> None:
        self._specs: dict[str, VersionSpec] = {}
        self._source: Callable[[], Mapping[str, State]] = dict
        self._index: tuple[int, int, list[Revision], dict[str, list[Revision]]] | None = None

    def register(self, spec: VersionSpec) -> VersionSpec:
        """Declare a version. Versions are declared from the oldest to the newest."""
        self._specs[spec.name] = spec
        return spec

    def use(self, source: Callable[[], Mapping[str, State]]) -> None:
        """Where the states come from. It is asked in every call: it must answer from memory."""
        self._source = source

    def all(self) -> list[VersionSpec]:
        return list(self._specs.values())

    def get(self, name: str) -> VersionSpec | None:
        return self._specs.get(name)

    def state(self, name: str) -> State:
        return self._source().get(name, _AS_DECLARED)

    @property
    def oldest(self) -> VersionSpec:
        """The oldest version that is still supported: what an unversioned, unpinned call gets."""
        specs = self.all()
        states = self._source()
        now = datetime.now(UTC)
        return next(
            (spec for spec in specs if not states.get(spec.name, _AS_DECLARED).is_sunset(now)), specs[-1]
        )

    @property
    def newest(self) -> VersionSpec:
        return self.all()[-1]

    def named_in(self, path: str) -> VersionSpec:
        """The version that a path names, or the one that answers where it names none we know."""
        found = _IN_PATH.match(path)
        return (found and self.get(found[1])) or self.oldest

    def successor_of(self, name: str) -> str:
        """The version to go to: what the state says, else the next one; empty for the newest."""
        names = [spec.name for spec in self.all()]
        chosen = self.state(name).successor
        if chosen in names:
            return chosen
        following = names[names.index(name) + 1 :] if name in names else []
        return following[0] if following else ""

    # Revisions.

    def _indexed(self) -> tuple[int, int, list[Revision], dict[str, list[Revision]]]:
        index = self._index
        if index is None or index[:2] != (id(self._specs), len(self._specs)):
            pairs = [(spec.name, day) for spec in self.all() for day in spec.dates]
            every = [Revision(number, name, day) for number, (name, day) in enumerate(pairs)]
            by_name = {name: [one for one in every if one.version == name] for name in self._specs}
            index = self._index = (id(self._specs), len(self._specs), every, by_name)
        return index

    def revisions(self) -> list[Revision]:
        """All revisions of all versions, oldest first."""
        return self._indexed()[2]

    def revisions_of(self, name: str) -> list[Revision]:
        return self._indexed()[3][name]

    def newest_of(self, name: str) -> Revision:
        return self.revisions_of(name)[-1]

    def revision(self, name: str) -> Revision | None:
        """The revision with a name such as `v2@2026-11-15`; for a bare `v2` its newest."""
        known = {revision.name: revision for revision in self.revisions()}
        return known.get(name) or (self.newest_of(name) if name in self._specs else None)

    def default_of(self, name: str) -> Revision:
        """What callers of a version get who hold no date."""
        return self._at(name, self.state(name).default_revision) or self.newest_of(name)

    def _at(self, name: str, day: date | None) -> Revision | None:
        """The revision of a version that was the newest on a day; its first for earlier days."""
        if day is None:
            return None
        mine = self.revisions_of(name)
        return next((revision for revision in reversed(mine) if revision.date <= day), mine[0])

    def choose(self, named: str | None, pins: tuple[str, ...] = ()) -> Revision:
        """The revision that answers a call whose path names a version (or none), by the caller's pins.

        The first pin that says something about the question decides it.
        """
        parsed = [pin for pin in map(parse_pin, pins) if pin != (None, None)]
        name = named
        if name is None:
            name = next((version for version, _ in parsed if version and self.get(version)), self.oldest.name)
        for version, day in parsed:
            if day is not None and version in (None, name):
                found = self._at(name, day)
                if found is not None:
                    return found
        return self.default_of(name)

    def check_pin(self, text: str) -> str:
        """An empty text, or what is wrong with a pin, as a sentence.

        A date must be that of a revision: `choose` gives somebody who holds another day the revision of that
        day, but who pins to a day on which nothing came out has misread or mistyped something.
        """
        version, day = parse_pin(text)
        names = [spec.name for spec in self.all()]
        if (version, day) == (None, None) or (version and version not in names):
            return (
                f"There is no such version. A version is one of {', '.join(names)}, with a date if you like "
                f"(such as {self.revisions()[-1].name}), or a date alone."
            )
        of = [revision for revision in self.revisions() if version in (None, revision.version)]
        if day is not None and day not in {revision.date for revision in of}:
            dates = ", ".join(sorted({revision.date.isoformat() for revision in of}))
            return f"There is no revision of {day}{f' in {version}' if version else ''}. Revisions: {dates}."
        return ""

    def pins(self) -> list[tuple[str, str]]:
        """Every pin that is offered, and what to call it: versions, then each of their revisions."""
        found = []
        for spec in self.all():
            found.append((spec.name, f"{spec.name} (its default revision)"))
            found += [
                (revision.name, f"{spec.name}, revision of {revision.date:%-d %B %Y}")
                for revision in self.revisions_of(spec.name)
            ]
        return found

    def refuse_sunset(self, name: str) -> None:
        """Raises Sunset (410) for a version that has ended."""
        state = self.state(name)
        if state.is_sunset(datetime.now(UTC)):
            successor = self.successor_of(name)
            go = f" Use {successor}: what changes is told at {GUIDE}." if successor else ""
            raise Sunset(f"Version {name} ended on {state.sunset_at:%-d %B %Y}.{go}")

    # Features.

    def allows(self, name: str, feature: str) -> bool:
        """Whether a feature is on in a version. What the version does not declare is off."""
        spec = self.get(name)
        declared = spec.feature(feature) if spec else None
        return declared is not None and bool(self.state(name).flags.get(feature, declared.default))

    def need(self, name: str, feature: str) -> None:
        """Raises FeatureOff (403) if a feature is off in a version."""
        if not self.allows(name, feature):
            raise FeatureOff(f"“{feature}” is not switched on in version {name} of this API.")

    # Headers.

    def headers_of(self, name: str) -> dict[str, str]:
        """What an answer of this version says about its end: Deprecation, Sunset, Link."""
        state = self._source().get(name)
        if state is None or (state.deprecated_at is None and state.sunset_at is None):
            return {}
        since = state.deprecated_at or state.sunset_at
        assert since is not None
        links = [f'<{GUIDE}>; rel="deprecation"; type="text/html"']
        headers = {"Deprecation": f"@{int(since.timestamp())}"}
        if state.sunset_at is not None:
            headers["Sunset"] = http_date(max(state.sunset_at, since).timestamp())
            links.append(f'<{GUIDE}>; rel="sunset"; type="text/html"')
        successor = self.successor_of(name)
        if successor:
            links.append(f'</api/schema?version={successor}>; rel="successor-version"')
        headers["Link"] = ", ".join(links)
        return headers


def parse_pin(text: str) -> tuple[str | None, date | None]:
    """Version and day of a pin: `v2`, `v2@2026-11-15`, `2026-11-15`. (None, None) for anything else."""
    found = _PIN.fullmatch(text or "")
    if found is None:
        return None, None
    day = found[2] or found[3]
    try:
        return found[1], date.fromisoformat(day) if day else None
    except ValueError:
        return None, None


versions = Versions()
_BULK_REPLACE = Feature("bulk_replace", "Mode `replace` of bulk writes, which deletes what no row names.")
_EVENT_PUBLISHING = Feature("event_publishing", "Publishing events of one's own with `POST /events`.")
versions.register(
    VersionSpec(
        "v1",
        released=date(2026, 11, 1),
        changes=("The first version.",),
        features=(_BULK_REPLACE, _EVENT_PUBLISHING),
    )
)
versions.register(
    VersionSpec(
        "v2",
        released=date(2026, 11, 15),
        changes=("The same things are called by the same names everywhere.",),
        revisions=(date(2026, 11, 15), date(2026, 11, 22)),
        features=(
            _BULK_REPLACE,
            _EVENT_PUBLISHING,
            Feature(
                "revision_header",
                f"Choosing a dated revision for a single call with the request header `{REVISION_HEADER}`.",
            ),
        ),
    )
)


class HubVersioning(URLPathVersioning):
    """Reads the version from the path. A caller's pin is applied after authentication, see HubAPIView."""

    version_param = "version"

    @classproperty
    def allowed_versions(cls) -> list[str]:
        return [spec.name for spec in versions.all()]

    @classproperty
    def default_version(cls) -> str:
        return versions.oldest.name

    def determine_version(self, request: Request, *args: Any, **kwargs: Any) -> str:
        named = kwargs.get(self.version_param)
        if named is None:
            return versions.oldest.name
        if versions.get(named) is None:
            known = ", ".join(self.allowed_versions)
            raise NotFound(f"There is no version “{named}” of this API. Versions: {known}.")
        return str(named)


def pins_of(caller: Any) -> tuple[str, ...]:
    """A caller's pins: its own before its organization's."""
    if caller is None:
        return ()
    own = getattr(caller, "api_version", "")
    organization = getattr(getattr(caller, "organization", None), "api_version", "")
    return tuple(pin for pin in (own, organization) if pin)


def revision_of(request: Request, named: str | None, caller: Any) -> Revision:
    """The revision that answers a request: its header, else the caller's pins, else the default.

    Raises BadRequest for a header that names no revision.
    """
    rehearsed: Revision | None = getattr(request._request, "hub_revision", None)
    if rehearsed is not None:
        return rehearsed
    pins = pins_of(caller)
    chosen = versions.choose(named, pins) if pins or named is None else versions.default_of(named)
    asked = request.META.get("HTTP_API_REVISION")
    if not asked or not versions.allows(chosen.version, "revision_header"):
        return chosen
    known = {revision.date.isoformat(): revision for revision in versions.revisions_of(chosen.version)}
    found = known.get(asked.strip().removeprefix(f"{chosen.version}@"))
    if found is None:
        raise BadRequest(
            f"{REVISION_HEADER}: version {chosen.version} has the revisions {', '.join(known)}.",
            code="unknown_revision",
        )
    return found


def canonical_path(path: str) -> str:
    """The path without its version, so that `/api/x` and `/api/v1/x` are one place."""
    return _IN_PATH.sub("/api/", path, count=1) if path.startswith("/api/v") else path
