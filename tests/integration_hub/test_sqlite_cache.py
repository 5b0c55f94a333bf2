"""The embedded cache: Django's contract, exact under many processes, and able to lose its file."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.test import RequestFactory
from django_ratelimit.checks import check_caches
from django_ratelimit.core import is_ratelimited

from integration_hub.runtime import sqlite_cache
from integration_hub.runtime.sqlite_cache import SQLiteCache

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cache(tmp_path: Path) -> SQLiteCache:
    return SQLiteCache(str(tmp_path / "cache.sqlite3"), {"KEY_PREFIX": "hub"})


class Clock:
    """The time of day, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


@pytest.mark.parametrize(
    "value", [0, -7, 2**70, True, None, 1.5, "text", b"\0bytes", ["list", {"of": ("things",)}]]
)
def test_a_value_comes_back_as_it_went_in(cache: SQLiteCache, value: object) -> None:
    cache.set("key", value)
    found = cache.get("key", "absent")
    assert (found, type(found)) == (value, type(value))


def test_an_absent_or_expired_key_gives_the_default(cache: SQLiteCache, clock: Clock) -> None:
    cache.set("short", "x", timeout=20)
    cache.set("never", "y", timeout=0)
    assert cache.get("short") == "x"
    clock.now += 20
    assert cache.get("short", "gone") == "gone"
    assert cache.get("never") is None
    assert cache.has_key("short") is False
    assert cache.delete("short") is False


def test_add_writes_only_what_is_absent_or_expired(cache: SQLiteCache, clock: Clock) -> None:
    assert cache.add("lock", "first", timeout=50) is True
    assert cache.add("lock", "second") is False
    assert cache.get("lock") == "first"
    clock.now += 50
    assert cache.add("lock", "third") is True
    assert cache.get("lock") == "third"


def test_touch_lengthens_the_life_of_what_lives(cache: SQLiteCache, clock: Clock) -> None:
    cache.set("key", "x", timeout=50)
    assert cache.touch("key", 60) is True
    clock.now += 55
    assert cache.get("key") == "x"
    assert cache.touch("absent") is False


def test_incr_counts_numbers_of_any_size_and_keeps_the_expiry(cache: SQLiteCache, clock: Clock) -> None:
    cache.set("n", 40, timeout=10)
    assert cache.incr("n", 2) == 42
    assert cache.decr("n", 43) == -1
    clock.now += 10
    with pytest.raises(ValueError, match="not found"):
        cache.incr("n")
    cache.set("big", 2**80)
    assert cache.incr("big") == 2**80 + 1
    cache.set("ratio", 1.5)
    assert cache.incr("ratio") == 2.5


def test_many_keys_at_once(cache: SQLiteCache) -> None:
    data = {f"k{number}": number for number in range(1_200)}
    assert cache.set_many(data) == []
    assert cache.get_many([*data, "absent"]) == data
    cache.delete_many([f"k{number}" for number in range(1_199)])
    assert cache.get_many(data) == {"k1199": 1199}
    cache.clear()
    assert cache.get_many(data) == {}


def test_versions_and_prefixes_keep_apart(cache: SQLiteCache, tmp_path: Path) -> None:
    other = SQLiteCache(str(tmp_path / "cache.sqlite3"), {"KEY_PREFIX": "other"})
    cache.set("key", 1)
    cache.set("key", 2, version=2)
    assert (cache.get("key"), cache.get("key", version=2), other.get("key")) == (1, 2, None)


def test_culling_drops_the_expired_and_then_what_would_expire_first(tmp_path: Path) -> None:
    cache = SQLiteCache(str(tmp_path / "c.sqlite3"), {"OPTIONS": {"MAX_ENTRIES": 9, "CULL_FREQUENCY": 3}})
    for number in range(12):
        cache.set(str(number), number, timeout=100 + number)
    cache.set("expired", 1, timeout=0)
    cache.cull()
    assert cache.get_many([str(number) for number in range(12)]) == {str(n): n for n in range(4, 12)}


def test_the_file_is_private_and_a_damaged_one_is_replaced(cache: SQLiteCache, tmp_path: Path) -> None:
    cache.set("key", 1)
    path = tmp_path / "cache.sqlite3"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_bytes(b"not a database at all" * 400)
    healed = SQLiteCache(str(damaged), {})
    healed.set("key", "new")
    assert healed.get("key") == "new"


COUNT = """
import sys
from integration_hub.runtime.sqlite_cache import SQLiteCache
cache = SQLiteCache(sys.argv[1], {})
added = sum(cache.add(f"once-{number}", 1) for number in range(500))
for _ in range(2500):
    cache.incr("count")
print(added)
"""


def test_four_processes_lose_no_count_and_add_each_key_once(tmp_path: Path) -> None:
    path = str(tmp_path / "shared.sqlite3")
    cache = SQLiteCache(path, {})
    cache.set("count", 0, timeout=None)
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNT, path], cwd=PROJECT, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    added = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert cache.get("count") == 10_000
    assert sum(added) == 500


def test_a_forked_child_uses_a_connection_of_its_own(cache: SQLiteCache) -> None:
    import os

    cache.set("count", 0)
    parent = sqlite_cache._files[str(cache._file.path)].get()
    child = os.fork()
    if child == 0:
        os._exit(0 if cache._file.get() is not parent and cache.incr("count") == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.get("count") == 1


def test_django_ratelimit_accepts_it_and_counts_exactly(
    cache: SQLiteCache, tmp_path: Path, settings: Any
) -> None:
    own = {
        "BACKEND": "integration_hub.runtime.sqlite_cache.SQLiteCache",
        "LOCATION": str(tmp_path / "limits.sqlite3"),
    }
    settings.CACHES = {"default": own, settings.RATELIMIT_USE_CACHE: own}
    assert [found.id for found in check_caches(None)] == ["django_ratelimit.W001"]

    request = RequestFactory().get("/")
    refused = [is_ratelimited(request, group="login", key="ip", rate="5/h", increment=True) for _ in range(8)]
    assert refused == [False] * 5 + [True] * 3
