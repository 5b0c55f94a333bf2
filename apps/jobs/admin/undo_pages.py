"""What an undo cannot take back: records that others changed later, listed before and after it is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from apps.jobs.formats.writers import MIME_TYPES
from apps.jobs.models import Job
from apps.jobs.services import files
from apps.jobs.statuses import WRITABLE
from apps.kernel.admin import allows
from apps.records.models import Change, Record
from apps.records.services import standing

PER_PAGE = 50
FIRST = 10
"""How many the page that asks lists itself."""
AT_ONCE = 1_000
HEADER = ("record", "written_by_import", "changed_later_at", "changed_later_by", "address")


class UndoPages:
    """The views about conflicts of an undo, mixed into the admin of jobs."""

    admin_site: Any
    opts: Any

    def undo_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.conflicts_view)
        return [path("<str:object_id>/conflicts/", view, name="jobs_job_conflicts")]

    def conflicts_view(self, request: HttpRequest, object_id: str) -> HttpResponse | FileResponse:
        """All records that an undo leaves as they are, page by page or as a file."""
        job: Job = self.object_or_404(request, object_id)  # type: ignore[attr-defined]
        if not allows(request, "records:read"):
            raise PermissionDenied
        if job.origin is None:
            raise Http404("This import has written nothing.")
        found = standing.in_the_way(job.origin)
        wanted = request.GET.get("download", "")
        if wanted in WRITABLE:
            return _download(request, job, wanted)
        page = Paginator(found, PER_PAGE).get_page(request.GET.get("p"))
        request.current_app = self.admin_site.name
        address = reverse("admin:jobs_job_change", args=[job.number])
        return TemplateResponse(
            request,
            "jobs/conflicts.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "job": job,
                "title": "What later changes stand in the way of",
                "media": self.media,  # type: ignore[attr-defined]
                "hub_trail": [
                    {"title": "Jobs", "link": reverse("admin:jobs_job_changelist")},
                    {"title": job.number, "link": address},
                    {"title": "Conflicts"},
                ],
                "page": page,
                "rows": rows_of(job, list(page)),
                "formats": [(name, name.upper()) for name in WRITABLE],
            },
        )


def listed(job: Job) -> SafeString:
    """The first conflicts, with the way to all of them, for the page that asks; empty if there are none."""
    if job.origin is None:
        return SafeString("")
    found = standing.in_the_way(job.origin)
    first = list(found[: FIRST + 1])
    if not first:
        return SafeString("")
    context = {"job": job, "rows": rows_of(job, first[:FIRST]), "more": len(first) > FIRST}
    return SafeString(render_to_string("jobs/conflicts_first.html", context))


def rows_of(job: Job, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """The records of changes, each with what the import did and who changed it when."""
    assert job.origin is not None
    records = {change.record_id for change in changes}
    keys = dict(Record.objects.filter(pk__in=records).values_list("pk", "key"))
    later = standing.later_changes(job.origin, records)
    slugs = dict(Change.objects.filter(pk__in=[c.pk for c in changes]).values_list("pk", "dataset__slug"))
    found = []
    for change in changes:
        public_id = Record(id=change.record_id).public_id
        when, whom = later.get(change.record_id, (None, ""))
        found.append(
            {
                "name": keys.get(change.record_id) or public_id,
                "url": reverse("admin:data_record", args=[slugs[change.pk], public_id]),
                "did": change.get_operation_display(),
                "when": when,
                "whom": whom,
            }
        )
    return found


def _download(request: HttpRequest, job: Job, format_name: str) -> FileResponse:
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.TemporaryFile())
        files.write_table(file, format_name, HEADER, _all_rows(request, job))
        file.seek(0)
        answer = FileResponse(
            file,
            as_attachment=True,
            filename=f"{job.number}-conflicts.{format_name}",
            content_type=MIME_TYPES[format_name],
        )
        stack.pop_all()  # the answer closes it once it is sent
    answer.headers["Cache-Control"] = "private, no-store"
    return answer


def _all_rows(request: HttpRequest, job: Job) -> Iterator[list[Any]]:
    assert job.origin is not None
    found = standing.in_the_way(job.origin)
    last = None
    while part := list((found if last is None else found.filter(pk__lt=last))[:AT_ONCE]):
        for row in rows_of(job, part):
            when = row["when"].isoformat() if row["when"] else ""
            yield [row["name"], row["did"], when, row["whom"], request.build_absolute_uri(row["url"])]
        last = part[-1].pk
