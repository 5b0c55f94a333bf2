"""Every event reaches every subscriber once, in order; a poisonous one holds up nobody."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.events.models import Event, StalledEvent
from apps.events.services import fanout, outbox
from apps.tenants.services import organizations


def publish(organization, *subjects, type="custom.thing"):
    for subject in subjects:
        outbox.publish(organization=organization, type=type, data={}, subject=subject)


def test_events_are_handed_out_once_and_in_order(organization, listener, monkeypatch):
    monkeypatch.setattr(fanout, "SHARE", 3)
    publish(organization, *"abcdefgh")

    assert fanout.sweep() == 8
    assert fanout.sweep() == 0

    assert listener.taken == list("abcdefgh")
    assert not Event.objects.filter(fanned_out_at=None).exists()


def test_only_what_is_wanted_is_handed_out(organization, listener):
    listener.patterns = ["invoice.*", "client.created"]
    publish(organization, "1", type="invoice.created")
    publish(organization, "2", type="invoices.created")
    publish(organization, "3", type="client.created")
    publish(organization, "4", type="client.created.later")

    fanout.sweep()

    assert listener.taken == ["1", "3"]


def test_a_flood_of_one_organization_does_not_hold_up_the_others(organization, listener, monkeypatch):
    monkeypatch.setattr(fanout, "SHARE", 2)
    others = [organizations.create(name=f"Other {n}") for n in range(3)]
    publish(organization, *[f"flood {n}" for n in range(20)])
    for other in others:
        publish(other, "single")

    fanout.sweep(limit=8)

    assert listener.taken.count("single") == 3


def test_more_organizations_than_one_round_serves(organization, listener, monkeypatch):
    monkeypatch.setattr(fanout, "ORGANIZATIONS", 2)
    for n in range(5):
        publish(organizations.create(name=f"Other {n}"), f"{n}", f"{n}")

    assert fanout.sweep() == 10
    assert sorted(listener.taken) == sorted("0123401234")


def test_a_poisonous_event_is_put_aside_for_its_subscriber_alone(organization, listener, second):
    listener.poison = {"bad"}
    publish(organization, "one", "bad", "two")

    fanout.sweep()

    assert listener.taken == ["one", "two"]
    assert second.taken == ["one", "bad", "two"]
    stalled = StalledEvent.objects.get()
    assert (stalled.subscriber, stalled.event.subject, stalled.attempts) == ("test listener", "bad", 1)
    assert "abcdefghijkl" not in stalled.last_error
    assert stalled.last_error.startswith("ValueError: cannot take bad")
    pause = stalled.next_attempt_at - timezone.now()
    assert timedelta(seconds=5) < pause <= timedelta(seconds=10)

    fanout.sweep()
    assert StalledEvent.objects.get().attempts == 1  # not before its pause is over
    for attempt, longest in ((2, 20), (3, 40), (4, 80)):
        StalledEvent.objects.update(next_attempt_at=timezone.now())
        fanout.sweep()
        stalled = StalledEvent.objects.get()
        assert stalled.attempts == attempt
        assert stalled.next_attempt_at - timezone.now() <= timedelta(seconds=longest)

    listener.poison = set()
    StalledEvent.objects.update(next_attempt_at=timezone.now())
    fanout.sweep()
    assert not StalledEvent.objects.exists()
    assert listener.taken == ["one", "two", "bad"]
    assert second.taken == ["one", "bad", "two"]


def test_after_many_attempts_it_is_given_up_and_stays_to_be_seen(organization, listener, monkeypatch):
    monkeypatch.setattr(fanout, "MAX_ATTEMPTS", 2)
    listener.poison = {"bad"}
    publish(organization, "bad")

    fanout.sweep()
    StalledEvent.objects.update(next_attempt_at=timezone.now())
    fanout.sweep()

    assert StalledEvent.objects.get().next_attempt_at is None


def test_a_database_that_fails_is_no_poison(organization, listener):
    """A deadlock or a lost connection: the whole batch is tried again, and nothing is put aside."""
    publish(organization, "one")

    listener.database_fails = True
    with pytest.raises(OperationalError):
        fanout.sweep()
    listener.database_fails = False

    assert not StalledEvent.objects.exists()
    assert Event.objects.filter(fanned_out_at=None).count() == 1
    fanout.sweep()
    assert listener.taken == ["one"]


def test_a_new_endpoint_hears_the_very_next_change(organization, settings):
    """What somebody listens for is asked anew each time: no process remembers that nobody did."""
    from apps.tenants.principals import SYSTEM
    from apps.webhooks.models import Delivery
    from apps.webhooks.services import endpoints

    settings.HUB_OUTBOUND_ALLOW, settings.HUB_ALLOW_HTTP = ["127.0.0.0/8"], True

    def change():
        return outbox.publish(
            organization=organization, type="clients.updated", data={}, even_if_unheard=False
        )

    assert change() == 0
    endpoints.create(
        organization=organization, actor=SYSTEM, name="New", url="http://127.0.0.1:9/", events=["clients.*"]
    )
    assert change() == 1
    fanout.sweep()
    assert Delivery.objects.count() == 1
