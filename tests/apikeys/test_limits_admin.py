"""Limits in the admin: rules, how much is left, and giving it back."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.apikeys.models import RateLimit
from apps.apikeys.services import limits
from apps.audit.models import AuditEntry
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM
from apps.tenants.roles import Role
from tests.apikeys.conftest import Issue, client_of
from tests.apikeys.test_admin import signed_in

LIST = "/admin/apikeys/ratelimit/"
DATASETS = "/api/v1/datasets"


@pytest.fixture
def owner(acme: Organization) -> Client:
    return signed_in(acme, Role.OWNER)


def test_a_rule_is_added_changed_and_taken_away(owner: Client, acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    assert owner.get(f"{LIST}add/").status_code == 200
    made = owner.post(
        f"{LIST}add/",
        {
            "subject_kind": "key",
            "key": str(key.pk),
            "endpoint": "GET /records/*",
            "per_minute": "5",
            "enabled": "on",
        },
    )
    assert made.status_code == 302, made.content[:3000]
    rule = RateLimit.objects.get()
    assert (rule.organization, rule.subject_kind, rule.subject_id) == (acme, "key", key.group.hex)
    assert rule.limits == {"minute": 5}
    page = owner.get(f"{LIST}{rule.public_id}/change/")
    assert page.status_code == 200
    changed = owner.post(
        f"{LIST}{rule.public_id}/change/",
        {
            "subject_kind": "key",
            "key": str(key.pk),
            "endpoint": "",
            "per_minute": "6",
            "burst": "3",
            "enabled": "on",
        },
    )
    assert changed.status_code == 302, changed.content[:3000]
    rule.refresh_from_db()
    assert (rule.endpoint, rule.limits) == ("", {"minute": 6, "burst": 3})
    listed = owner.get(LIST)
    assert key.number in listed.content.decode()
    owner.post(f"{LIST}{rule.public_id}/delete/", {"post": "yes"})
    assert not RateLimit.objects.exists()
    told = AuditEntry.objects.filter(action="rate_limit.changed", object_ref=key.number).order_by("sequence")
    assert [entry.actor_ref for entry in told] == ["anna@example.com"] * 3
    assert told[0].changes == {"GET /records/* per_minute": [None, 5]}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"subject_kind": "key", "per_minute": "5"}, "key"),
        ({"subject_kind": "organization"}, "per_minute"),
        ({"subject_kind": "organization", "per_minute": "0"}, "per_minute"),
        ({"subject_kind": "organization", "per_day": "5", "endpoint": "records"}, "endpoint"),
    ],
)
def test_a_rule_that_makes_no_sense_comes_back(owner: Client, values: dict[str, str], field: str) -> None:
    answer = owner.post(f"{LIST}add/", {"enabled": "on", **values})
    assert answer.status_code == 200
    assert field in answer.context["adminform"].form.errors
    assert not RateLimit.objects.exists()


def test_what_is_left_is_shown_and_reset(owner: Client, acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    limits.put(target=limits.of_key(issued.key), actor=SYSTEM, whole={"per_minute": 2})
    caller = client_of(issued.secret)
    assert [caller.get(DATASETS).status_code for _ in range(3)] == [200, 200, 429]
    for address in (f"{LIST}now/", f"{LIST}now/?part", f"{LIST}now/key/{issued.key.number}/"):
        page = owner.get(address)
        assert page.status_code == 200
        assert "0 of 2 left" in page.content.decode()
        assert "refused for" in page.content.decode()
        assert "no-store" in page["Cache-Control"]
    reset = f"{LIST}now/key/{issued.key.number}/reset/"
    assert owner.get(reset).status_code == 405
    asked = owner.post(reset)
    assert asked.status_code == 200
    assert caller.get(DATASETS).status_code == 429
    assert owner.post(reset, {"_confirmed": "1"}).status_code == 302
    assert caller.get(DATASETS).status_code == 200
    assert AuditEntry.objects.filter(action="rate_limit.reset", actor_ref="anna@example.com").exists()


def test_from_a_keys_page_to_its_limits(owner: Client, acme: Organization, issue: Issue) -> None:
    key = issue(acme).key
    page = f"{LIST}now/key/{key.number}/"
    assert page in owner.get(f"/admin/apikeys/apikey/{key.number}/change/").content.decode()
    add = owner.get(page).context["rule_url"]
    form = owner.get(add).context["adminform"].form
    assert (form["subject_kind"].value(), str(form["key"].value())) == ("key", str(key.pk))
    limits.put(target=limits.of_key(key), actor=SYSTEM, whole={"per_minute": 2})
    assert owner.get(page).context["rule_url"] == f"{LIST}{RateLimit.objects.get().public_id}/change/"
    auditor = signed_in(acme, Role.AUDITOR, "otto@example.com")
    assert "rule_url" not in auditor.get(page).context


def test_resetting_by_the_rules_action(owner: Client, acme: Organization, issue: Issue) -> None:
    issued = issue(acme)
    limits.put(target=limits.everybody(acme), actor=SYSTEM, whole={"per_minute": 1})
    rule = RateLimit.objects.get()
    caller = client_of(issued.secret)
    assert [caller.get(DATASETS).status_code for _ in range(2)] == [200, 429]
    answer = owner.post(f"{LIST}{rule.public_id}/reset/", {"_confirmed": "1"})
    if answer.status_code == 404:
        data: dict[str, Any] = {"action": "reset", "_selected_action": rule.public_id, "_confirmed": "1"}
        answer = owner.post(LIST, data)
    assert answer.status_code == 302
    assert caller.get(DATASETS).status_code == 200


def test_others_see_nothing_and_auditors_change_nothing(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    key = issue(acme).key
    limits.put(target=limits.of_key(key), actor=SYSTEM, whole={"per_minute": 2})
    rule = RateLimit.objects.get()
    stranger = signed_in(globex, Role.OWNER, "eve@example.com")
    assert stranger.get(f"{LIST}now/key/{key.number}/").status_code == 404
    assert stranger.post(f"{LIST}now/key/{key.number}/reset/", {"_confirmed": "1"}).status_code == 404
    assert key.number not in stranger.get(f"{LIST}now/").content.decode()
    refused = stranger.post(f"{LIST}add/", {"subject_kind": "key", "key": str(key.pk), "per_minute": "1"})
    assert refused.status_code == 200
    auditor = signed_in(acme, Role.AUDITOR, "otto@example.com")
    assert auditor.get(f"{LIST}now/").status_code == 200
    assert auditor.post(f"{LIST}now/key/{key.number}/reset/", {"_confirmed": "1"}).status_code == 404
    assert auditor.get(f"{LIST}add/").status_code == 403
    auditor.post(f"{LIST}{rule.public_id}/delete/", {"post": "yes"})
    assert RateLimit.objects.get() == rule
    staff = signed_in(acme, Role.STAFF, "sue@example.com")
    assert staff.get(f"{LIST}now/").status_code == 404
