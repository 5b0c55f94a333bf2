"""What an import may be told: rules, repeated rows, limits, references. None of it is silent."""

from __future__ import annotations

import io

import pytest

from apps.jobs.formats import open_table
from apps.jobs.models import Job, JobError
from apps.jobs.services import control, downloads, imports, repeats, storage
from apps.jobs.services.deletions import Unconfirmed
from apps.jobs.services.repeats import Places
from apps.kernel.errors import InvalidInput
from apps.records.models import Record
from apps.records.selectors import dataset_of
from tests.jobs.conftest import ADA, checked, configured, run, work_on
from tests.jobs.dumps import dump
from tests.jobs.test_imports import names

TWICE = 'external_id,name\nC1,First\nC2,"Two\nlines"\nC1,Second\nC3,Third\nC2,Again\n'


def told(job: Job) -> list[tuple[int, str, str]]:
    return list(JobError.objects.filter(job=job).values_list("row", "severity", "message"))


@pytest.mark.parametrize("batch", [1, 2, 100])
@pytest.mark.parametrize(
    ("policy", "left", "counts", "why"),
    [
        (
            "last",
            {"C1": "Second", "C2": "Again", "C3": "Third"},
            (5, 0, 0),
            "it overwrites what that row said",
        ),
        (
            "first",
            {"C1": "First", "C2": "Two\nlines", "C3": "Third"},
            (3, 0, 2),
            "that row counts and this one is passed over",
        ),
        (
            "error",
            {"C1": "First", "C2": "Two\nlines", "C3": "Third"},
            (3, 2, 0),
            "each may occur once in the file",
        ),
    ],
)
def test_rows_that_repeat_an_earlier_one_are_told_with_both_lines(
    upload, clients, policy, left, counts, why, batch
) -> None:
    job = checked(configured(upload(TWICE), repeats=policy, batch_size=batch))
    assert (job.report["duplicates"], job.report["wrong"], job.report["skipped"]) == (2, *counts[1:])
    foretold = told(job)
    job = run(job)
    assert names(clients) == left
    assert (job.successful_records, job.failed_records, job.skipped_records) == counts
    assert job.duplicate_count == 2
    severity = "error" if policy == "error" else "warning"
    assert (
        told(job)
        == foretold
        == [
            (3, severity, f"Row 3 (line 5) has the same External id “C1” as row 1 (line 2): {why}."),
            (5, severity, f"Row 5 (line 7) has the same External id “C2” as row 2 (line 3): {why}."),
        ]
    )


def test_where_rows_only_create_the_last_cannot_win(upload, clients) -> None:
    job = run(configured(upload(TWICE), mode="create"))
    assert (job.created_count, job.failed_records, job.duplicate_count) == (3, 2, 2)
    assert names(clients)["C1"] == "First"


def test_other_fields_can_be_asked_to_be_there_once(upload, clients) -> None:
    file = "external_id,name,phone\nC1,A,+49 30 1234567\nC2,B,\nC3,C,+49 30 1234567\nC4,D,\n"
    job = run(configured(upload(file), unique_fields=["phone"]))
    assert sorted(names(clients)) == ["C1", "C2", "C4"]
    [(row, severity, message)] = told(job)
    assert (row, severity) == (3, "error")
    assert "as row 1 (line 2): each may occur once in the file." in message


def test_more_values_than_memory_shall_hold_are_remembered_all_the_same(upload, clients, monkeypatch) -> None:
    monkeypatch.setattr(repeats, "IN_MEMORY", 20)
    rows = [f"K{n % 60},N{n}" for n in range(100)]
    job = run(configured(upload("external_id,name\n" + "\n".join(rows)), repeats="first", batch_size=7))
    assert (job.created_count, job.skipped_records, job.duplicate_count) == (60, 40, 40)
    assert names(clients)["K39"] == "N39"
    assert told(job)[-1][2].startswith(
        "Row 100 (line 101) has the same External id “K39” as row 40 (line 41)"
    )


def test_places_need_one_entry_where_lines_and_numbers_go_together() -> None:
    places = Places()
    for handed, number, line in ((1, 1, 2), (2, 2, 3), (3, 4, 5), (4, 5, 6)):
        places.note(handed, number, line)
    assert [places(n) for n in (0, 1, 2, 3, 4)] == [(0, 0), (1, 2), (2, 3), (4, 5), (5, 6)]
    assert len(places._handed) == 2


