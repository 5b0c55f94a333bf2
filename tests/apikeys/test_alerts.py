"""Telling people about keys: an event and a mail, once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from apps.apikeys.models import APIKey, KeyAlert
from apps.apikeys.services import alerts, keys, shares
from apps.apikeys.services.alerts import Kind
from apps.events.models import Event
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.people import member


@pytest.fixture
def people(acme: Organization, globex: Organization) -> None:
    member(acme, "owner")
    member(acme, "admin")
    member(acme, "developer")
    member(acme, "owner", "gone@acme.example", is_active=False)
    member(globex, "owner")


@pytest.mark.usefixtures("people")
def test_owners_and_administrators_are_told_once_per_window(acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    assert alerts.notify(key, Kind.HIGH_USAGE, "80% of the day is used.", window="day:1", data={"used": 80})
    assert not alerts.notify(key, Kind.HIGH_USAGE, "81% of the day is used.", window="day:1")
    assert alerts.notify(key, Kind.HIGH_USAGE, "80% of the day is used.", window="day:2")
    assert alerts.notify(key, Kind.SUSPICIOUS, "A new network.", window="day:1")

    assert alerts.send_due() == 3
    assert alerts.send_due() == 0
    assert mail.outbox[0].to == ["admin@acme.example", "owner@acme.example"]
    assert "80% of the day is used." in mail.outbox[0].body
    assert "raise its limits" in mail.outbox[0].body
    assert "rotate or revoke" in mail.outbox[2].body
    assert key.number in mail.outbox[0].body
    told = Event.objects.filter(type="api_key.high_usage").order_by("id")
    assert [event.data["details"] for event in told] == [{"used": 80}, {}]


@pytest.mark.usefixtures("people")
def test_a_successor_is_not_told_again_and_own_addresses_go_first(acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    APIKey.objects.filter(pk=key.pk).update(alert_emails=["ops@acme.example"])
    key.refresh_from_db()
    new = keys.rotate(key=key, actor=SYSTEM, overlap=timedelta(hours=1)).key
    assert alerts.notify(new, Kind.SUSPICIOUS, "A new network.")
    assert not alerts.notify(key, Kind.SUSPICIOUS, "A new network.")
    alerts.send_due()
    assert [message.to for message in mail.outbox] == [["ops@acme.example"]]


def test_what_is_switched_off_is_not_told(acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    key.notify_on_high_usage = False
    assert not alerts.notify(key, Kind.HIGH_USAGE, "80% of the day is used.")
    assert not KeyAlert.objects.exists()


@pytest.mark.usefixtures("people")
def test_a_mail_server_that_fails_is_tried_again_and_then_left(
    acme: Organization, issue: Issue, settings: Any
) -> None:
    alerts.notify(issue(acme).key, Kind.SUSPICIOUS, "A new network.")
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert alerts.send_due() == 0
    alert = KeyAlert.objects.get()
    assert alert.mail_due_at is not None
    assert alert.mail_due_at > timezone.now()
    for _ in range(4):
        KeyAlert.objects.update(mail_due_at=timezone.now())
        alerts.send_due()
    alert.refresh_from_db()
    assert (alert.mail_due_at, alert.mailed_at, alert.attempts) == (None, None, 5)

    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    KeyAlert.objects.update(mail_due_at=timezone.now())
    assert alerts.send_due() == 1


def test_the_end_is_told_at_each_distance_once(
    acme: Organization, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    long = issue(acme, expires_at=now + timedelta(days=400)).key
    short = issue(acme, expires_at=now + timedelta(hours=3)).key
    APIKey.objects.filter(pk=long.pk).update(created_at=now - timedelta(days=365))
    assert alerts.warn_of_expiry() == 0
    end = now + timedelta(days=29)
    APIKey.objects.filter(pk=long.pk).update(expires_at=end)
    for later, told in ((0, 1), (1, 0), (23, 1), (24, 0), (28.5, 1), (28.9, 0), (30, 0)):
        monkeypatch.setattr(timezone, "now", lambda later=later: now + timedelta(days=later))
        assert alerts.warn_of_expiry() == told, later
    assert KeyAlert.objects.filter(key=short).count() == 0
    assert KeyAlert.objects.filter(key=long, kind=Kind.EXPIRING).count() == 3


def test_a_key_whose_successor_is_in_use_is_not_told_of(acme: Organization, issue: Issue) -> None:
    now = timezone.now()
    key = issue(acme, expires_at=now + timedelta(days=5)).key
    APIKey.objects.filter(pk=key.pk).update(created_at=now - timedelta(days=365))
    keys.rotate(key=key, actor=SYSTEM, overlap=timedelta(days=5))
    assert alerts.warn_of_expiry() == 0


class TestShares:
    @pytest.fixture(autouse=True)
    def anew(self) -> None:
        shares.forget_all()

    def test_the_chosen_share_of_a_limit_is_told_once_a_day(
        self, acme: Organization, issue: Issue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """From the calls themselves: each step is passed on once, and told from the key's threshold on."""
        from apps.apikeys.models import RateLimit

        rung: list[tuple[Any, ...]] = []
        monkeypatch.setattr(shares, "enqueue", lambda name, *args, **_: rung.append(args))
        issued = issue(acme, usage_threshold=90)
        RateLimit.objects.create(
            organization=acme, subject_kind="key", subject_id=issued.key.group.hex, per_minute=20
        )
        client = client_of(issued.secret)
        for _ in range(25):
            client.get("/api/v1/datasets")
        assert [args[2] for args in rung] == [50, 55, 60, 65, 70, 75, 80, 85, 90, 95, 100]
        assert [shares.tell(group=g, window=w, percent=p) for g, w, p in rung] == [False] * 8 + [True] + [
            False
        ] * 2
        alert = KeyAlert.objects.get()
        assert alert.data == {"limit": "minute", "percent": 90}
        assert "90%" in alert.text
        assert shares.tell(group=issued.key.group.hex, window="hour", percent=100)
        assert "all of the calls that it may make in an hour." in KeyAlert.objects.latest("id").text

    def test_people_and_applications_have_no_threshold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from apps.apikeys.principals import Subject

        monkeypatch.setattr(shares, "enqueue", lambda *_, **__: pytest.fail("rang"))
        shares.notice(Subject("user", "1"), "minute", 0.9)

    def test_a_key_that_is_gone_is_nobodys(self, db: None) -> None:
        assert not shares.tell(group="01a20258b61e711188c0a30c76d5e1b8", window="day", percent=100)
