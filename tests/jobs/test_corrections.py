"""Wrong cells and rows are corrected before the import, one by one and by cause; the file stays as it was."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apps.audit.models import AuditEntry
from apps.jobs.errors import NotReady
from apps.jobs.models import Cause, Correction, Job, Rejection
from apps.jobs.services import corrections, imports, rowsets, verdicts
from apps.jobs.services.corrections import Edit
from apps.kernel.errors import InvalidInput, NotFound
from apps.records import selectors
from apps.records.services import datasets
from apps.tenants.services import organizations
from tests.jobs.conftest import ADA, checked, configured, run, work_on
from tests.jobs.test_api import client_for, post, sent
from tests.jobs.test_control import when_batch_is_settled

FILE = """external_id;name;email;status
C1;One;one@example.com;active
C2;Two;two(at)example.com;active
C3;Three;three@example.com;Aktiv
C4;Four;four(at)example.com;Aktiv
C5;;five@example.com;lead
Total;5;;
C6;Six;six@example.com;lead;extra
"""


def emails(dataset: Any) -> dict[str, Any]:
    return {r.key: r.data.get("email") for r in selectors.live(dataset)}


def of(job: Job, code: str) -> Cause:
    return corrections.cause_of(
        job, code=code, **{"not_an_email": {"field": "email", "column": "email"}}[code]
    )


@pytest.fixture
def job(upload) -> Job:
    return checked(configured(upload(FILE)))


def test_a_check_keeps_the_wrong_rows_and_the_causes_with_their_rows_and_values(job) -> None:
    assert (job.report["wrong"], job.report["good"]) == (5, 2)
    rows = corrections.wrong_rows(job, numbers={2, 7})
    assert [(row.row, row.line, list(row.values)[:2]) for row in rows] == [
        (2, 3, ["C2", "Two"]),
        (7, 8, ["C6", "Six"]),
    ]
    found = {
        (cause.code, cause.column): (cause.rows, cause.values, list(rowsets.unpack(cause.numbers)))
        for cause in Cause.objects.filter(job=job)
    }
    assert found["not_an_email", "email"] == (
        2,
        [["two(at)example.com", 1], ["four(at)example.com", 1]],
        [2, 4],
    )
    assert found["not_a_choice", "status"] == (2, [["Aktiv", 2]], [3, 4])
    assert found["extra_cell", ""][2] == [7]
    checked(job)
    assert Cause.objects.filter(job=job).count() == len(found)  # a new check replaces them


def test_cells_and_causes_are_corrected_and_the_import_takes_them(job, clients) -> None:
    corrections.edit(job=job, actor=ADA, edits=[Edit(5, column="name", value="Five"), Edit(6, "skip")])
    corrections.fix(job=job, actor=ADA, cause=of(job, "not_an_email"), kind="replace", find="(at)", value="@")
    status = corrections.cause_of(job, code="not_a_choice", field="status", column="status")
    corrections.fix(job=job, actor=ADA, cause=status, kind="set", value="active")
    corrections.fix(job=job, actor=ADA, cause=corrections.cause_of(job, code="extra_cell"), kind="accept")
    job.refresh_from_db()
    assert corrections.totals(job) == {"count": 5, "rows": 7, "stale": True}

    job = checked(job)
    assert (job.report["wrong"], job.report["skipped"], job.report["created"]) == (0, 1, 6)
    assert corrections.totals(job)["stale"] is False
    job = run(job)
    assert (job.status, job.created_count, job.failed_records) == ("completed", 6, 0)
    assert (job.processed_records, job.successful_records, job.skipped_records) == (7, 6, 1)
    assert emails(clients)["C2"] == "two@example.com"
    assert emails(clients)["C4"] == "four@example.com"
    assert selectors.live(clients).get(key="C5").data["name"] == "Five"
    assert selectors.live(clients).get(key="C3").data["status"] == "active"
    assert "Total" not in emails(clients)


def test_the_file_stays_as_it_was_sent_and_a_correction_can_be_taken_back(job, clients) -> None:
    made = corrections.edit(job=job, actor=ADA, edits=[Edit(2, column="email", value="two@example.com")])
    assert (made[0].before, made[0].line) == ("two(at)example.com", 3)
    again = corrections.edit(job=job, actor=ADA, edits=[Edit(2, column="email", value="second@example.com")])
    assert (again[0].before, Correction.objects.filter(job=job).count()) == ("two(at)example.com", 1)
    assert checked(job).report["wrong"] == 4

    assert corrections.take_back(job=job, actor=ADA, corrections=again) == 1
    assert checked(job).report["wrong"] == 5
    corrections.edit(job=job, actor=ADA, edits=[Edit(2, "skip"), Edit(4, "skip")])
    assert corrections.take_back(job=job, actor=ADA) == 2
    assert checked(job).report["wrong"] == 5


def test_the_audit_log_knows_what_was_corrected_but_no_values(job) -> None:
    corrections.edit(job=job, actor=ADA, edits=[Edit(2, column="email", value="secret@example.com")])
    entry = AuditEntry.objects.get(action="job.corrected")
    assert entry.changes["columns"] == [None, ["email"]]
    assert "secret@" not in str(entry.changes)


@pytest.mark.parametrize(
    ("edit", "pointer", "code"),
    [
        (Edit(2, column="nope", value="x"), "/corrections/0/column", "unknown_column"),
        (Edit(2, value="x"), "/corrections/0/column", "unknown_column"),
        (Edit(0, column="email"), "/corrections/0/row", "unknown_row"),
        (Edit(99, column="email"), "/corrections/0/row", "unknown_row"),
        (Edit(2, "explode", "email"), "/corrections/0/kind", "invalid_choice"),
        (Edit(2, "replace", "email", "x"), "/corrections/0/find", "required"),
        (Edit(2, column="email", value="a\0b"), "/corrections/0/value", "nul_byte"),
        (Edit(2, column="email", value="x" * 100_001), "/corrections/0/value", "too_long"),
    ],
)
def test_what_makes_no_sense_is_refused_and_leaves_no_trace(job, edit, pointer, code) -> None:
    with pytest.raises(InvalidInput) as refused:
        corrections.edit(job=job, actor=ADA, edits=[edit])
    assert [(e.pointer, e.code) for e in refused.value.errors] == [(pointer, code)]
    job.refresh_from_db()
    assert (Correction.objects.count(), job.corrected_at) == (0, None)


def test_only_whole_rows_are_accepted_and_unknown_causes_are_not_found(job) -> None:
    with pytest.raises(InvalidInput):
        corrections.fix(job=job, actor=ADA, cause=of(job, "not_an_email"), kind="accept")
    with pytest.raises(NotFound):
        corrections.cause_of(job, code="nothing")
    assert Correction.objects.count() == 0


def test_nothing_is_corrected_once_the_import_was_started(job) -> None:
    mine = Job.objects.get(pk=job.pk)
    imports.start(job=job, actor=ADA)
    with pytest.raises(NotReady):
        corrections.edit(job=mine, actor=ADA, edits=[Edit(2, "skip")])
    assert Correction.objects.count() == 0
    work_on(job)
    with pytest.raises(NotReady):
        corrections.take_back(job=job, actor=ADA)


def test_all_or_nothing_goes_through_when_the_wrong_rows_are_skipped(upload, clients) -> None:
    job = configured(upload(FILE), skip_errors=False, stop_on_error=True)
    corrections.edit(job=job, actor=ADA, edits=[Edit(n, "skip") for n in (2, 3, 4, 5, 6, 7)])
    job = run(job)
    assert (job.status, job.created_count, job.skipped_records) == ("completed", 1, 6)
    assert list(emails(clients)) == ["C1"]


def test_an_import_that_is_taken_up_again_knows_its_corrections(upload, clients) -> None:
    """Skipped rows count as rows of the file, or everything behind them would be off by one."""
    lines = [f"C{n},Client {n},{'wrong' if n % 3 == 0 else f'c{n}@example.com'}" for n in range(1, 61)]
    job = configured(
        upload("external_id,name,email\n" + "\n".join(lines)), batch_size=7, validate_before_import=False
    )
    corrections.edit(
        job=job,
        actor=ADA,
        edits=[Edit(n, "skip") for n in (1, 2, 9, 30, 60)]
        + [
            Edit(n, column="email", value=f"mended{n}@example.com")
            for n in range(3, 61, 3)
            if n not in (9, 30, 60)
        ],
    )
    imports.start(job=job, actor=ADA)

    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    from apps.jobs.services import work

    for batch in (2, 3, 2):
        with pytest.raises(Killed), when_batch_is_settled(batch, kill):
            work.take(job_id=job.pk)
        Job.objects.filter(pk=job.pk).update(lease_owner="", lease_until=None)
    job = work_on(job)
    assert (job.status, job.processed_records, job.created_count) == ("completed", 60, 55)
    assert (job.failed_records, job.skipped_records) == (0, 5)
    assert emails(clients) == {
        f"C{n}": f"mended{n}@example.com" if n % 3 == 0 else f"c{n}@example.com"
        for n in range(1, 61)
        if n not in (1, 2, 9, 30, 60)
    }


def test_row_numbers_pack_small_and_come_back() -> None:
    some = random.Random(4)
    numbers = sorted({some.randrange(1, 10**9) for _ in range(50_000)})
    assert list(rowsets.unpack(rowsets.pack(reversed(numbers)))) == numbers
    regular = rowsets.pack(range(7, 1_000_000, 3))
    assert len(regular) < 20_000
    assert list(rowsets.unpack(regular)) == list(range(7, 1_000_000, 3))
    assert list(rowsets.unpack(rowsets.pack([]))) == []


def test_the_rows_of_a_check_can_be_downloaded_before_anything_is_imported(job) -> None:
    from apps.jobs.services import downloads

    artifact = downloads.problem_file(job, "rejected")
    assert artifact.rows == 5
    job = run(job)
    assert Rejection.objects.filter(job=job).count() == 1  # those of the run
    assert downloads.problem_file(job, "rejected").pk != artifact.pk


def test_programs_see_the_causes_and_correct_too(organization, clients) -> None:
    api = client_for(organization)
    job = sent(api, FILE).json()["id"]
    post(api, "import/validate", {"job": job, "mapping": {"fields": [
        {"target": name, "source": name} for name in ("external_id", "name", "email", "status")
    ]}})  # fmt: skip
    work_on(Job.objects.get(number=job))

    causes = api.get(f"/api/v1/import/{job}/causes").json()["data"]
    assert {"value": "Aktiv", "count": 2} in next(c for c in causes if c["code"] == "not_a_choice")["values"]
    path = f"import/{job}/corrections"
    made = post(api, path, {"corrections": [
        {"cause": {"code": "not_an_email", "field": "email", "column": "email"}, "kind": "replace",
         "find": "(at)", "value": "@"},
        {"row": 5, "column": "name", "value": "Five"},
        {"row": 6, "kind": "skip"},
        {"cause": {"code": "extra_cell"}, "kind": "accept"},
    ]})  # fmt: skip
    assert made.status_code == 201, made.content
    assert [item["rows"] for item in made.json()["data"]] == [2, 1, 1, 1]
    listed = api.get(f"/api/v1/{path}").json()["data"]
    assert [item["kind"] for item in listed] == ["replace", "set", "skip", "accept"]

    assert post(api, f"{path}/take-back", {"corrections": ["cor_nonsense"]}).status_code == 404
    assert post(api, f"{path}/take-back", {"corrections": [listed[2]["id"]]}).json() == {"count": 1}
    assert post(api, "import/validate", {"job": job}).status_code == 202
    status = work_on(Job.objects.get(number=job)).report
    assert (status["wrong"], status["skipped"], status["good"]) == (2, 0, 5)  # “Aktiv”, twice
    assert post(api, f"{path}/take-back").json() == {"count": 3}
    assert Correction.objects.count() == 0


def test_programs_are_told_what_is_wrong_with_a_correction(organization, clients) -> None:
    api = client_for(organization)
    job = sent(api, FILE).json()["id"]
    path = f"import/{job}/corrections"

    def refused(*items: dict[str, Any]) -> tuple[int, str]:
        answer = post(api, path, {"corrections": list(items)})
        problem = answer.json()
        return answer.status_code, (problem.get("errors") or [{}])[0].get("pointer", problem["detail"])

    good = {"row": 1, "column": "name", "value": "x"}
    assert refused(good, {"value": "x"}) == (422, "/corrections/1/row")
    assert refused(good, {"row": 2, "column": "nope"}) == (422, "/corrections/1/column")
    assert refused(good, {"row": 2, "column": "name", "kind": "boom"}) == (422, "/corrections/1/kind")
    assert refused({"cause": {"code": "never"}})[0] == 404
    assert post(api, path, {"corrections": []}).status_code == 422
    assert Correction.objects.count() == 0

    stranger = client_for(organizations.create(name="Globex"))
    assert post(stranger, path, {"corrections": [good]}).status_code == 404
    assert stranger.get(f"/api/v1/{path}").status_code == 404
    assert stranger.get(f"/api/v1/import/{job}/causes").status_code == 404
    reader = client_for(organization, "jobs:read")
    assert post(reader, path, {"corrections": [good]}).status_code == 403
    assert post(client_for(organization, "jobs:write"), path, {"corrections": [good]}).status_code == 403
    assert Correction.objects.count() == 0


def test_an_edited_row_is_judged_against_the_hub_and_by_rules_at_once(upload, organization) -> None:
    staff = datasets.define(
        organization=organization,
        slug="badges",
        name="Badges",
        singular="Badge",
        fields=[
            {"name": "nr", "type": "text"},
            {"name": "chip", "type": "text", "unique": True},
            {"name": "level", "type": "integer"},
            {"name": "holder", "type": "reference", "reference": "clients"},
        ],
        key_field="nr",
        actor=ADA,
    )
    run(configured(upload("nr,chip\nB1,X1\n", dataset=staff)))
    job = upload("nr,chip,level,holder\nB2,X2,much,\nB3,X3,more,\n", dataset=staff)
    job = configured(job, mode="create", custom_rules=[{"check": "level < 10", "message": "Too high."}])
    job = checked(job)

    def said(**cells: str) -> list[str]:
        edits = [corrections.Edit(1, column=column, value=value) for column, value in cells.items()]
        corrections.edit(job=job, actor=ADA, edits=edits)
        return [problem.code for problem in verdicts.of_rows(job, [1])[0].problems]

    assert said(level="5") == []
    assert said(nr="B1") == ["already_exists"]
    assert said(nr="B2", chip="X1") == ["not_unique"]
    assert said(nr="", chip="X2") == ["required"]  # of no record, whatever the field itself asks for
    assert said(nr="B2", holder="nobody") == ["unknown_reference"]
    assert said(holder="", level="50") == ["rule_failed"]
    assert said(level="7", nr="B3") == []  # that row 2 is called so, too, the next check tells
    corrections.edit(job=job, actor=ADA, edits=[corrections.Edit(2, column="level", value="1")])
    job = checked(job)
    assert (job.report["wrong"], job.report["good"]) == (1, 1)
