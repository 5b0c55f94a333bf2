"""What is owed for finished jobs, paid at least once: files to places and by mail, notices by mail.

A delivery is a row, written in the transaction that ends the job. Whoever brings it leases the row; it is
tried again after longer and longer waits, and in the end waits for a person.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from uuid import UUID

from django.core.mail import EmailMessage
from django.db import transaction
from django.utils import timezone

from apps.audit.services import entries
from apps.events.services import outbox
from apps.jobs import events
from apps.jobs.models import Job, JobArtifact, JobDelivery, JobSchedule, ScheduleRun
from apps.jobs.places import open_place
from apps.jobs.schedule_statuses import DELIVERY_TRANSITIONS, DeliveryKind, DeliveryStatus
from apps.jobs.services import downloads, notices, storage
from apps.jobs.services.destinations import Destinations, fall_due, problems, promised
from apps.jobs.services.locations import target_of
from apps.jobs.statuses import ArtifactKind, JobStatus
from apps.kernel.background import enqueue
from apps.kernel.errors import HubError, InvalidInput, NotFound
from apps.kernel.leases import Heartbeat, LeaseLost, claim, fenced_update, free, owner_name, release
from apps.kernel.redaction import redact_text
from apps.kernel.states import move
from apps.tenants.principals import Actor

logger = logging.getLogger(__name__)

TASK = "jobs.deliver"
LEASE = 120.0
RETRIES = (30, 120, 600, 3600, 4 * 3600)
"""Seconds before each further try."""
ATTACHED_BYTES = 10 * 2**20
"""A larger file is not attached: the mail has a link that opens it for a week."""
LINK_SECONDS = 7 * 24 * 3600


def owe(job: Job) -> None:
    """Write what is owed for a job that has ended, in the transaction that ends it."""
    asked = job.notifications
    completed = job.status == JobStatus.COMPLETED
    owed: list[JobDelivery] = []
    output = JobArtifact.objects.filter(job=job, kind=ArtifactKind.OUTPUT).first()
    if completed and output is not None:
        _fall_due(job, output)
        if asked.get("webhook"):
            _tell_of_file(job, output)
    recipients = asked.get("notify_emails") or []
    if recipients and asked.get("notify_on_completion" if completed else "notify_on_error"):
        owed.append(
            JobDelivery(
                organization=job.organization, job=job, kind=DeliveryKind.NOTICE, recipients=recipients
            )
        )
    _write(owed)


def order(*, job: Job, destinations: Destinations, actor: Actor) -> list[JobDelivery]:
    """Bring the file of a finished export somewhere now.

    Raises InvalidInput with a pointer per field, NotReady before the file is there, NotFound after its time.
    """
    if wrong := problems(job.organization, destinations):
        raise InvalidInput(wrong[0].detail, errors=wrong)
    output = downloads.output_of(job)
    owed = promised(job, destinations)
    for row in owed:
        fall_due(row, job, output)
    with transaction.atomic():
        _write(owed)
        entries.record(
            organization=job.organization,
            actor=actor,
            action="job.delivery_ordered",
            target=job,
            changes={"to": [None, [row.to for row in owed]]},
        )
    return owed


def _fall_due(job: Job, output: JobArtifact) -> None:
    """What was ordered with the export is due now that its file is there."""
    promised_rows = JobDelivery.objects.filter(
        job=job, status=DeliveryStatus.WAITING, next_attempt_at=None
    ).select_related("location")
    for row in promised_rows:
        fall_due(row, job, output)
        row.save(update_fields=["path", "next_attempt_at"])
        enqueue(TASK, str(row.pk), queue="jobs")


def _tell_of_file(job: Job, output: JobArtifact) -> None:
    """An event with the file's address, for the one endpoint that was named.

    Events are read by many and kept for long: the address opens the file to a key, not to whoever has it.
    """
    outbox.publish(
        organization=job.organization,
        type="export.completed",
        data=events.data_of_export(job, output, notices.address(job)),
        subject=job.number,
    )


def owe_run_notice(run: ScheduleRun, schedule: JobSchedule) -> None:
    """A notice about a run that failed without a job that tells of itself."""
    asked = schedule.notifications
    if asked.get("notify_on_error") and asked.get("notify_emails"):
        _write(
            [
                JobDelivery(
                    organization=schedule.organization,
                    run=run,
                    kind=DeliveryKind.NOTICE,
                    recipients=asked["notify_emails"],
                )
            ]
        )


def _write(owed: list[JobDelivery]) -> None:
    JobDelivery.objects.bulk_create(owed)
    for row in owed:
        enqueue(TASK, str(row.pk), queue="jobs")


def wake() -> int:
    """Ring for every delivery that is due and that nobody works on; returns how many."""
    now = timezone.now()
    due = JobDelivery.objects.filter(free(now), status=DeliveryStatus.WAITING, next_attempt_at__lte=now)
    keys = list(due.order_by("next_attempt_at").values_list("pk", flat=True)[:200])
    for key in keys:
        enqueue(TASK, str(key), queue="jobs")
    return len(keys)


def attempt(*, delivery_id: UUID | str) -> bool:
    """Try a delivery that is due; false if there is nothing to do or somebody else is at it."""
    due = JobDelivery.objects.filter(
        pk=delivery_id, status=DeliveryStatus.WAITING, next_attempt_at__lte=timezone.now()
    ).select_related("job__dataset", "job__organization", "location__organization", "run__schedule__dataset")
    claimed = claim(due, owner=owner_name(), seconds=LEASE)
    if not claimed:
        return False
    row = claimed[0]
    try:
        # Counted before it is tried: whoever dies over it has tried it.
        fenced_update(row, attempts=row.attempts + 1)
        with Heartbeat(row, LEASE):
            _pay(row)
        with transaction.atomic():
            fenced_update(row, last_error="", next_attempt_at=None, delivered_at=timezone.now())
            move(row, DeliveryStatus.DELIVERED, DELIVERY_TRANSITIONS)
    except LeaseLost as lost:
        logger.info("%s was left: %s", row, lost.detail)
    except HubError as error:
        _not_now(row, error.detail, final=not error.transient)
    except Exception as error:  # what mail servers raise is no tree of ours
        logger.warning("%s failed: %s", row.pk, type(error).__name__)
        _not_now(row, notices.explain(error), final=False)
    release(row)
    return True


def _pay(row: JobDelivery) -> None:
    if row.kind == DeliveryKind.NOTICE:
        notices.send(row)
        return
    assert row.job is not None
    output = downloads.output_of(row.job)
    if row.kind == DeliveryKind.MAIL:
        _mail(row, row.job, output)
        return
    if row.location is None:
        raise NotFound("The place was deleted: there is nowhere to deliver to.")
    with storage.opened(output.file_path) as content, open_place(target_of(row.location)) as place:
        place.upload(row.path, content)


def _mail(row: JobDelivery, job: Job, output: JobArtifact) -> None:
    """The file attached, or a link to it where it is large."""
    attached = output.file_size <= ATTACHED_BYTES
    subject, text = notices.about_file(job, output, "" if attached else notices.link(output, LINK_SECONDS))
    message = EmailMessage(subject, text, None, [], bcc=[str(one) for one in row.recipients])
    if attached:
        with storage.opened(output.file_path) as content:
            message.attach(output.filename, content.read(), output.mime_type.partition(";")[0])
    message.send()


def _not_now(row: JobDelivery, reason: str, *, final: bool) -> None:
    reason = redact_text(reason)[:500]
    try:
        with transaction.atomic():
            if final or row.attempts > len(RETRIES):
                fenced_update(row, last_error=reason, next_attempt_at=None)
                move(row, DeliveryStatus.FAILED, DELIVERY_TRANSITIONS)
            else:
                wait = RETRIES[row.attempts - 1]
                due = timezone.now() + timedelta(seconds=wait)
                fenced_update(row, last_error=reason, next_attempt_at=due)
    except HubError as lost:
        logger.info("%s was left: %s", row, lost.detail)


@transaction.atomic
def retry(*, delivery: JobDelivery, actor: Actor) -> JobDelivery:
    """Try a failed delivery again, from the start of its waits. Raises RaceLost if it has not failed."""
    move(
        delivery,
        DeliveryStatus.WAITING,
        DELIVERY_TRANSITIONS,
        attempts=0,
        last_error="",
        next_attempt_at=timezone.now(),
    )
    entries.record(
        organization=delivery.organization,
        actor=actor,
        action="job.delivery_retried",
        target=delivery.job or (delivery.run.schedule if delivery.run else None),
        changes={"to": [None, delivery.to]},
    )
    enqueue(TASK, str(delivery.pk), queue="jobs")
    return delivery
