"""The second trip: a spreadsheet is checked, imported, mended where it was wrong, and taken back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest

from apps.jobs.models import Job
from apps.jobs.services import control, downloads, imports
from apps.records.mapping.sources import COLUMN_PREFIX
from apps.records.models import Change, Record
from apps.records.selectors import count, dataset_of, record_of
from apps.tenants.models import Organization
from apps.webhooks.services import endpoints
from tests.flows.conftest import ADA, work
from tests.webhooks.receiver import Receiver

pytestmark = pytest.mark.django_db(transaction=True)

HEADER = "Kundennummer;Name;E-Mail;Client since"
ROWS = [f"K{n:03d};Client {n};client{n}@example.com;{n % 28 + 1:02d}.03.2024" for n in range(1, 101)]
ROWS[9] = "K010;Client 10;no address;11.03.2024"
ROWS[49] = "K050;;client50@example.com;23.03.2024"
FILE = "\r\n".join([HEADER, *ROWS]).encode("cp1252")


def test_a_spreadsheet_is_checked_imported_mended_and_taken_back(
    organization: Organization, receiver: Receiver, upload: Callable[..., Job]
) -> None:
    endpoints.create(organization=organization, actor=ADA, name="Ops", url=receiver.url, events=["job.*"])
    clients = dataset_of(organization, "clients")
    job = upload(FILE, "Kunden März.csv")
    proposal = imports.propose(job=job)
    matched = {item.source.removeprefix(COLUMN_PREFIX): item.target for item in proposal.spec.fields}
    assert matched["Name"] == "name"
    assert matched["E-Mail"] == "email"
    spec = proposal.spec.to_dict()
    if "Kundennummer" not in matched:
        spec["fields"].append({"target": "external_id", "source": f"{COLUMN_PREFIX}Kundennummer"})
    imports.configure(job=job, actor=ADA, mapping=spec)

    # The check is the real run, rolled back.
    imports.check(job=job, actor=ADA)
    work()
    job.refresh_from_db()
    assert job.status == "pending"
    assert (job.report["created"], job.report["wrong"]) == (98, 2)
    assert not Record.objects.exists()
    assert not Change.objects.exists()

    imports.start(job=job, actor=ADA)
    work()
    job.refresh_from_db()
    assert (job.status, job.created_count, job.failed_records) == ("completed", 98, 2)
    assert count(clients) == 98
    assert record_of(clients, "key:K001").data["since"] == "2024-03-02"
    [finished] = [json.loads(arrival.body) for arrival in receiver.arrivals]
    assert finished["type"] == "job.completed"
    assert finished["data"]["id"] == job.number

    # The rows that were left out come back as a file like the one that was sent.
    rejected = rows_of(downloads.problem_file(job, "rejected"))
    assert [row["Kundennummer"] for row in rejected] == ["K010", "K050"]
    assert "no address" in rejected[0]["_errors"]
    rejected[0]["E-Mail"] = "client10@example.com"
    rejected[1]["Name"] = "Client 50"
    mended = upload(written(rejected), "mended.csv")
    again = imports.propose(job=mended)
    assert again.how == "remembered"
    imports.configure(job=mended, actor=ADA, mapping=again.spec)
    imports.start(job=mended, actor=ADA)
    work()
    mended.refresh_from_db()
    assert (mended.created_count, mended.failed_records) == (2, 0)
    assert count(clients) == 100

    # Undo takes back what this file wrote, and only that.
    foretold = control.undo(job=job, actor=ADA, dry_run=True)
    assert (foretold.reverted, count(clients)) == (98, 100)
    assert control.undo(job=job, actor=ADA).reverted == 98
    assert [record.key for record in Record.objects.filter(deleted_at=None).order_by("key")] == [
        "K010",
        "K050",
    ]
    assert count(clients) == 2


def rows_of(artifact: object) -> list[dict[str, str]]:
    with downloads.open_artifact(artifact) as file:  # type: ignore[arg-type]
        text = file.read().decode("utf-8-sig")
    dialect = csv.Sniffer().sniff(text.splitlines()[0], ",;")
    return list(csv.DictReader(io.StringIO(text), dialect=dialect))


def written(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()
