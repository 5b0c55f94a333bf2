"""The life of a key: issued, checked, rotated, suspended, resumed, revoked, expired."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.apikeys.errors import KeyRefused, ScopeNotHeld
from apps.apikeys.models import APIKey
from apps.apikeys.services import ceilings, keys
from apps.audit.models import AuditEntry
from apps.events.models import Event
from apps.kernel.crypto import hashing
from apps.kernel.errors import Conflict, InvalidInput, RaceLost
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor
from tests.apikeys.conftest import Issue

ANNA = Actor("user", "anna@example.com", "Anna")


def test_a_key_is_shown_once_and_kept_as_a_hash(acme: Organization) -> None:
    issued = keys.create(organization=acme, name="Shop", actor=ANNA, scopes=["records:read"])

    assert issued.key.number == f"KEY-{timezone.now().year}-00001"
    assert issued.key.created_by == "Anna"
    assert issued.secret not in repr(issued)
    row = APIKey.objects.values().get()
    secret_part = issued.secret.rsplit("_", 1)[1]
    assert all(secret_part not in str(value) for value in row.values())
    assert len(bytes(row["digest"])) == 32
    assert keys.verify(issued.secret) == issued.key


def test_without_an_expiry_a_key_lives_as_long_as_the_setting_says(acme: Organization, settings: Any) -> None:
    settings.API_KEY_EXPIRY = 30
    before = timezone.now()
    key = keys.create(organization=acme, name="Shop", actor=ANNA).key
    assert key.expires_at is not None
    assert timedelta(days=30) <= key.expires_at - before < timedelta(days=30, minutes=1)
    assert key.days_until_expiration in (29, 30)

    settings.API_KEY_EXPIRY = 0
    forever = keys.create(organization=acme, name="Shop", actor=ANNA).key
    assert (forever.expires_at, forever.never_expires) == (None, True)


def test_each_deed_is_audited_and_told_without_the_secret(acme: Organization) -> None:
    issued = keys.create(organization=acme, name="Shop", actor=ANNA, scopes=["records:read"])
    keys.suspend(key=issued.key, actor=ANNA, reason="Odd calls")
    keys.resume(key=issued.key, actor=ANNA)
    successor = keys.rotate(key=issued.key, actor=ANNA, overlap=timedelta(hours=1))
    keys.revoke(key=successor.key, actor=ANNA, reason="Done")

    deeds = ["created", "suspended", "resumed", "rotated", "revoked"]
    entries = AuditEntry.objects.filter(organization=acme, object_type="apikey").order_by("sequence")
    assert [entry.action for entry in entries] == [f"api_key.{deed}" for deed in deeds]
    events = Event.objects.filter(organization=acme, type__startswith="api_key.").order_by("id")
    assert [event.type for event in events] == [f"api_key.{deed}" for deed in deeds]
    told = str(list(entries.values())) + str(list(events.values()))
    for secret in (issued.secret, successor.secret):
        assert secret.rsplit("_", 1)[1] not in told


@pytest.mark.parametrize("how", ["checksum", "unknown", "secret", "rubbish"])
def test_every_wrong_key_is_refused_with_the_same_words(acme: Organization, issue: Issue, how: str) -> None:
    from apps.apikeys import key_format

    right = issue(acme).secret
    if how == "checksum":
        wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    elif how == "unknown":
        wrong = key_format.generate(key_type="secret", environment="production").text
    elif how == "secret":
        body = right[:-49] + "A" * 43
        wrong = body + key_format.checksum(body)
        assert key_format.public_part(wrong) is not None
    else:
        wrong = "not a key"
    with pytest.raises(KeyRefused) as refused:
        keys.verify(wrong)
    assert refused.value.detail == "The API key is not valid."


def test_a_key_is_refused_at_the_very_second_of_its_expiry(
    acme: Organization, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = datetime(2031, 5, 1, 12, 0, 0, tzinfo=UTC)
    issued = issue(acme, expires_at=end)
    monkeypatch.setattr(timezone, "now", lambda: end - timedelta(microseconds=1))
    assert keys.verify(issued.secret) == issued.key
    monkeypatch.setattr(timezone, "now", lambda: end)
    with pytest.raises(KeyRefused):
        keys.verify(issued.secret)


def test_expired_keys_are_marked_by_themselves(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    APIKey.objects.filter(pk=issued.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert keys.expire_due() == 1
    issued.key.refresh_from_db()
    assert issued.key.status == "expired"
    assert Event.objects.filter(type="api_key.expired", subject=issued.key.number).count() == 1
    assert keys.expire_due() == 0


def test_revoked_is_for_ever(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    keys.revoke(key=issued.key, actor=ANNA)
    with pytest.raises(KeyRefused):
        keys.verify(issued.secret)
    for deed in (keys.suspend, keys.rotate):
        with pytest.raises((RaceLost, Conflict)):
            deed(key=issued.key, actor=ANNA)
    with pytest.raises(Conflict):
        keys.resume(key=issued.key, actor=ANNA)
    with pytest.raises(Conflict):
        keys.change(key=issued.key, actor=ANNA, name="Again")
    issued.key.refresh_from_db()
    assert (issued.key.status, issued.key.name) == ("revoked", "test")


def test_suspending_refuses_and_resuming_lets_in_again(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    keys.suspend(key=issued.key, actor=ANNA)
    with pytest.raises(KeyRefused):
        keys.verify(issued.secret)
    keys.resume(key=issued.key, actor=ANNA)
    assert keys.verify(issued.secret).status == "active"


def test_an_expired_key_is_not_resumed(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    keys.suspend(key=issued.key, actor=ANNA)
    APIKey.objects.filter(pk=issued.key.pk).update(expires_at=timezone.now())
    issued.key.refresh_from_db()
    with pytest.raises(Conflict):
        keys.resume(key=issued.key, actor=ANNA)
    issued.key.refresh_from_db()
    assert issued.key.status == "suspended"


def test_rotation_keeps_rights_and_bounds_the_old_keys_life(acme: Organization, issue: Issue) -> None:
    old = issue(acme, name="Shop", scopes=["records:read"], ip_whitelist=["192.0.2.0/24"])
    new = keys.rotate(key=old.key, actor=ANNA, overlap=timedelta(hours=2))

    old.key.refresh_from_db()
    assert old.key.expires_at is not None
    assert timedelta(hours=1, minutes=59) < old.key.expires_at - timezone.now() <= timedelta(hours=2)
    assert (new.key.group, new.key.name, new.key.scopes) == (old.key.group, "Shop", ["records:read"])
    assert new.key.ip_whitelist == ["192.0.2.0/24"]
    assert new.key.never_expires
    assert keys.verify(old.secret) == old.key
    assert keys.verify(new.secret) == new.key


def test_rotation_never_lengthens_the_old_keys_life(acme: Organization, issue: Issue) -> None:
    end = timezone.now() + timedelta(minutes=5)
    old = issue(acme, expires_at=end)
    keys.rotate(key=old.key, actor=ANNA, overlap=timedelta(days=7))
    old.key.refresh_from_db()
    assert old.key.expires_at == end


def test_rotation_without_overlap_ends_the_old_key_at_once(acme: Organization, issue: Issue) -> None:
    old = issue(acme)
    new = keys.rotate(key=old.key, actor=ANNA, overlap=timedelta(0))
    with pytest.raises(KeyRefused):
        keys.verify(old.secret)
    assert keys.verify(new.secret) == new.key
    old.key.refresh_from_db()
    assert old.key.status == "expired"


def test_a_key_of_a_closed_organization_is_refused(acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    Organization.objects.filter(pk=acme.pk).update(is_active=False)
    with pytest.raises(KeyRefused):
        keys.verify(issued.secret)


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"name": "  "}, "/name"),
        ({"scopes": ["records"]}, "/scopes/0"),
        ({"scopes": ["records:read", "records:explode"]}, "/scopes/1"),
        ({"scopes": ["records:read", "recrods:read"]}, "/scopes/1"),
        ({"rate_limits": {"whole": {"per_minute": 0}}}, "/rate_limits/per_minute"),
        ({"key_type": "golden"}, "/key_type"),
        ({"environment": "moon"}, "/environment"),
        ({"key_type": "public", "scopes": ["records:write"]}, "/scopes"),
        ({"key_type": "restricted", "scopes": ["*:*"]}, "/scopes"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "/expires_at"),
        ({"ip_whitelist": ["192.0.2.300"]}, "/security/ip_whitelist/0"),
        ({"ip_blacklist": ["::1/129"]}, "/security/ip_blacklist/0"),
        ({"allowed_endpoints": ["FETCH /x"]}, "/allowed_endpoints/0"),
        ({"allowed_origins": ["example.com"]}, "/security/allowed_origins/0"),
        ({"max_request_size": 0}, "/security/max_request_size"),
        ({"api_version": "v99"}, "/api_version"),
    ],
)
def test_nonsense_is_refused_with_a_pointer(
    acme: Organization, issue: Issue, values: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        issue(acme, **values)
    assert pointer in [error.pointer for error in refused.value.errors]
    assert APIKey.objects.count() == 0


def test_networks_are_kept_in_one_form(acme: Organization, issue: Issue) -> None:
    key = issue(acme, ip_whitelist=["192.0.2.7", "::ffff:198.51.100.0/120", "2001:DB8::/32"]).key
    assert key.ip_whitelist == ["192.0.2.7/32", "198.51.100.0/24", "2001:db8::/32"]


def test_nobody_gives_a_key_more_than_they_hold(acme: Organization) -> None:
    developer = ceilings.Ceiling(scopes=frozenset({"records:*", "api-keys:*"}))
    for scopes in (["*:*"], ["audit:read"], ["records:read", "*:read"], ["admin:*"]):
        with pytest.raises(ScopeNotHeld):
            keys.create(organization=acme, name="Up", actor=ANNA, scopes=scopes, ceiling=developer)
    assert APIKey.objects.count() == 0
    fine = keys.create(organization=acme, name="Ok", actor=ANNA, scopes=["records:read"], ceiling=developer)
    assert fine.key.scopes == ["records:read"]


def test_a_limited_key_makes_keys_that_are_limited_alike(acme: Organization, issue: Issue) -> None:
    limited = issue(
        acme,
        ip_whitelist=["192.0.2.0/24"],
        allowed_endpoints=["* /*"],
        permissions={"read": True, "write": True},
    )
    ceiling = ceilings.of_key(limited.key)
    for values in (
        {},
        {"ip_whitelist": ["192.0.0.0/16"], "allowed_endpoints": ["* /*"]},
        {"ip_whitelist": ["192.0.2.1"], "allowed_endpoints": []},
        {"ip_whitelist": ["192.0.2.1"], "allowed_endpoints": ["* /*"], "permissions": keys.ALL_PERMISSIONS},
    ):
        with pytest.raises(ScopeNotHeld):
            keys.create(
                organization=acme, name="Up", actor=ANNA, scopes=["records:read"], ceiling=ceiling, **values
            )
    child = keys.create(
        organization=acme,
        name="Ok",
        actor=ANNA,
        scopes=["records:read"],
        ceiling=ceiling,
        ip_whitelist=["192.0.2.128/25"],
        allowed_endpoints=["* /*"],
    )
    assert child.key.ip_whitelist == ["192.0.2.128/25"]


def test_a_change_never_raises_a_key(acme: Organization, issue: Issue) -> None:
    key = issue(acme, scopes=["records:*"], permissions={"read": True, "write": True}).key
    for values in (
        {"scopes": ["*:*"]},
        {"scopes": ["records:*", "jobs:read"]},
        {"permissions": {"admin": True}},
    ):
        with pytest.raises(ScopeNotHeld):
            keys.change(key=key, actor=ANNA, **values)
    changed = keys.change(
        key=key, actor=ANNA, scopes=["records:read"], permissions={"write": False}, name="Less"
    )
    changed.refresh_from_db()
    assert (changed.scopes, changed.can_write, changed.name) == (["records:read"], False, "Less")
    entry = AuditEntry.objects.get(action="api_key.changed")
    assert entry.changes["scopes"] == [["records:*"], ["records:read"]]


def test_a_pepper_may_be_rotated_without_breaking_keys(
    acme: Organization, issue: Issue, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUB_PEPPERS", raising=False)
    settings.HUB_PEPPERS_JSON = ""
    settings.HUB_PEPPERS = tmp_path / "peppers.json"
    hashing.PepperRing.generate_file(settings.HUB_PEPPERS)
    old = issue(acme)
    before = old.key.pepper_id
    hashing.get_peppers().add_key()
    new = issue(acme)
    assert new.key.pepper_id != before
    assert keys.verify(old.secret) == old.key
    assert keys.verify(new.secret) == new.key


def test_an_unknown_attribute_is_a_mistake_of_the_programmer(acme: Organization) -> None:
    with pytest.raises(TypeError):
        keys.create(organization=acme, name="X", actor=SYSTEM, status="active")
