"""`manage.py api_key` does what the admin and the API do."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from apps.apikeys.errors import KeyRefused
from apps.apikeys.models import APIKey, RateLimit
from apps.apikeys.services import applications, keys, rotation, sessions, verified
from apps.audit.models import AuditEntry
from apps.kernel.crypto import hashing, peppers
from apps.kernel.crypto.hashing import PepperRing
from apps.tenants.models import Organization
from tests.apikeys.conftest import Issue
from tests.people import member


def run(*args: str) -> str:
    out = StringIO()
    call_command("api_key", *args, stdout=out)
    return out.getvalue()


def told(*args: str) -> Any:
    return json.loads(run(*args, "--json"))


def test_the_whole_life_of_a_key(acme: Organization) -> None:
    made = told("create", "--name", "Shop", "--scope", "records:read", "--ip", "192.0.2.0/24", "--days", "30")
    number = made["id"]
    assert keys.verify(made["key"]).number == number
    assert made["security"]["ip_whitelist"] == ["192.0.2.0/24"]
    assert made["days_until_expiration"] == 29

    assert [row["id"] for row in told("list")] == [number]
    assert "key" not in told("show", number)
    assert told("suspend", number, "--reason", "Odd")["status"] == "suspended"
    assert told("list", "--status", "active") == []
    assert told("resume", number)["status"] == "active"
    successor = told("rotate", number, "--overlap-hours", "1")
    assert keys.verify(successor["key"]).group == keys.verify(made["key"]).group
    assert told("revoke", number, "--reason", "Done")["status"] == "revoked"
    with pytest.raises(KeyRefused):
        keys.verify(made["key"])

    deeds = AuditEntry.objects.filter(object_ref=number).order_by("sequence")
    assert [entry.action for entry in deeds] == [
        f"api_key.{verb}" for verb in ("created", "suspended", "resumed", "rotated", "revoked")
    ]
    assert {entry.actor_kind for entry in deeds} == {"command"}


def test_a_key_with_limits_of_its_own(acme: Organization) -> None:
    made = told(
        "create", "--name", "Shop", "--scope", "records:read", "--per-minute", "60", "--per-day", "900"
    )
    rule = RateLimit.objects.get()
    assert (rule.subject_id, rule.limits) == (keys.verify(made["key"]).group.hex, {"minute": 60, "day": 900})
    told("create", "--name", "Other", "--scope", "records:read")
    assert RateLimit.objects.count() == 1


def test_for_people_it_prints_a_key_once(acme: Organization) -> None:
    out = run("create", "--name", "Shop", "--scope", "*:*", "--signed")
    assert "sk_live_" in out
    assert "sk_sign_" in out
    listed = run("list")
    assert "Shop" in listed
    assert APIKey.objects.get().prefix in listed
    assert "status" in run("show", APIKey.objects.get().number)


def test_signing_secrets_and_waiting_keys(acme: Organization, issue: Issue) -> None:
    issued = issue(acme, rotate_every_days=30)
    assert told("signing-secret", issued.key.number)["signing_secret"].startswith("sk_sign_")
    APIKey.objects.filter(pk=issued.key.pk).update(next_rotation_at=timezone.now())
    rotation.rotate_due()
    waiting = APIKey.objects.get(waiting_secret__isnull=False)
    assert keys.verify(told("collect", waiting.number)["key"]) == waiting
    with pytest.raises(CommandError, match="does not wait"):
        run("collect", waiting.number)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("show", "KEY-2026-99999"), "has no API key"),
        (("list", "--organization", "nobody"), "There is no organization"),
        (("create", "--name", " "), "needs a name"),
        (("create", "--name", "X", "--scope", "nonsense"), "resource:action"),
        (("create", "--name", "X", "--scope", "recrods:read"), "no resource “recrods”"),
        (("create", "--name", "X", "--per-minute", "0"), "A number from 1"),
        (("create", "--name", "X", "--expires-at", "soon"), "is a moment"),
        (("create", "--name", "X", "--days", "-1"), "in the past"),
    ],
)
def test_mistakes_are_told_in_a_sentence(acme: Organization, args: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*args)


def test_of_several_organizations_one_is_named(
    acme: Organization, globex: Organization, issue: Issue
) -> None:
    number = issue(globex).key.number
    with pytest.raises(CommandError, match="acme, globex"):
        run("list")
    with pytest.raises(CommandError, match="Acme has no API key"):
        run("revoke", number, "--organization", "acme")
    assert told("revoke", number, "--organization", "globex")["status"] == "revoked"


class TestPeppers:
    @pytest.fixture(autouse=True)
    def ring(self, tmp_path: Path, settings: Any) -> None:
        settings.HUB_PEPPERS_JSON = ""
        settings.HUB_PEPPERS = tmp_path / "peppers.json"
        PepperRing.generate_file(settings.HUB_PEPPERS)

    def rotate(self, *args: str) -> Any:
        out = StringIO()
        call_command("rotate_peppers", *args, "--json", stdout=out)
        return json.loads(out.getvalue())

    def test_a_used_key_moves_and_an_unused_pepper_goes(self, acme: Organization, issue: Issue) -> None:
        used, idle, ended = issue(acme), issue(acme), issue(acme)
        keys.revoke(key=ended.key, actor=keys.SYSTEM)
        assert peppers.by_kind()["API keys"] == {"p1": 2}
        hashing.get_peppers().add_key()  # p2, with which nothing is ever hashed
        assert self.rotate("--new-pepper")["added"] == "p3"
        assert keys.verify(used.secret) == used.key
        used.key.refresh_from_db()
        assert used.key.pepper_id == "p3"
        assert self.rotate("--prune")["dropped"] == ["p2"]
        assert peppers.by_kind()["API keys"] == {"p1": 1, "p3": 1}
        verified.forget_all()
        assert keys.verify(used.secret) == used.key
        keys.verify(idle.secret)
        assert peppers.by_kind()["API keys"] == {"p3": 2}
        assert hashing.get_peppers().pepper_ids == ("p1", "p3")

    def test_what_seals_the_audit_log_is_kept_unless_it_is_given_up(
        self, acme: Organization, issue: Issue
    ) -> None:
        issue(acme)
        self.rotate("--new-pepper")
        told = StringIO()
        call_command("rotate_peppers", "--prune", stdout=StringIO(), stderr=told)
        assert "p1 was kept: without it 1 API keys, " in told.getvalue()
        assert "seals of the audit log could not be verified" in told.getvalue()
        assert "--give-up p1" in told.getvalue()
        assert hashing.get_peppers().pepper_ids == ("p1", "p2")
        call_command("verify_audit", verbosity=0)

        for args, wrong in (
            (["--give-up", "p1"], "goes with --prune"),
            (["--prune", "--give-up", "p2"], "is the active pepper"),
            (["--prune", "--give-up", "p9"], "no pepper p9"),
        ):
            with pytest.raises(CommandError, match=wrong):
                self.rotate(*args)
        assert hashing.get_peppers().pepper_ids == ("p1", "p2")

        given_up = self.rotate("--prune", "--give-up", "p1")
        assert given_up["dropped"] == ["p1"]
        assert "seals of the audit log" in given_up["unverifiable"]["p1"]
        assert hashing.get_peppers().pepper_ids == ("p2",)
        entry = AuditEntry.objects.filter(action="peppers.rotated").latest("sequence")
        assert entry.changes["dropped"] == [["p1"], None]
        assert entry.changes["unverifiable"] == [None, given_up["unverifiable"]]

    def test_what_hashes_client_secrets_and_tokens_is_kept(self, acme: Organization) -> None:
        issued = applications.create(
            organization=acme, actor=keys.SYSTEM, name="Shop", redirect_uris=["https://app.example.com/cb"]
        )
        user = member(acme, "owner")
        sessions.begin(user=user, organization=acme, origin="password", actor=keys.SYSTEM)
        self.rotate("--new-pepper")
        for kind in ("secrets of OAuth applications", "token families"):
            assert peppers.by_kind()[kind] == {"p1": 1}
        assert "1 secrets of OAuth applications" in self.rotate("--prune")["kept"]["p1"]
        application = applications.rotate_secret(
            application=issued.application, actor=keys.SYSTEM, overlap=timedelta(hours=1)
        ).application
        assert peppers.by_kind()["secrets of OAuth applications"] == {"p1": 1, "p2": 1}
        applications.rotate_secret(application=application, actor=keys.SYSTEM)
        assert peppers.by_kind()["secrets of OAuth applications"] == {"p2": 1}

    def test_a_key_whose_pepper_is_gone_is_refused_as_any_other(
        self, acme: Organization, issue: Issue, settings: Any
    ) -> None:
        issued = issue(acme)
        hashing.get_peppers().add_key()
        hashing.get_peppers().drop_keys(["p1"])
        with pytest.raises(KeyRefused):
            keys.verify(issued.secret)
        assert peppers.by_kind()["API keys"] == {"p1": 1}
        assert self.rotate()["lost"]["p1"] == peppers.in_use()["p1"] > 1


def test_an_expiry_may_be_given_as_a_moment(acme: Organization) -> None:
    end = (timezone.now() + timedelta(days=3)).isoformat()
    assert told("create", "--name", "X", "--expires-at", end)["days_until_expiration"] == 2
    assert told("create", "--name", "X", "--days", "0")["never_expires"] is True
