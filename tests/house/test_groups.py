"""What the tests rely on of their runner."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("groups")
def test_tests_of_one_group_run_on_one_worker(request: pytest.FixtureRequest) -> None:
    """A runner that does not know the mark starts whole hubs at once, on a machine with two cores."""
    grouped = getattr(request.config.option, "loadgroup", False)
    assert request.node.nodeid.endswith("@groups") is grouped