def test_rules_refuse_rows_and_warn_of_others(upload, clients) -> None:
    file = "external_id,name,status\nC1,Northwind,active\nX2,Contoso,lead\nC3,Al,active\n"
    rules = [
        {"check": "starts_with(external_id, 'C')", "message": "{external_id} is none of ours."},
        {"check": "len(name) > 3", "severity": "warning", "message": "Is {name} the whole name?"},
    ]
    job = checked(configured(upload(file), custom_rules=rules))
    assert [(g["severity"], g["count"], g["message"]) for g in job.report["groups"]] == [
        ("error", 1, "X2 is none of ours."),
        ("warning", 1, "Is Al the whole name?"),
    ]
    job = run(job)
    assert names(clients) == {"C1": "Northwind", "C3": "Al"}
    assert (job.failed_records, job.error_count, job.warning_count) == (1, 1, 1)
    artifact = downloads.problem_file(job, "rejected")
    assert artifact.rows == 1  # what was warned of is in the hub, and needs no second upload
    assert job.summary["details"][1] == "1 warning."


def test_rules_of_a_mapping_go_with_it(upload, clients) -> None:
    job = upload("external_id,name\nC1,Northwind\nC2,Contoso\n")
    spec = imports.propose(job=job).spec.to_dict() | {"rules": [{"check": "name != 'Northwind'"}]}
    imports.configure(job=job, actor=ADA, mapping=spec)
    assert run(job).failed_records == 1
    again = upload("external_id,name\nC1,Northwind\n")
    assert imports.propose(job=again).spec.rules[0].check == "name != 'Northwind'"


