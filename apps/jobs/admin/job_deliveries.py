"""Where a job's file is brought: what became of it, on the job's page, and bringing it somewhere now."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from apps.jobs.admin.delivery_forms import DeliverForm
from apps.jobs.models import Job, JobDelivery
from apps.jobs.schedule_statuses import DeliveryStatus
from apps.jobs.services import deliveries, downloads
from apps.kernel.admin import ago, allows, badge, status_badge
from apps.kernel.errors import HubError, InvalidInput

SHOWN = 50


class JobDeliveries:
    """The views and the card of deliveries, mixed into the admin of jobs."""

    admin_site: Any
    opts: Any
    media: Any
    object_or_404: Any
    object_url: Any
    list_url: Any
    has_write_permission: Any

    def delivery_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<str:object_id>/deliver/", wrap(self.deliver_view), name="jobs_job_deliver"),
            path(
                "<str:object_id>/deliveries/<str:delivery>/retry/",
                wrap(self.delivery_retry_view),
                name="jobs_job_delivery_retry",
            ),
        ]

    def may_deliver(self, request: HttpRequest, job: Job) -> bool:
        """Whether its file is there, and this person may send it out."""
        rights = allows(request, "records:read") and allows(request, "locations:read")
        if job.is_import or not rights or not self.has_write_permission(request, job):
            return False
        try:
            downloads.output_of(job)
        except HubError:
            return False
        return True

    def deliveries_shown(self, request: HttpRequest, job: Job) -> list[dict[str, Any]]:
        """The job's deliveries for its page, newest first."""
        may = self.has_write_permission(request, job)
        rows = job.deliveries.select_related("location").order_by("-id")[:SHOWN]
        return [
            {
                "what": row.get_kind_display(),
                "to": row.to,
                "state": _state(row, job),
                "when": ago(row.delivered_at or row.created_at),
                "note": _note(row),
                "retry": reverse("admin:jobs_job_delivery_retry", args=[job.number, row.public_id])
                if may and row.status == DeliveryStatus.FAILED
                else "",
            }
            for row in rows
        ]

    def deliver_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Choose where the file is brought now."""
        job: Job = self.object_or_404(request, object_id)
        if not self.may_deliver(request, job):
            raise PermissionDenied
        post = request.POST if request.method == "POST" else None
        form = DeliverForm(post, organization=job.organization)
        problem = ""
        if post is not None and form.is_valid():
            given = form.destinations()
            if not given:
                problem = "Choose a place, or enter an address."
            else:
                try:
                    deliveries.order(job=job, destinations=given, actor=request.actor)  # type: ignore[attr-defined]
                except InvalidInput as error:
                    problem = "" if form.place_errors(error) else error.detail
                except HubError as error:
                    problem = error.detail
                else:
                    messages.success(request, "The file is on its way; this page shows what becomes of it.")
                    return HttpResponseRedirect(self.object_url(job))
        request.current_app = self.admin_site.name
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Deliver {job.number}",
            "media": self.media,
            "hub_trail": [
                {"title": "Jobs", "link": self.list_url()},
                {"title": job.number, "link": self.object_url(job)},
                {"title": "Deliver"},
            ],
            "job": job,
            "output": downloads.output_of(job),
            "form": form,
            "problem": problem,
            "back": self.object_url(job),
        }
        return TemplateResponse(request, "jobs/deliver.html", context)

    def delivery_retry_view(self, request: HttpRequest, object_id: str, delivery: str) -> HttpResponse:
        """Try a failed delivery again."""
        job: Job = self.object_or_404(request, object_id)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_write_permission(request, job):
            raise PermissionDenied
        pk = JobDelivery.parse_public_id(delivery[:60])
        rows = job.deliveries.select_related("organization", "job", "location")
        row = rows.filter(pk=pk).first() if pk else None
        if row is None:
            raise Http404("There is no such delivery.")
        try:
            deliveries.retry(delivery=row, actor=request.actor)  # type: ignore[attr-defined]
            messages.success(request, "It is tried again.")
        except HubError as error:
            messages.error(request, error.detail)
        return HttpResponseRedirect(self.object_url(job))


def _state(row: JobDelivery, job: Job) -> Any:
    if row.status == DeliveryStatus.WAITING and row.next_attempt_at is None:
        return badge("Not delivered", "quiet") if job.is_complete else badge("Waits for the file", "quiet")
    if row.status == DeliveryStatus.WAITING and row.attempts:
        return badge("Tried again", "warn")
    return status_badge(row.status, row.get_status_display())


def _note(row: JobDelivery) -> str:
    """What went wrong, and when it is tried again."""
    if not row.last_error:
        return ""
    tries = "1 try" if row.attempts == 1 else f"{row.attempts} tries"
    if row.next_attempt_at is None:
        return f"{row.last_error} Given up after {tries}."
    seconds = max(0, (row.next_attempt_at - timezone.now()).total_seconds())
    wait = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f"{row.last_error} {tries.capitalize()} so far, the next in {wait}."
