"""What is noticed about the use of keys, from the calls themselves to the mail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.apikeys.models import APIKey, KeyAlert, KeyNetwork
from apps.apikeys.services import keys, suspicion, usage
from apps.events.models import Event
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.test_api import KEYS


def reasons() -> list[Any]:
    return [alert.data["reason"] for alert in KeyAlert.objects.order_by("id")]


def look() -> int:
    usage.flush()
    return suspicion.look()


def test_a_burst_of_refusals_is_told_once(acme: Organization, issue: Issue) -> None:
    client = client_of(issue(acme, scopes=["records:read"]).secret)
    for _ in range(suspicion.REFUSALS - 1):
        assert client.get(KEYS).status_code == 403
    assert look() == 0
    client.get(KEYS)
    assert look() == 1
    client.get(KEYS)
    assert look() == 0
    assert reasons() == ["refusals"]
    assert Event.objects.filter(type="api_key.suspicious").count() == 1


def test_strangers_raise_no_alarm_about_a_key(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    wrong = issued.secret[:-1] + ("0" if issued.secret[-1] != "0" else "1")
    for _ in range(suspicion.REFUSALS + 5):
        client_of(wrong).get(KEYS)
    assert look() == 0


def test_a_new_network_is_told_after_the_first_day(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    client = client_of(issued.secret)

    def use(address: str) -> int:
        assert client.get(KEYS, REMOTE_ADDR=address).status_code == 200
        return look()

    assert use("192.0.2.1") == 0
    assert use("198.51.100.1") == 0  # still learning
    KeyNetwork.objects.update(first_seen_at=timezone.now() - timedelta(days=2))
    assert use("192.0.2.200") == 0
    assert use("203.0.113.5") == 1
    assert use("2001:db8:1::5") == 0  # once a day
    assert KeyNetwork.objects.filter(group=issued.key.group).count() == 4
    assert KeyAlert.objects.get().data["networks"] == ["203.0.113.0/24"]


def test_use_after_the_end_is_told_and_nothing_else_happens(acme: Organization, issue: Issue) -> None:
    old = issue(acme)
    new = keys.rotate(key=old.key, actor=SYSTEM, overlap=timedelta(0))
    assert client_of(old.secret).get(KEYS, REMOTE_ADDR="203.0.113.5").status_code == 401
    assert look() == 1
    assert look() == 0
    alert = KeyAlert.objects.get()
    assert alert.data == {"reason": "used_after_end", "key": old.key.number, "ip": "203.0.113.5"}
    assert alert.key == new.key
    assert client_of(new.secret).get(KEYS).status_code == 200
    assert APIKey.objects.get(pk=new.key.pk).status == "active"


def test_who_does_not_want_to_know_is_not_told(acme: Organization, issue: Issue) -> None:
    issued = issue(acme, notify_on_suspicious_activity=False)
    keys.revoke(key=issued.key, actor=SYSTEM)
    client_of(issued.secret).get(KEYS)
    assert look() == 0


@pytest.mark.parametrize(
    ("ip", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:aaaa:1::1", "2001:db8:aaaa::/48"),
    ],
)
def test_networks(ip: str, network: str) -> None:
    assert suspicion.network_of(ip) == network
