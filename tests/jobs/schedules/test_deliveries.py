"""Where exports go, who hears of jobs, and what is tried again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone

from apps.apikeys.services import keys
from apps.events.services import fanout
from apps.jobs.models import Job, JobDelivery
from apps.jobs.services import deliveries, exports
from apps.kernel.errors import RaceLost
from apps.records.services import records
from apps.webhooks.models import WebhookEndpoint
from apps.webhooks.services import dispatch
from tests.jobs.conftest import ADA
from tests.jobs.schedules.conftest import run_now
from tests.peers.mail_peer import mail_peer
from tests.webhooks.receiver import receiving

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _one_client(clients):
    records.create(dataset=clients, values={"external_id": "C1", "name": "Ada"}, actor=ADA)


def states():
    return [(row.kind, row.status, row.attempts) for row in JobDelivery.objects.order_by("id")]


def again():
    """All waits are over."""
    JobDelivery.objects.filter(status="waiting").update(next_attempt_at=timezone.now())
    for row in JobDelivery.objects.filter(status="waiting"):
        assert deliveries.attempt(delivery_id=row.pk)


def test_an_export_goes_to_every_destination(scheduled, sftp, sftp_place, s3, s3_place, mailoutbox):
    today = f"{timezone.now():%Y-%m-%d}"
    schedule = scheduled(
        export_options={"columns": ["external_id", "name"]},
        destinations=[
            {"kind": "location", "location": sftp_place, "path": "out/{dataset}-{date}.{ext}"},
            {"kind": "location", "location": s3_place, "path": ""},
            {"kind": "mail", "recipients": ["boss@example.com"]},
        ],
    )

    assert run_now(schedule).status == "completed"

    assert states() == [("location", "delivered", 1), ("location", "delivered", 1), ("mail", "delivered", 1)]
    text = (sftp.folder / "out" / f"clients-{today}.csv").read_text("utf-8-sig")
    assert text.splitlines() == ["external_id,name", "C1,Ada"]
    assert [p.name for p in (sftp.folder / "out").iterdir()] == [f"clients-{today}.csv"]
    assert s3.stored() == [f"clients-{today}.csv"]
    assert [(m.subject, m.to, m.bcc) for m in mailoutbox] == [
        (f"Nightly: clients-{today}.csv", [], ["boss@example.com"])
    ]
    assert mailoutbox[0].attachments[0].filename == f"clients-{today}.csv"


def test_a_large_upload_to_s3_goes_in_parts(scheduled, s3, s3_place, monkeypatch):
    monkeypatch.setattr("apps.jobs.places.s3.PART", 10)
    # Amazon wants at least 5 MB in each part but the last; the peer can be told otherwise.
    monkeypatch.setattr("moto.s3.models.S3_UPLOAD_PART_MIN_SIZE", 5)
    run_now(scheduled(destinations=[{"kind": "location", "location": s3_place, "path": "x.csv"}]))
    assert states() == [("location", "delivered", 1)]
    assert b"Ada" in s3.get("x.csv")


def test_a_large_file_is_a_link_in_the_mail(scheduled, mailoutbox, monkeypatch, client: Client):
    monkeypatch.setattr(deliveries, "ATTACHED_BYTES", 10)
    run_now(scheduled(destinations=[{"kind": "mail", "recipients": ["boss@example.com"]}]))

    (message,) = mailoutbox
    assert message.attachments == []
    link = urlsplit(re.search(r"http\S+", message.body)[0])
    answer = client.get(f"{link.path}?{link.query}")
    assert b"Ada" in b"".join(answer.streaming_content)
    assert client.get(f"{link.path}?{link.query}x").status_code == 404


def test_a_place_that_is_down_is_tried_again_and_then_waits_for_a_person(scheduled, sftp, sftp_place):
    sftp.stop()
    run_now(scheduled(destinations=[{"kind": "location", "location": sftp_place, "path": "x.csv"}]))
    row = JobDelivery.objects.get()
    assert (row.status, row.attempts) == ("waiting", 1)
    assert "cannot be reached" in row.last_error
    assert timedelta(seconds=20) < row.next_attempt_at - timezone.now() <= timedelta(seconds=30)
    for _ in range(5):
        again()
    row.refresh_from_db()
    assert (row.status, row.attempts, row.next_attempt_at) == ("failed", 6, None)

    deliveries.retry(delivery=row, actor=ADA)
    assert (row.status, row.attempts) == ("waiting", 0)
    with pytest.raises(RaceLost):
        deliveries.retry(delivery=row, actor=ADA)
    assert Job.objects.get().status == "completed"


def test_wrong_credentials_are_not_tried_again_by_themselves(scheduled, sftp_place, sftp):
    sftp_place.credentials = {"secret": "wrong"}
    sftp_place.save()
    run_now(scheduled(destinations=[{"kind": "location", "location": sftp_place, "path": "x.csv"}]))
    row = JobDelivery.objects.get()
    assert (row.status, row.attempts) == ("failed", 1)
    assert row.last_error == "127.0.0.1 does not accept this user name and password."


def test_a_worker_that_dies_over_a_delivery_leaves_it_to_the_next(scheduled, sftp, sftp_place, monkeypatch):
    schedule = scheduled(destinations=[{"kind": "location", "location": sftp_place, "path": "x.csv"}])

    def die(row):
        raise SystemExit

    monkeypatch.setattr(deliveries, "_pay", die)
    with pytest.raises(SystemExit):
        run_now(schedule)
    monkeypatch.undo()
    row = JobDelivery.objects.get()
    assert (row.status, row.attempts, row.lease_owner != "") == ("waiting", 1, True)
    assert not deliveries.attempt(delivery_id=row.pk)
    JobDelivery.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert deliveries.wake() == 1
    assert deliveries.attempt(delivery_id=row.pk)
    assert (sftp.folder / "x.csv").exists()


def test_notices_go_through_a_mail_server_and_are_tried_again(organization, clients, settings):
    with mail_peer() as box:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", box.port
        box.refusals = 1
        job = exports.create(
            organization=organization, dataset=clients, actor=ADA, name="All",
            notifications={"notify_on_completion": True, "notify_emails": ["a@example.com", "b@example.com"]},
        )  # fmt: skip
        from apps.jobs.services import work

        work.take(job_id=job.pk)
        again()
        row = JobDelivery.objects.get()
        assert (row.status, row.last_error) == ("waiting", "The mail server refused the message (451).")
        again()

    assert states() == [("notice", "delivered", 2)]
    assert box.recipients == [["a@example.com", "b@example.com"]]
    (message,) = box.messages
    assert message["Subject"] == "Export completed: All"
    assert "b@example.com" not in message.as_string()
    assert f"/admin/jobs/job/{job.number}/" in message.get_payload()
    assert mail.outbox == []


def test_an_address_that_was_named_is_told_signed_and_nobody_else_with_it(scheduled, organization):
    with receiving() as server:
        schedule = scheduled(notifications={"webhook_url": server.url})
        other = scheduled(name="Other", notifications={"webhook_url": f"{server.url}?other"})
        again_same = scheduled(name="Third", notifications={"webhook_url": server.url})
        number = schedule.notifications["webhook"]
        assert again_same.notifications == {"webhook": number}
        assert other.notifications["webhook"] != number
        run_now(schedule)
        fanout.sweep()
        dispatch.drain()

    assert sorted(json.loads(a.body)["type"] for a in server.arrivals) == [
        "export.completed",
        "job.completed",
    ]
    assert {a.path for a in server.arrivals} == {"/hook"}
    endpoint = WebhookEndpoint.objects.get(number=number)
    arrival = next(a for a in server.arrivals if b"export.completed" in a.body)
    content = f"{arrival.id}.{arrival.headers['webhook-timestamp']}.".encode() + arrival.body
    key = base64.b64decode(endpoint.secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert arrival.headers["webhook-signature"] == f"v1,{signature}"
    data = json.loads(arrival.body)["data"]
    assert (data["rows"], data["schedule"], data["notify"]) == (1, schedule.number, number)
    address = urlsplit(data["download_url"])
    assert (address.path, address.query) == (f"/api/v1/export/{data['id']}/download", "")
    assert Client().get(address.path).status_code == 401
    for scopes, status in ((["jobs:read"], 403), (["jobs:read", "records:read"], 200)):
        issued = keys.create(
            organization=organization, name=f"{status}", actor=ADA, scopes=scopes, never_expires=True
        )
        answer = Client().get(address.path, headers={"Authorization": f"Bearer {issued.secret}"})
        assert answer.status_code == status
    assert b"Ada" in b"".join(answer.streaming_content)