@pytest.mark.parametrize(
    ("settings", "pointer"),
    [
        ({"custom_rules": [{"check": "nobody > 1"}]}, "/custom_rules/0"),
        ({"custom_rules": [{"check": "__import__('os')"}]}, "/custom_rules/0"),
        ({"custom_rules": [{"check": "1"}] * 51}, "/custom_rules"),
        ({"unique_fields": ["nobody"]}, "/unique_fields"),
        ({"repeats": "maybe"}, "/repeats"),
        ({"max_errors": 3, "stop_on_error": True, "skip_errors": False}, "/max_errors"),
        ({"deletion_percent": 101}, "/deletion_percent"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(upload, settings, pointer) -> None:
    job = upload("external_id,name\nC1,Northwind\n")
    with pytest.raises(InvalidInput) as caught:
        configured(job, **settings)
    assert [error.pointer for error in caught.value.errors] == [pointer]
    job.refresh_from_db()
    assert (job.configured_at, job.validation_rules) == (None, {})


def test_a_job_stops_after_so_many_wrong_rows_and_goes_on_when_asked(upload, clients) -> None:
    rows = [f"C{n},N,{'nonsense' if n % 4 == 0 else ''}" for n in range(1, 41)]
    job = configured(upload("external_id,name,email\n" + "\n".join(rows)), max_errors=3, batch_size=5)
    assert checked(job).report["stops_after_errors"] == 3
    job = run(job)
    assert job.status == "failed"
    assert job.status_reason.startswith(
        "3 rows were wrong, and the job stops after 3. The 12 right rows before row 16 were imported."
    )
    assert (job.processed_records, job.failed_records, len(names(clients))) == (15, 3, 12)
    assert JobError.objects.filter(job=job).count() == 3
    control.retry(job=job, actor=ADA)
    job = work_on(job)
    assert (job.status, job.processed_records, job.failed_records) == ("failed", 25, 6)
    for _ in range(2):
        control.retry(job=job, actor=ADA)
        job = work_on(job)
    assert (job.status, job.processed_records, job.failed_records) == ("completed", 40, 10)
    assert len(names(clients)) == 30


def many(count: int) -> str:
    return "external_id,name\n" + "".join(f"C{n},Client {n}\n" for n in range(count))


def test_a_replacement_asks_before_it_deletes_more_than_its_limit(upload, clients) -> None:
    run(configured(upload(many(40))))
    job = checked(configured(upload(many(20)), mode="replace"))
    question = "20 of 40 records of “Clients” would be deleted, more than the limit of 25 %."
    assert (job.report["deleted"], job.report["deletion_question"]) == (20, question)
    shown = [sample["key"] for sample in job.report["samples"] if sample["operation"] == "deleted"]
    assert shown == [f"C{n}" for n in range(20, 30)]
    artifact = downloads.file_of(job, "vanishing")
    with storage.opened(artifact.file_path) as file:
        listed = [row.values[0] for row in open_table(io.BytesIO(file.read())).rows]
    assert sorted(listed) == sorted(f"C{n}" for n in range(20, 40))
    assert artifact.rows == 20
    before = dump()
    with pytest.raises(Unconfirmed, match="20 of 40"):
        imports.start(job=job, actor=ADA)
    assert dump() == before
    imports.start(job=job, actor=ADA, confirm_deletions=True)
    job = work_on(job)
    assert (job.status, job.deleted_count, len(names(clients))) == ("completed", 20, 20)


def test_a_replacement_that_nobody_checked_asks_too(upload, clients) -> None:
    run(configured(upload(many(40))))
    file = many(20) + "NEW,New\n"
    job = run(configured(upload(file), mode="replace", validate_before_import=False))
    assert job.status == "failed"
    assert job.status_reason.endswith("Nothing was imported. Confirm the deletions and retry the job.")
    assert len(names(clients)) == 40
    control.retry(job=job, actor=ADA)
    job = work_on(job)
    assert (job.status, len(names(clients))) == ("failed", 40)
    control.retry(job=job, actor=ADA, confirm_deletions=True)
    job = work_on(job)
    assert (job.status, job.created_count, job.deleted_count) == ("completed", 1, 20)
    assert len(names(clients)) == 21


def test_records_that_came_after_the_check_are_not_deleted_unasked(upload, clients) -> None:
    run(configured(upload(many(40))))
    job = checked(configured(upload(many(38)), mode="replace"))
    assert (job.report["deleted"], job.report["deletion_question"]) == (2, "")
    run(configured(upload("external_id,name\n" + "".join(f"D{n},New\n" for n in range(30)))))
    job = run(job)
    assert job.status == "failed"
    assert job.status_reason.startswith("32 of 70 records of “Clients” would be deleted")
    assert len(names(clients)) == 70
    control.retry(job=job, actor=ADA, confirm_deletions=True)
    job = work_on(job)
    assert (job.status, job.deleted_count, len(names(clients))) == ("completed", 32, 38)


def test_the_limits_are_the_jobs_or_the_organizations(upload, organization, clients) -> None:
    run(configured(upload(many(40))))
    file = many(20)
    assert (
        checked(configured(upload(file), mode="replace", deletion_percent=50)).report["deletion_question"]
        == ""
    )
    job = checked(configured(upload(file), mode="replace", deletion_percent=100, deletion_limit=19))
    assert job.report["deletion_question"].endswith("more than the limit of 19.")
    organization.import_deletion_limit, organization.import_deletion_percent = 20, 50
    organization.save()
    clients.refresh_from_db()
    assert checked(configured(upload(file), mode="replace")).report["deletion_question"] == ""


def test_references_are_looked_up_by_another_field(upload, organization, clients) -> None:
    run(configured(upload("external_id,name,email\nC1,Northwind,info@northwind.example\n")))
    orders = dataset_of(organization, "contacts")
    job = upload(
        "external_id,name,client\nP1,Ann,info@northwind.example\nP2,Bob,nobody@x.example\n", dataset=orders
    )
    spec = imports.propose(job=job).spec.to_dict()
    for entry in spec["fields"]:
        if entry["target"] == "client":
            entry["transforms"] = "lookup('clients', 'email')"
    imports.configure(job=job, actor=ADA, mapping=spec)
    job = run(job)
    assert Record.objects.get(dataset=orders).data["client"] == "C1"
    [(row, _, message)] = told(job)
    assert row == 2
    assert "“nobody@x.example” is the email of no record in clients" in message


def test_missing_references_are_created_and_taken_back_with_the_import(upload, organization, clients) -> None:
    contacts = dataset_of(organization, "contacts")
    file = "external_id,name,client\nP1,Ann,Fabrikam\nP2,Bob,Fabrikam\nP3,Cem,Litware\nP4,Dee,\n"

    def ready() -> Job:
        job = upload(file, dataset=contacts)
        spec = imports.propose(job=job).spec.to_dict()
        for entry in spec["fields"]:
            if entry["target"] == "client":
                entry["transforms"] = "lookup('clients', 'external_id', missing='create')"
        return imports.configure(job=job, actor=ADA, mapping=spec, settings=imports.Settings(batch_size=2))

    job = ready()
    before = dump()
    job = checked(job)
    assert dump() == before
    assert (job.report["created"], job.report["wrong"]) == (4, 0)
    assert Record.objects.count() == 0
    job = run(job)
    assert (job.created_count, job.failed_records) == (4, 0)
    assert names(clients) == {"Fabrikam": "Fabrikam", "Litware": "Litware"}
    assert {r.key: r.data.get("client") for r in Record.objects.filter(dataset=contacts)} == {
        "P1": "Fabrikam",
        "P2": "Fabrikam",
        "P3": "Litware",
        "P4": None,
    }
    result = control.undo(job=job, actor=ADA)
    assert (result.reverted, result.refused) == (6, 0)
    assert Record.objects.filter(deleted_at=None).count() == 0


def test_a_reference_that_cannot_be_created_is_told(upload, organization, clients) -> None:
    contacts = dataset_of(organization, "contacts")
    job = upload("external_id,name,client\nP1,Ann,no address\n", dataset=contacts)
    spec = imports.propose(job=job).spec.to_dict()
    for entry in spec["fields"]:
        if entry["target"] == "client":
            entry["transforms"] = "lookup('clients', 'email', missing='create')"
    imports.configure(
        job=job, actor=ADA, mapping=spec, settings=imports.Settings(validate_before_import=False)
    )
    job = run(job)
    [(row, _, message)] = told(job)
    assert row == 1
    assert "There is no record “no address” in “clients”, and none could be made:" in message
    assert Record.objects.count() == 0
