from __future__ import annotations

from pathlib import Path

import pytest

from apps.kernel.crypto.hashing import PepperRing
from apps.kernel.crypto.keyring import KeyRing


@pytest.fixture
def ring_file(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub on a key ring file of the test's own."""
    path = tmp_path / "keyring.json"
    KeyRing.generate_file(path)
    monkeypatch.delenv("HUB_ENCRYPTION_KEYS", raising=False)
    settings.HUB_ENCRYPTION_KEYS = ""
    settings.HUB_KEYRING = path
    return path


@pytest.fixture
def pepper_file(tmp_path: Path, settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub on a pepper file of the test's own."""
    path = tmp_path / "peppers.json"
    PepperRing.generate_file(path)
    monkeypatch.delenv("HUB_PEPPERS", raising=False)
    settings.HUB_PEPPERS_JSON = ""
    settings.HUB_PEPPERS = path
    return path
