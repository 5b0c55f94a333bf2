"""Events and their types in the admin."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.events.models import Event
from apps.events.services import outbox
from apps.tenants.models import Organization
from apps.tenants.services import organizations
from tests.people import member, signed_in

LIST = "/admin/events/event/"


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(member(acme, "owner"))


@pytest.fixture
def event(acme: Organization) -> Event:
    outbox.publish(organization=acme, type="clients.updated", data={"z": "Zoë", "a": 1}, subject="rec_1")
    outbox.publish(organization=acme, type="clients.created", data={}, subject="rec_2")
    return Event.objects.get(type="clients.updated")


def test_events_are_listed_filtered_and_found(owner: Client, event: Event) -> None:
    everything = owner.get(LIST).content.decode()
    assert "clients.updated" in everything
    assert "rec_2" in everything

    narrowed = owner.get(f"{LIST}?type=clients.updated")
    assert [e.pk for e in narrowed.context["cl"].result_list] == [event.pk]
    found = owner.get(f"{LIST}?q=rec_2")
    assert [e.subject for e in found.context["cl"].result_list] == ["rec_2"]


def test_an_event_shows_its_data_readably(owner: Client, event: Event) -> None:
    page = owner.get(f"{LIST}{event.public_id}/change/").content.decode()

    assert "&quot;z&quot;: &quot;Zoë&quot;" in page
    assert "data-copy-block" in page


def test_events_are_not_written_by_hand(owner: Client, event: Event) -> None:
    assert owner.get(f"{LIST}add/").status_code == 403
    assert owner.post(f"{LIST}{event.public_id}/delete/", {"post": "yes"}).status_code == 403
    assert Event.objects.count() == 2


def test_the_catalog_tells_schema_and_sample(owner: Client) -> None:
    page = owner.get("/admin/event-types/").content.decode()
    assert "clients.created" in page
    assert "json-schema.org" in page

    narrowed = owner.get("/admin/event-types/?q=orders.").content.decode()
    assert "orders.created" in narrowed
    assert "clients.created" not in narrowed


def test_staff_do_not_see_events(acme: Organization, event: Event) -> None:
    client = signed_in(member(acme, "staff"))

    assert client.get(LIST).status_code == 403
    assert client.get("/admin/event-types/").status_code == 403
