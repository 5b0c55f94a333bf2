"""Automatic rotation, and collecting what it made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from apps.apikeys.errors import NothingToCollect
from apps.apikeys.models import APIKey
from apps.apikeys.services import alerts, keys, rotation, verified
from apps.apikeys.services.keymaking import IssuedKey
from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.kernel.errors import InvalidInput
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.test_api import KEYS, problem
from tests.dumps import dump
from tests.people import member


@pytest.fixture
def due(acme: Organization, issue: Issue) -> IssuedKey:
    """A key whose policy rotates it now."""
    issued = issue(acme, scopes=["records:read"], rotate_every_days=30, rotation_overlap=3600)
    make_due(issued.key)
    return issued


def make_due(key: APIKey) -> None:
    APIKey.objects.filter(pk=key.pk).update(next_rotation_at=timezone.now())


def test_a_policy_rotates_and_the_old_key_fetches_the_new(acme: Organization, due: IssuedKey) -> None:
    member(acme, "owner")
    before = timezone.now()
    assert rotation.rotate_due() == 1
    assert rotation.rotate_due() == 0
    due.key.refresh_from_db()
    assert due.key.expires_at is not None
    assert timedelta(minutes=59) < due.key.expires_at - before < timedelta(minutes=61)
    successor = APIKey.objects.get(group=due.key.group, status="active", waiting_secret__isnull=False)
    assert successor.next_rotation_at is not None
    assert timedelta(days=29) < successor.next_rotation_at - before < timedelta(days=31)
    alerts.send_due()
    assert successor.number in mail.outbox[0].body

    old = client_of(due.secret)
    mine = old.get(f"{KEYS}/current").json()
    assert (mine["id"], mine["waiting"]) == (due.key.number, False)
    got = old.post(f"{KEYS}/current/collect")
    assert got.status_code == 200, got.content
    assert got["Cache-Control"] == "no-store"
    assert got.json()["id"] == successor.number
    new = client_of(got.json()["key"])
    assert new.get(f"{KEYS}/current").json()["id"] == successor.number
    problem(old.post(f"{KEYS}/current/collect"), 409, "nothing_to_collect")
    problem(new.post(f"{KEYS}/current/collect"), 409, "nothing_to_collect")
    assert list(AuditEntry.objects.filter(object_ref=successor.number).values_list("action", flat=True)) == [
        "api_key.collected"
    ]
    assert Event.objects.filter(type="api_key.rotated").count() == 1


def test_the_waiting_text_is_sealed_and_gone_once_collected(due: IssuedKey) -> None:
    rotation.rotate_due()
    stored = dump()
    successor = APIKey.objects.exclude(waiting_secret__isnull=True).get()
    issued = rotation.collect(key=successor, actor=SYSTEM)
    assert issued.secret not in stored
    assert issued.secret not in dump()
    with pytest.raises(NothingToCollect):
        rotation.collect(key=successor, actor=SYSTEM)


def test_a_successor_that_nobody_collected_is_not_rotated_on(due: IssuedKey) -> None:
    rotation.rotate_due()
    successor = APIKey.objects.exclude(waiting_secret__isnull=True).get()
    make_due(successor)
    assert rotation.rotate_due() == 0
    keys.revoke(key=successor, actor=SYSTEM)
    successor.refresh_from_db()
    assert successor.waiting_secret is None
    with pytest.raises(NothingToCollect):
        rotation.collect(key=successor, actor=SYSTEM)


def test_strangers_collect_nothing(
    acme: Organization, globex: Organization, issue: Issue, due: IssuedKey
) -> None:
    rotation.rotate_due()
    successor = APIKey.objects.exclude(waiting_secret__isnull=True).get()
    problem(client_of(issue(globex).secret).post(f"{KEYS}/{successor.number}/collect"), 404, "not_found")
    problem(client_of(issue(acme).secret).post(f"{KEYS}/current/collect"), 409, "nothing_to_collect")
    weak = issue(acme, scopes=["api-keys:write"], permissions={"write": True})
    problem(client_of(weak.secret).post(f"{KEYS}/{successor.number}/collect"), 403, "scope_not_held")
    got = client_of(issue(acme).secret).post(f"{KEYS}/{successor.number}/collect")
    assert got.status_code == 200
    verified.forget_all()
    assert keys.verify(got.json()["key"]) == successor


def test_suspended_and_ended_keys_are_not_rotated(acme: Organization, issue: Issue, due: IssuedKey) -> None:
    keys.suspend(key=due.key, actor=SYSTEM)
    assert rotation.rotate_due() == 0
    keys.resume(key=due.key, actor=SYSTEM)
    APIKey.objects.filter(pk=due.key.pk).update(expires_at=timezone.now())
    assert rotation.rotate_due() == 0


def test_a_policy_set_later_gives_notice(acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    APIKey.objects.filter(pk=key.pk).update(created_at=timezone.now() - timedelta(days=100))
    key = keys.change(key=key, actor=SYSTEM, rotate_every_days=90)
    assert key.next_rotation_at is not None
    assert key.next_rotation_at > timezone.now() + timedelta(hours=23)
    assert keys.change(key=key, actor=SYSTEM, rotate_every_days=None).next_rotation_at is None


@pytest.mark.parametrize(
    "values",
    [
        {"rotate_every_days": 0},
        {"rotate_every_days": 4000},
        {"rotate_every_days": 1, "rotation_overlap": 86400},
        {"rotation_overlap": 40 * 86400},
        {"usage_threshold": 49},
        {"usage_threshold": 101},
        {"alert_emails": ["nobody"]},
        {"alert_emails": [f"a{n}@example.com" for n in range(21)]},
    ],
)
def test_senseless_settings_are_refused(acme: Organization, issue: Issue, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        issue(acme, **values)


def test_the_settings_over_the_api(acme: Organization, issue: Issue) -> None:
    admin = client_of(issue(acme).secret)
    made = admin.post(
        KEYS,
        {
            "name": "Shop",
            "scopes": ["records:read"],
            "rotation_policy": {"every_days": 90, "overlap_seconds": 86400},
            "alerts": {"usage_threshold": 60, "alert_emails": ["ops@acme.example"]},
        },
        format="json",
    ).json()
    assert made["rotation_policy"]["enabled"] is True
    assert made["rotation_policy"]["overlap_seconds"] == 86400
    assert made["alerts"]["usage_threshold"] == 60
    assert made["alerts"]["notify_on_expiration"] is True
    changed = admin.patch(
        f"{KEYS}/{made['id']}",
        {"rotation_policy": {"every_days": None}, "alerts": {"notify_on_high_usage": False}},
        format="json",
    ).json()
    assert changed["rotation_policy"]["enabled"] is False
    assert changed["rotation_policy"]["next_rotation_at"] is None
    assert changed["alerts"]["alert_emails"] == ["ops@acme.example"]
    assert changed["alerts"]["notify_on_high_usage"] is False


def test_a_person_has_no_current_key(acme: Organization) -> None:
    from tests.people import signed_in

    problem(signed_in(member(acme)).get(f"{KEYS}/current"), 404, "not_found")
