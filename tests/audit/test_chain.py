"""The chain: what somebody who holds the database, but not the hub's keys, does to it shows."""

from __future__ import annotations

import json
import threading
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone

from apps.audit.models import HUB, AuditAnchor, AuditChain, AuditEntry
from apps.audit.services import anchors, entries, seals, verification
from apps.kernel.crypto import hashing
from apps.tenants.models import Organization
from apps.tenants.principals import SYSTEM, Actor
from apps.tenants.services import organizations


@pytest.fixture(autouse=True)
def _own_home(settings: Any, tmp_path: Path) -> None:
    settings.HUB_HOME = tmp_path


@pytest.fixture
def acme(db: None) -> Organization:
    return organizations.create(name="Acme")


def write(organization: Organization | None, count: int) -> list[AuditEntry]:
    return [
        entries.record(
            organization=organization,
            actor=Actor("user", "ada@example.com", "Ada", ip="2001:DB8::0001"),
            action="thing.changed",
            object_type="thing",
            object_ref=f"T-{n}",
            object_label="Café \U0001f600 \x00 \udc80 thing",
            changes={"n": [n, 1e16 + n], "f": [0.1, -0.0], "deep": [None, {"b": 1, "a": [1.0, 2**70]}]},
        )
        for n in range(count)
    ]


