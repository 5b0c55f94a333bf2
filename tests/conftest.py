"""What every test gets: no network but this machine, and a cache of its own."""

from __future__ import annotations

import secrets

import pytest
from django.conf import settings
from django.core.cache import caches


@pytest.fixture(autouse=True)
def _own_cache() -> None:
    """A key prefix for each test, also for threads that it starts: nothing counted in one shows in the next."""
    prefix = f"test-{secrets.token_hex(6)}"
    settings.CACHES["default"]["KEY_PREFIX"] = prefix
    caches["default"].key_prefix = prefix
