"""Places where files lie outside the hub, each behind the same few verbs. Plain Python; no tables."""

from apps.jobs.places.base import (
    Place,
    PlaceRefused,
    PlaceUnreachable,
    RemoteFile,
    Target,
    checked_path,
    join,
    matching,
    safe_name,
)
from apps.jobs.places.opening import open_place

__all__ = [
    "Place",
    "PlaceRefused",
    "PlaceUnreachable",
    "RemoteFile",
    "Target",
    "checked_path",
    "join",
    "matching",
    "open_place",
    "safe_name",
]