def sql(text: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(text, values)


def pk_of(entry: AuditEntry) -> Any:
    return entry.pk if connection.vendor == "postgresql" else entry.pk.hex


def codes(organization: Organization | None, **options: Any) -> set[str]:
    return {problem.code for problem in verification.verify(organization, **options).problems}


def test_what_the_hub_wrote_is_intact(acme: Organization) -> None:
    write(acme, 5)
    write(None, 3)
    results = {r.chain: r for r in verification.verify_all()}
    assert {name: (r.intact, r.checked, r.last) for name, r in results.items()} == {
        HUB: (True, 3, 3),
        acme.pk.hex: (True, 5, 5),
    }
    stored = AuditEntry.objects.get(sequence=1, organization=acme)
    assert stored.ip == "2001:db8::1"
    assert stored.changes["deep"][1] == {"b": 1, "a": [1.0, 2**70]}


def test_seals_are_keyed(acme: Organization) -> None:
    [entry] = write(acme, 1)
    values = {name: getattr(entry, name) for name in seals.COVERED}
    values["changes"] = AuditEntry._meta.get_field("changes").get_prep_value(entry.changes)
    assert entry.hash != seals.plain_hash(values)
    strange = hashing.PepperRing.from_env(
        f"{hashing.get_peppers().active_id}:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    )
    assert not seals.entry_is_genuine(strange, values, entry.key_id, entry.hash)


@pytest.mark.parametrize(
    "column", ["action", "actor_ref", "object_label", "changes", "ip", "at", "actor_kind"]
)
def test_a_changed_entry_shows(acme: Organization, column: str) -> None:
    entry = write(acme, 4)[1]
    values: dict[str, Any] = {
        "changes": '{"n":[0,0]}',
        "ip": "192.0.2.1",
        "at": connection.ops.adapt_datetimefield_value(timezone.now()),
    }
    sql(f"UPDATE audit_auditentry SET {column} = %s WHERE id = %s", values.get(column, "x"), pk_of(entry))
    result = verification.verify(acme)
    assert [(p.code, p.sequence) for p in result.problems] == [("changed", 2)]


def test_spaces_inside_the_stored_json_are_a_change(acme: Organization) -> None:
    entry = write(acme, 1)[0]
    sql("UPDATE audit_auditentry SET changes = changes || ' ' WHERE id = %s", pk_of(entry))
    assert codes(acme) == {"changed"}


def test_rewriting_the_chain_without_the_key_shows(acme: Organization) -> None:
    """The attacker knows the code, and makes every hash anew: plain ones, for the key is not there."""
    write(acme, 5)
    previous = ""
    rows = AuditEntry.objects.filter(organization=acme).order_by("sequence")
    for row in rows:
        values = {name: getattr(row, name) for name in seals.COVERED}
        values["changes"] = '{"n":[7,7]}'
        values["previous_hash"] = previous
        previous = seals.plain_hash(values)
        sql(
            "UPDATE audit_auditentry SET changes = %s, previous_hash = %s, hash = %s, key_id = '' "
            "WHERE id = %s",
            *(values["changes"], values["previous_hash"], previous, pk_of(row)),
        )
    sql("UPDATE audit_auditchain SET last_hash = %s WHERE chain = %s", previous, acme.pk.hex)
    assert "head_forged" in codes(acme)


@pytest.mark.parametrize("gone", [(1,), (3,), (2, 3, 4)])
def test_a_missing_entry_shows(acme: Organization, gone: tuple[int, ...]) -> None:
    for entry in write(acme, 5):
        if entry.sequence in gone:
            sql("DELETE FROM audit_auditentry WHERE id = %s", pk_of(entry))
    [problem] = verification.verify(acme).problems
    assert (problem.code, problem.sequence) == ("missing", gone[0])
    assert ("Entries" in problem.detail) == (len(gone) > 1)


def test_closing_the_gap_shows(acme: Organization) -> None:
    written = write(acme, 4)
    sql("DELETE FROM audit_auditentry WHERE id = %s", pk_of(written[1]))
    for entry in written[2:]:
        sql("UPDATE audit_auditentry SET sequence = sequence - 1 WHERE id = %s", pk_of(entry))
    assert {"order", "changed", "truncated"} <= codes(acme)


def test_reordered_entries_show(acme: Organization) -> None:
    written = write(acme, 4)
    for entry, sequence in ((written[1], 99), (written[2], 2), (written[1], 3)):
        sql("UPDATE audit_auditentry SET sequence = %s WHERE id = %s", sequence, pk_of(entry))
    assert {"order", "changed"} <= codes(acme)


def test_a_cut_off_tail_shows(acme: Organization) -> None:
    for entry in write(acme, 5)[3:]:
        sql("DELETE FROM audit_auditentry WHERE id = %s", pk_of(entry))
    [problem] = verification.verify(acme).problems
    assert (problem.code, problem.sequence) == ("truncated", 4)
    # It goes on showing when the hub has written more.
    write(acme, 2)
    assert "missing" in codes(acme)


def test_shortening_the_head_with_the_tail_shows(acme: Organization) -> None:
    written = write(acme, 5)
    sql("DELETE FROM audit_auditentry WHERE id = %s", pk_of(written[4]))
    sql(
        "UPDATE audit_auditchain SET length = 4, last_hash = %s WHERE chain = %s",
        written[3].hash,
        acme.pk.hex,
    )
    assert "head_forged" in codes(acme)
    write(acme, 1)
    assert "restarted" in codes(acme)


def test_a_head_that_is_gone_shows_for_ever(acme: Organization) -> None:
    write(acme, 3)
    sql("DELETE FROM audit_auditchain")
    assert codes(acme) == {"head_missing"}
    write(acme, 1)
    assert codes(acme) == {"restarted"}


def test_an_older_state_put_back_shows_by_anchors_outside(acme: Organization, tmp_path: Path) -> None:
    """The attacker has kept an old copy of the tables, seals and all, and puts it back."""
    write(acme, 3)
    old = list(AuditChain.objects.values())
    write(acme, 3)
    assert verification.verify(acme).intact
    kept = tmp_path / "kept.ndjson"
    anchors.default_file().rename(kept)

    sql("DELETE FROM audit_auditentry WHERE sequence > 3")
    sql("DELETE FROM audit_auditanchor")
    AuditChain.objects.all().delete()
    AuditChain.objects.bulk_create(AuditChain(**row) for row in old)

    assert verification.verify(acme).intact  # nothing inside the database can tell
    anchors.default_file().unlink()
    AuditAnchor.objects.all().delete()
    outside = verification.outside_anchors([kept])
    assert codes(acme, outside=outside) == {"rolled_back"}
    write(acme, 4)
    assert "anchor" in codes(acme, outside=outside)


def test_an_anchor_in_hub_home_is_enough(acme: Organization) -> None:
    write(acme, 3)
    assert verification.verify(acme).intact
    sql("DELETE FROM audit_auditentry")
    sql("DELETE FROM audit_auditchain")
    sql("DELETE FROM audit_auditanchor")
    assert codes(acme) == {"rolled_back"}


def test_forged_anchors_and_rubbish_in_files(acme: Organization, tmp_path: Path) -> None:
    write(acme, 3)
    assert verification.verify(acme).intact
    line = anchors.default_file().read_text()
    forged = json.loads(line) | {"length": 900}
    anchors.default_file().write_text(f'garbage\n2026 INFO {line}{json.dumps(forged)}\n{{"chain":1}}\n\xff')
    assert codes(acme) == {"anchor_forged"}


def test_a_foreign_entry_shows(acme: Organization) -> None:
    other = organizations.create(name="Globex")
    write(acme, 2)
    stray = write(other, 3)[2]
    sql(
        "UPDATE audit_auditentry SET organization_id = %s WHERE id = %s",
        acme.pk if connection.vendor == "postgresql" else acme.pk.hex,
        pk_of(stray),
    )
    assert codes(acme) == {"foreign"}
    assert codes(other) == {"truncated"}


def test_a_quick_verification_begins_at_the_last_anchor(acme: Organization) -> None:
    write(acme, 4)
    assert verification.verify(acme).checked == 4
    write(acme, 2)
    result = verification.verify(acme, quick=True)
    assert (result.intact, result.checked, result.first, result.last) == (True, 2, 5, 6)
    sql("DELETE FROM audit_auditentry WHERE sequence = 6")
    assert codes(acme, quick=True) == {"truncated", "rolled_back"}


def test_old_plain_hashes_still_verify_below_keyed_ones(acme: Organization) -> None:
    first = write(acme, 1)[0]
    values = {name: getattr(first, name) for name in seals.COVERED}
    values["changes"] = AuditEntry._meta.get_field("changes").get_prep_value(first.changes)
    plain = seals.plain_hash(values)
    sql("UPDATE audit_auditentry SET hash = %s, key_id = '' WHERE id = %s", plain, pk_of(first))
    head = AuditChain.objects.get(pk=acme.pk.hex)
    head.last_hash = plain
    seals.seal_chain(head)
    head.save()
    write(acme, 2)
    assert verification.verify(acme).intact


def test_peppers_rotate(acme: Organization, settings: Any) -> None:
    write(acme, 2)
    ring = hashing.get_peppers()
    text = ",".join(
        f"{key_id}:{__import__('base64').b64encode(ring._keys.keys[key_id]).decode()}"
        for key_id in ring.pepper_ids
    )
    new = "n9:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="
    settings.HUB_PEPPERS_JSON = f"{new},{text}"
    write(acme, 2)
    assert verification.verify(acme).intact
    settings.HUB_PEPPERS_JSON = new
    assert "unknown_key" in codes(acme)


def test_the_alarm_sounds_once(acme: Organization) -> None:
    write(acme, 3)
    told: list[str] = []

    def alarm(result: verification.Result) -> None:
        told.append(result.name)

    verification.alarms.append(alarm)
    try:
        sql("UPDATE audit_auditentry SET action = 'x' WHERE sequence = 2")
        assert not verification.verify(acme).intact
        assert not verification.verify(acme).intact
    finally:
        verification.alarms.remove(alarm)
    assert told == ["Acme"]
    assert AuditEntry.objects.filter(action="audit.found_broken").count() == 1


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue()


def test_the_command(acme: Organization, tmp_path: Path) -> None:
    write(acme, 3)
    code, text = run()
    assert code == 0
    assert "Acme: 3 entries verified" in text
    assert "The audit log is intact: 3 entries in 2 chains" in text

    sql("UPDATE audit_auditentry SET action = 'x' WHERE sequence = 2")
    code, text = run("--organization", acme.slug)
    assert code == 1
    assert "changed: Entry 2 (x) is not as the hub wrote it." in text
    code, text = run("--json")
    document = json.loads(text)
    assert code == 1
    assert document["intact"] is False
    assert [c["intact"] for c in document["chains"]] == [True, False]
    assert document["chains"][1]["problems"][0]["code"] == "changed"
    assert run("--hub")[0] == 0
    assert run("--organization", "nobody")[0] == 2
    assert run("--anchors", str(tmp_path / "nothing"))[0] == 2


@pytest.mark.django_db(transaction=True)
def test_many_write_at_once(transactional_db: None) -> None:
    acme = organizations.create(name="Acme")

    def work(organization: Organization | None) -> None:
        try:
            for _ in range(10):
                entries.record(organization=organization, actor=SYSTEM, action="thing.done")
        finally:
            connections.close_all()

    targets: list[Organization | None] = [acme, acme, None, None]
    workers = [threading.Thread(target=work, args=(target,)) for target in targets]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [(r.intact, r.checked) for r in verification.verify_all()] == [(True, 20), (True, 20)]


def test_many_batches(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    write(acme, 25)
    monkeypatch.setattr(verification, "BATCH", 7)
    result = verification.verify(acme)
    assert (result.intact, result.checked) == (True, 25)
    sql("DELETE FROM audit_auditentry WHERE sequence = 14")
    assert codes(acme) == {"missing"}
