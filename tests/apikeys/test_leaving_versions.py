"""Leaving a version: who still calls it, and what would be different."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from apps.apikeys import selectors
from apps.apikeys.models import ApiVersion
from apps.apikeys.services import rehearsal, usage
from apps.audit.models import AuditEntry
from apps.kernel.api.versions import versions
from apps.tenants.models import Organization, User
from apps.tenants.services import organizations
from tests.apikeys.conftest import Issue, client_of
from tests.house.samples import Maker


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


@pytest.fixture
def delivery(acme: Organization) -> Any:
    return Maker(acme).make(apps.get_model("webhooks", "Delivery"), attempts=3)


@pytest.fixture
def called(acme: Organization, issue: Issue, delivery: Any) -> Any:
    """A key that reads in v1, and once in v2; counted."""
    issued = issue(acme, name="Old shop", api_version="v1")
    client = client_of(issued.secret)
    for _ in range(3):
        client.get("/api/v1/deliveries?limit=1")
    client.get(f"/api/deliveries/{delivery.public_id}")
    client.get("/api/v1/datasets")
    client.get("/api/v1/deliveries/nothing")
    client.get("/api/v2/deliveries")
    usage.flush()
    return issued.key


def run(*args: str) -> str:
    out = StringIO()
    call_command("api_versions", *args, stdout=out)
    return out.getvalue()


def test_who_still_calls_is_known(called: Any, acme: Organization, globex: Organization) -> None:
    uses = {(one.operation, one.count) for one in selectors.callers_of("v1", organization=acme)}
    assert ("GET /deliveries", 3) in uses
    assert ("GET /deliveries/{id}", 2) in uses
    [new] = selectors.callers_of("v2", organization=acme)
    assert (new.caller, new.pin, new.kind) == (f"{called.number} Old shop", "v1", "key")
    assert selectors.callers_of("v1", organization=globex) == []
    assert f"{called.number} Old shop" in run("callers", "v1", "--organization", "acme")
    assert json.loads(run("callers", "v2", "--json"))[0]["count"] == 1
    assert "Nobody" in run("callers", "v2", "--organization", "globex")


def test_a_rehearsal_shows_what_the_changes_explain(called: Any, acme: Organization, delivery: Any) -> None:
    before = AuditEntry.objects.count()
    start, end = rehearsal.revision_named("v1"), rehearsal.revision_named("v2")
    paths = rehearsal.sampled_paths(acme, "v1")
    assert set(paths) == {"/api/deliveries", f"/api/deliveries/{delivery.public_id}", "/api/datasets"}
    done = rehearsal.rehearse(organization=acme, start=start, end=end, paths=paths)
    found = {one.path: one for one in done.comparisons}
    assert found["/api/datasets"].is_same
    listed = found["/api/deliveries"]
    assert {(one.place, one.kind) for one in listed.differences} == {
        ("/data/*/attempts", "gone"),
        ("/data/*/attempt_count", "new"),
    }
    assert [change.id for change in listed.explained_by] == ["delivery-attempt-count"]
    assert not listed.is_unexplained
    assert len(done.different) == 2
    assert AuditEntry.objects.count() == before


def test_inside_a_version_and_back(acme: Organization, delivery: Any) -> None:
    paths = [
        "/api/deliveries",
        "/api/v1/deliveries?limit=1",
        "/api/no/such/thing",
        "/api/docs",
        "/api/health",
    ]
    for start, end in (("v2@2026-11-15", "v2@2026-11-22"), ("v2", "v1")):
        done = rehearsal.rehearse(
            organization=acme,
            start=rehearsal.revision_named(start),
            end=rehearsal.revision_named(end),
            paths=paths,
        )
        assert [one.path for one in done.comparisons] == [
            "/api/deliveries", "/api/deliveries?limit=1", "/api/health",
        ]  # fmt: skip
        assert [one.is_same for one in done.comparisons] == [False, False, True]


def test_it_reads_only_what_belongs_to_the_organization(globex: Organization, delivery: Any) -> None:
    start, end = versions.revisions()[0], versions.revisions()[-1]
    done = rehearsal.rehearse(
        organization=globex,
        start=start,
        end=end,
        paths=[f"/api/deliveries/{delivery.public_id}", "/api/deliveries"],
    )
    assert [one.before for one in done.comparisons] == [404, 200]
    assert done.different == []


def test_what_is_said_twice_differently_is_not_a_difference() -> None:
    found = list(
        rehearsal._differences({"a": [{"x": 1}], "next": "/api/v1/x"}, {"a": [], "next": "/api/v2/x"})
    )
    assert [(one.place, one.kind) for one in found] == [("/a", "changed")]


def test_the_command_tells_it(called: Any, acme: Organization) -> None:
    text = run("rehearse", "v1", "v2", "--organization", "acme", "--key", called.number)
    assert "v1@2026-11-01 → v2@2026-11-22: 3 addresses, 2 differ." in text
    assert "gone     /data/*/attempts  3" in text
    assert "because: A delivery counts its tries" in text
    told = json.loads(
        run("rehearse", "v1", "v2", "--organization", "acme", "--path", "/api/datasets", "--json")
    )
    assert told["comparisons"][0]["differences"] == []
    for wrong in (
        ("rehearse", "v1", "v9", "--organization", "acme"),
        ("callers", "v9"),
        ("callers", "v1", "--organization", "x"),
    ):
        with pytest.raises(CommandError):
            run(*wrong)


def test_the_command_deprecates_and_takes_back(db: None) -> None:
    assert "deprecated" in run("deprecate", "v1", "--sunset", "2999-01-01", "--successor", "v2")
    assert "v1: deprecated, ends 2999-01-01" in run("list")
    entry = AuditEntry.objects.get(action="api_version.updated")
    assert entry.actor_kind == "command"
    assert "active" in run("reinstate", "v1")
    with pytest.raises(CommandError, match="newest"):
        run("deprecate", "v2")
    assert "agree" in run("check")


# The admin.


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def operator(acme: Organization) -> Client:
    user = User.objects.create_superuser("op@example.com", "x")
    organizations.admit(organization=acme, user=user, role="owner")
    return signed_in(user)


@pytest.fixture
def developer(acme: Organization) -> Client:
    user = User.objects.create_user("dev@example.com", "x")
    organizations.admit(organization=acme, user=user, role="developer")
    return signed_in(user)


def address(name: str = "v1", tail: str = "change") -> str:
    return f"/admin/apikeys/apiversion/{ApiVersion.objects.get(version=name).public_id}/{tail}/"


def test_the_pages_show_versions_and_callers(operator: Client, developer: Client, called: Any) -> None:
    for client in (operator, developer):
        listed = client.get("/admin/apikeys/apiversion/").content.decode()
        assert "v1" in listed
        assert "v2" in listed
        shown = client.get(address()).content.decode()
        assert "Old shop" in shown
        assert "GET /deliveries/{id}" in shown
        assert "attempt_count" in client.get(address("v2")).content.decode()


def test_callers_of_other_organizations_are_the_operators_business(
    globex: Organization, called: Any, operator: Client
) -> None:
    user = User.objects.create_user("else@example.com", "x")
    organizations.admit(organization=globex, user=user, role="developer")
    assert "Old shop" not in signed_in(user).get(address()).content.decode()
    assert "Old shop" in operator.get(address()).content.decode()


FORM = {
    "deprecated_at_0": "", "deprecated_at_1": "", "sunset_at_0": "", "sunset_at_1": "", "deprecated_at": "",
    "sunset_at": "", "successor": "v2", "default_revision": "2026-11-01", "note": "Move by summer.",
    "switched_on": ["event_publishing"],
}  # fmt: skip


def test_the_operator_decides_and_developers_look(operator: Client, developer: Client) -> None:
    assert developer.post(address(), FORM).status_code == 403
    answer = operator.post(address(), FORM)
    assert answer.status_code == 302, answer.content.decode()[-3000:]
    row = ApiVersion.objects.get(version="v1")
    assert (row.flags, row.note, row.successor) == ({"bulk_replace": False}, "Move by summer.", "v2")
    assert AuditEntry.objects.filter(action="api_version.updated").count() == 1
    refused = operator.post(
        address("v2"),
        {
            **FORM,
            "successor": "",
            "default_revision": "2026-11-15",
            "deprecated_at": "2026-11-01T00:00",
            "deprecated_at_0": "2026-11-01",
            "deprecated_at_1": "00:00:00",
        },
    )
    assert refused.status_code == 200
    assert "there is nothing to go to" in refused.content.decode()


def test_the_rehearsal_page(operator: Client, developer: Client, called: Any, delivery: Any) -> None:
    url = address(tail="rehearse")
    assert developer.get(url).status_code == 200
    text = developer.get(f"{url}?to=v2@2026-11-22&key={called.number}").content.decode()
    assert "/data/*/attempt_count" in text
    assert "A delivery counts its tries" in text
    assert "There is no version" in developer.get(f"{url}?to=v9").content.decode()
    auditor = User.objects.create_user("aud@example.com", "x")
    organizations.admit(organization=delivery.organization, user=auditor, role="auditor")
    assert signed_in(auditor).get(url).status_code == 403
    assert APIClient().get(url).status_code == 302
