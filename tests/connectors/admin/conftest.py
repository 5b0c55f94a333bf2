from __future__ import annotations

import pytest

from tests.people import member, signed_in


@pytest.fixture
def browser(organization):
    """Where an owner of the organization has signed in."""
    return signed_in(member(organization, "owner"))
