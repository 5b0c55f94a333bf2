"""Opening a place by its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from apps.jobs.places.base import Place, PlaceRefused, Target


@contextmanager
def open_place(target: Target) -> Iterator[Place]:
    """The place, open inside the block. Raises PlaceRefused, PlaceUnreachable and outbound errors."""
    place = _opened(target)
    try:
        yield place
    finally:
        place.close()


def _opened(target: Target) -> Place:
    # Each brings a library of some weight, which only its users load.
    if target.kind == "s3":
        from apps.jobs.places.s3 import S3Place

        return S3Place(target)
    if target.kind == "sftp":
        from apps.jobs.places.sftp import SFTPPlace

        return SFTPPlace(target)
    if target.kind == "https":
        from apps.jobs.places.web import WebPlace

        return WebPlace(target)
    raise PlaceRefused(f"There are no places of the kind “{target.kind[:20]}”.")
