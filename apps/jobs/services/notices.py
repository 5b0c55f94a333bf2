"""What mails about jobs and schedules say: what happened, and what to do about it."""

from __future__ import annotations

import smtplib
from urllib.parse import quote

from django.conf import settings
from django.core.mail import EmailMessage

from apps.jobs.models import Job, JobArtifact, JobDelivery, ScheduleRun
from apps.jobs.schedule_statuses import ScheduleStatus
from apps.jobs.services import downloads
from apps.jobs.statuses import JobStatus


def send(row: JobDelivery) -> None:
    """Mail a notice. Raises what the mail server raises."""
    if row.job is not None:
        subject, text = about_job(row.job)
    elif row.run is not None:
        subject, text = about_run(row.run)
    else:
        return
    # Each reader sees no other's address.
    EmailMessage(subject, text, None, [], bcc=[str(one) for one in row.recipients][:20]).send()


def about_job(job: Job) -> tuple[str, str]:
    """Subject and text about a job that has ended."""
    status = job.get_status_display().lower()
    rows = "row" if job.failed_records == 1 else "rows"
    wrong = f", {job.failed_records:,} {rows} left out" if job.failed_records else ""
    kind = job.get_job_type_display()
    lines = [
        f"{kind} {job.number} “{job.name}” ({job.dataset.name}): {status}{wrong}.",
        job.summary.get("message", ""),
        job.status_reason,
        *job.summary.get("details", []),
        *job.summary.get("recommendations", []),
    ]
    if job.status == JobStatus.FAILED:
        lines.append("Open the job to see its errors; once the cause is mended, choose “Retry” there.")
    return f"{kind} {status}{wrong}: {job.name}"[:180], _joined(lines, f"jobs/job/{job.number}/")


def about_run(run: ScheduleRun) -> tuple[str, str]:
    """Subject and text about a scheduled run that failed before it made a job, or once too often."""
    schedule = run.schedule
    kind = schedule.get_job_type_display().lower()
    lines = [
        f"The scheduled {kind} {schedule.number} “{schedule.name}” ({schedule.dataset.name}) failed.",
        run.reason,
    ]
    if schedule.status == ScheduleStatus.PAUSED:
        lines.append(f"It is paused now. {schedule.status_reason}")
    else:
        lines.append("It runs again at its next time. “Run now” on its page tries it at once.")
    subject = f"Scheduled {kind} failed: {schedule.name}"
    if schedule.status == ScheduleStatus.PAUSED:
        subject = f"Scheduled {kind} is paused after failures: {schedule.name}"
    return subject[:180], _joined(lines, f"jobs/jobschedule/{schedule.number}/")


def about_file(job: Job, output: JobArtifact, address: str) -> tuple[str, str]:
    """Subject and text of a mail that brings a file, attached or as a link."""
    lines = [f"{output.filename}: {output.rows:,} rows of {job.dataset.name}, from the export {job.number}."]
    if address:
        megabytes = output.file_size / 2**20
        lines += [
            f"The file has {megabytes:,.0f} MB, too much for a mail. This link opens it for a week, for "
            "everybody who has it:",
            address,
        ]
    return f"{job.name}: {output.filename}"[:180], "\n".join(lines) + "\n"


def link(output: JobArtifact, seconds: int) -> str:
    """A signed address that opens the file, for so long or as long as it is kept."""
    return f"{address(output.job)}?token={quote(downloads.link_token(output, seconds=seconds))}"


def address(job: Job) -> str:
    """Where the API hands out the exported file."""
    return f"{settings.HUB_BASE_URL}/api/v1/export/{job.number}/download"


def explain(error: Exception) -> str:
    """What went wrong with a mail, without addresses or secrets."""
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "The mail server does not accept the hub's user name and password: see EMAIL_URL."
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "The mail server refused every recipient."
    if isinstance(error, smtplib.SMTPSenderRefused):
        return "The mail server refused the hub's own address: see EMAIL_URL."
    if isinstance(error, smtplib.SMTPDataError | smtplib.SMTPResponseException):
        return f"The mail server refused the message ({error.smtp_code})."
    if isinstance(error, OSError | smtplib.SMTPException):
        return f"The mail server cannot be reached ({type(error).__name__}): see EMAIL_URL."
    return f"It failed unexpectedly ({type(error).__name__}); the details are in the server's log."


def _joined(lines: list[str], path: str) -> str:
    said = list(dict.fromkeys(line for line in lines if line))
    return "\n".join([*said, "", f"{settings.HUB_BASE_URL}/admin/{path}"]) + "\n"
