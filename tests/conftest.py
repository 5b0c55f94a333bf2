"""What every test gets: no network but this machine, a migrated database, and a cache of its own."""

from __future__ import annotations

import secrets

import pytest
from django.conf import settings
from django.core.cache import caches
from hypothesis import settings as hypothesis_settings

from apps.apikeys import limiter
from tests.database import django_db_keepdb, django_db_modify_db_settings, django_db_setup

__all__ = ["django_db_keepdb", "django_db_modify_db_settings", "django_db_setup"]

# A busy machine is no failure, and nothing is written into the tree.
hypothesis_settings.register_profile("hub", deadline=None, database=None)
hypothesis_settings.load_profile("hub")


@pytest.fixture(autouse=True)
def _own_cache() -> None:
    """A key prefix for each test and its threads: nothing counted in one shows in the next."""
    prefix = f"test-{secrets.token_hex(6)}"
    for alias in ("default", "limits"):
        settings.CACHES[alias]["KEY_PREFIX"] = prefix
        caches[alias].key_prefix = prefix
    settings.LIMITS_PREFIX = prefix
    limiter.forget()


@pytest.fixture(autouse=True)
def _own_usage() -> None:
    """Calls counted in memory belong to the rows of one test."""
    from apps.apikeys.services import usage

    usage.forget_all()


@pytest.fixture(autouse=True)
def _versions_as_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look at the rows of versions between two statements of a test, until it forgets on purpose."""
    from apps.apikeys.services import api_versions

    monkeypatch.setattr(api_versions, "FRESH_FOR", float("inf"))
    monkeypatch.setattr(api_versions, "_states", {})
    monkeypatch.setattr(api_versions, "_read_at", 0.0)
