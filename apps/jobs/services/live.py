"""What must pass between a worker in a long transaction and those who watch it: notes in the cache.

A rehearsal writes nothing to the database until it ends, and on SQLite nobody else may write meanwhile; its
progress and the wish to cancel it therefore go through the cache. Losing them loses nothing but comfort.
"""

from __future__ import annotations

from typing import Any

from django.core.cache import cache

from apps.jobs.models import Job

_SECONDS = 3600


def _key(job: Job, what: str) -> str:
    return f"jobs:{what}:{job.pk.hex}"


def note(job: Job, *, done: int, total: int) -> None:
    """Tell how far a rehearsal is."""
    cache.set(_key(job, "check"), {"done": done, "total": total}, _SECONDS)


def noted(job: Job) -> dict[str, Any] | None:
    """How far the rehearsal is, if one says so."""
    found = cache.get(_key(job, "check"))
    return found if isinstance(found, dict) else None


def cancel(job: Job) -> None:
    """Ask a rehearsal to stop."""
    cache.set(_key(job, "cancel"), True, _SECONDS)


def is_cancelled(job: Job) -> bool:
    return bool(cache.get(_key(job, "cancel")))


def clear(job: Job) -> None:
    cache.delete_many([_key(job, "check"), _key(job, "cancel")])
