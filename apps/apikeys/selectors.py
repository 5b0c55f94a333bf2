"""Reads about versions of the API and who calls them."""

from __future__ import annotations

from typing import Any

from apps.apikeys.models import ApiVersion
from apps.apikeys.services import api_versions
from apps.kernel.api.changes import changes
from apps.kernel.api.versions import versions


def versions_told() -> list[dict[str, Any]]:
    """All versions that this release serves, oldest first, as developers see them."""
    rows = {row.version: row for row in ApiVersion.objects.all()}
    return [
        api_versions.told(rows.get(spec.name) or ApiVersion(version=spec.name)) for spec in versions.all()
    ]


def changes_told(name: str) -> list[dict[str, Any]]:
    """What became different in a version, oldest first."""
    return [
        {
            "id": change.id,
            "version": name,
            "revision": change.since.partition("@")[2],
            "title": change.title,
            "description": change.description,
            "breaking": change.breaking,
            "operations": change.operations,
        }
        for change in changes.in_version(name)
    ]
