"""The home page is made of what apps register."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from apps.kernel.admin import dashboard
from apps.tenants.models import Organization
from apps.tenants.services import organizations
from tests.people import member, signed_in


@pytest.fixture(autouse=True)
def _only_here() -> Iterator[None]:
    """What a test registers is gone after it."""
    kept = [(registry, dict(registry._items)) for registry in (dashboard.cards, dashboard.attention)]
    yield
    for registry, items in kept:
        registry._items = items


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


def card(build: Any, **values: Any) -> None:
    dashboard.cards.register(dashboard.Card("test-card", "health", 1, build, **values))


def test_a_card_shows_what_it_builds(owner: Client) -> None:
    card(lambda request: {"title": "Answers", "value": "42", "note": f"of {request.organization}"})

    page = owner.get("/admin/").content.decode()

    assert "<strong>42</strong>" in page
    assert "of Acme" in page


def test_a_card_is_hidden_from_whoever_may_not_read_it(acme: Organization) -> None:
    card(lambda request: {"title": "Answers", "value": "42"}, scope="audit:read")

    assert "<strong>42</strong>" not in signed_in(member(acme, "staff")).get("/admin/").content.decode()
    assert "<strong>42</strong>" in signed_in(member(acme, "auditor")).get("/admin/").content.decode()


def test_a_card_with_nothing_to_say_is_left_out(owner: Client) -> None:
    card(lambda request: None)

    assert "test-card" not in owner.get("/admin/").content.decode()


def test_one_broken_card_does_not_take_the_page_along(owner: Client) -> None:
    def broken(request: Any) -> Any:
        raise RuntimeError("the database went away")

    card(broken)
    dashboard.attention.register(dashboard.Attention("test-source", broken))

    response = owner.get("/admin/")

    assert response.status_code == 200
    page = response.content.decode()
    assert page.count(dashboard.BROKEN) == 2
    assert "the database went away" not in page


def test_problems_stand_with_the_worst_first(owner: Client) -> None:
    problems = [
        dashboard.Problem("Running late", "since noon", tone="warn"),
        dashboard.Problem("Failing <b>hard</b>", "since ten", tone="bad"),
    ]
    dashboard.attention.register(dashboard.Attention("test-source", lambda request: problems))

    page = owner.get("/admin/").content.decode()

    assert page.index("Failing &lt;b&gt;hard") < page.index("Running late")


def test_a_new_organization_is_led_through_the_first_steps(owner: Client) -> None:
    page = owner.get("/admin/").content.decode()

    assert "Welcome to Acme" in page
    assert "Import a file" in page
    assert "Invite a colleague" in page


def test_steps_that_are_done_are_ticked_off(owner: Client, acme: Organization) -> None:
    member(acme, "staff")

    response = owner.get("/admin/")

    assert response.context["home"]["steps_done"] == 1
    assert "Welcome to Acme" not in response.content.decode()


def test_staff_are_offered_what_they_may_do(acme: Organization) -> None:
    page = signed_in(member(acme, "staff")).get("/admin/").content.decode()

    assert "Import a file" in page
    assert "Create an API key" not in page
    assert "Connect a system" not in page
