"""Versions of the API: the major one in the path, and what answers where the path names none.

`/api/v1/…` names its version. `/api/…` without one answers as the caller's pin (the key's or application's
`api_version`), else as the oldest version that is supported. A version is declared here once; what differs
between versions is declared beside it and applied outside the views, so that views know only the newest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.utils.functional import classproperty
from rest_framework.request import Request
from rest_framework.versioning import URLPathVersioning

from apps.kernel.errors import NotFound

_IN_PATH = re.compile(r"^/api/(v\d+)(?:/|$)")


@dataclass(frozen=True)
class VersionSpec:
    """One version: its name (`v1`), when it came out, and what changed in it, one sentence each."""

    name: str
    released: date
    changes: tuple[str, ...] = ()
    deprecated: date | None = None
    sunset: date | None = None

    def is_supported(self, today: date) -> bool:
        return self.sunset is None or today < self.sunset


class Versions:
    """The declared versions, oldest first."""

    def __init__(self) -> None:
        self._specs: dict[str, VersionSpec] = {}

    def register(self, spec: VersionSpec) -> VersionSpec:
        """Declare a version. Versions are declared from the oldest to the newest."""
        self._specs[spec.name] = spec
        return spec

    def all(self) -> list[VersionSpec]:
        return list(self._specs.values())

    def get(self, name: str) -> VersionSpec | None:
        return self._specs.get(name)

    @property
    def oldest(self) -> VersionSpec:
        """The oldest version that is still supported: what an unversioned, unpinned call gets."""
        specs = self.all()
        if len(specs) == 1:
            return specs[0]
        today = date.today()  # noqa: DTZ011 - sunsets are dates
        return next((spec for spec in specs if spec.is_supported(today)), specs[-1])

    @property
    def newest(self) -> VersionSpec:
        return self.all()[-1]

    def named_in(self, path: str) -> VersionSpec:
        """The version that a path names, or the one that answers where it names none we know."""
        found = _IN_PATH.match(path)
        return (found and self.get(found[1])) or self.oldest


versions = Versions()
versions.register(VersionSpec("v1", released=date(2026, 11, 22), changes=("The first version.",)))


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


def canonical_path(path: str) -> str:
    """The path without its version, so that `/api/x` and `/api/v1/x` are one place."""
    return _IN_PATH.sub("/api/", path, count=1) if path.startswith("/api/v") else path
