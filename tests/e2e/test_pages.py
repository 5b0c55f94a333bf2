"""Every page of the menu, its first row and its form to add: in light, in dark and on a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.conftest import Hub
from tests.e2e.shots import discover

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def paths() -> list[str]:
    return []


@pytest.mark.parametrize("size", ["light", "dark", "phone"])
def test_every_page_opens_without_an_error(
    size: str,
    window: Callable[..., Page],
    signed_in_state: dict[str, Any],
    hub: Hub,
    paths: list[str],
) -> None:
    page = window(state=signed_in_state, size=size)
    if not paths:
        paths += discover(page, hub.url)
    assert len(paths) >= 40
    for path in paths:
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 200, path
        # Not innerWidth: a phone zooms out until everything is in it.
        over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 1, f"{path} is {over} pixels wider than the window"
        if size == "dark":
            assert page.evaluate("document.documentElement.classList.contains('dark')"), path
