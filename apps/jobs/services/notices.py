"""Mails about finished jobs, to those who asked for them."""

from __future__ import annotations

from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail

from apps.jobs.models import Job


def send(*, job_id: UUID | str) -> None:
    """Mail the outcome. Raises what the mail server raises (the task logs it)."""
    job = Job.objects.select_related("dataset").filter(pk=job_id).first()
    if job is None:
        return
    recipients = [str(address) for address in job.notifications.get("notify_emails", [])][:20]
    if not recipients:
        return
    lines = [
        f"{job.get_job_type_display()} {job.number} “{job.name}” ({job.dataset.name}): "
        f"{job.get_status_display().lower()}.",
        job.summary.get("message", ""),
        job.status_reason,
        *job.summary.get("details", []),
        *job.summary.get("recommendations", []),
        "",
        f"{settings.HUB_BASE_URL}/admin/jobs/job/{job.number}/",
    ]
    send_mail(
        f"{job.number} {job.get_status_display().lower()}",
        "\n".join(line for n, line in enumerate(lines) if line or n == len(lines) - 2),
        None,
        recipients,
    )
