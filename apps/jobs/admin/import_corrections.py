"""The check's page: what is wrong by cause, wrong cells to edit, whole causes and values to set right."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse

from apps.jobs.models import Cause, Correction, Job
from apps.jobs.services import corrections, imports, meanings, verdicts
from apps.jobs.services.corrected import OF_ROW
from apps.jobs.services.corrections import Edit
from apps.jobs.services.plans import plan
from apps.jobs.services.problems import MASK
from apps.jobs.services.verdicts import Verdict
from apps.jobs.statuses import CorrectionKind
from apps.kernel.errors import HubError

ROWS_PER_PAGE = 20
SHOWN_COLUMNS = 12
SHOWN_CELL = 80
SHOWN_CAUSES = 60
SHOWN_CORRECTIONS = 50
SHOWN_VALUES = 100


class ImportCorrections:
    """The views behind the check's page, mixed into the admin of jobs."""

    admin_site: Any
    _job: Any

    def correction_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("jobs/import/<str:number>/correct/", wrap(self.correct), name="jobs_import_correct"),
            path("jobs/import/<str:number>/fix/", wrap(self.fix), name="jobs_import_fix"),
            path("jobs/import/<str:number>/values/", wrap(self.match_values), name="jobs_import_values"),
            path("jobs/import/<str:number>/take-back/", wrap(self.take_back), name="jobs_import_take_back"),
        ]

    def _asked(self, request: HttpRequest, number: str) -> Job:
        if request.method != "POST":
            raise PermissionDenied
        job: Job = self._job(request, number)
        return job

    def correct(self, request: HttpRequest, number: str) -> JsonResponse:
        """Correct a cell or a row; answers with what is still wrong with the row."""
        job = self._asked(request, number)
        names = imports.column_names(job)
        given = request.POST
        place = given.get("column", "")
        column = names[int(place)] if place.isdecimal() and int(place) < len(names) else ""
        row = int(given.get("row", "0")[:15]) if given.get("row", "0")[:15].isdecimal() else 0
        edit = Edit(row, given.get("kind", CorrectionKind.SET), column, given.get("value", ""))
        try:
            if given.get("kind") == "undo":
                wanted = Correction.objects.filter(job=job, first_row=row, rows=1, code="")
                corrections.take_back(job=job, actor=request.actor, corrections=list(wanted))  # type: ignore[attr-defined]
            else:
                corrections.edit(job=job, actor=request.actor, edits=[edit])  # type: ignore[attr-defined]
        except HubError as error:
            return JsonResponse({"error": error.detail}, status=error.status)
        found = verdicts.of_rows(job, [row])
        return JsonResponse(
            {
                "row": _told(found[0], names) if found else None,
                "corrections": corrections.totals(job)["count"],
            },
            headers={"Cache-Control": "no-store"},
        )

    def fix(self, request: HttpRequest, number: str) -> HttpResponse:
        """Correct all rows of a cause."""
        job = self._asked(request, number)
        cause = _cause(job, request.POST.get("cause", ""))
        kind = request.POST.get("kind", "")
        try:
            made = corrections.fix(
                job=job,
                actor=request.actor,  # type: ignore[attr-defined]
                cause=cause,
                kind=kind,
                value=request.POST.get("value", ""),
                find=request.POST.get("find", ""),
            )
        except HubError as error:
            messages.error(request, error.detail)
        else:
            rows = "row is" if made.rows == 1 else "rows are"
            messages.success(request, f"{made.rows:,} {rows} corrected. Check again to see what is left.")
        return HttpResponseRedirect(_page_of(job, cause))

    def match_values(self, request: HttpRequest, number: str) -> HttpResponse:
        """Say what distinct values mean, and check again."""
        job = self._asked(request, number)
        cause = _cause(job, request.POST.get("cause", ""))
        meant: dict[str, str] = {}
        for index, (value, _) in enumerate(cause.values):
            meaning = request.POST.get(f"v{index}", "").strip()
            if meaning:
                meant[value] = meanings.BLANK if meaning == "-" else meaning
        try:
            if meant:
                meanings.match(job=job, actor=request.actor, cause=cause, meant=meant)  # type: ignore[attr-defined]
                imports.check(job=job, actor=request.actor)  # type: ignore[attr-defined]
            else:
                messages.error(request, "Choose what at least one value means.")
        except HubError as error:
            messages.error(request, error.detail)
        return HttpResponseRedirect(_page_of(job, cause))

    def take_back(self, request: HttpRequest, number: str) -> HttpResponse:
        """Forget one correction, or all."""
        job = self._asked(request, number)
        ref = request.POST.get("correction", "")
        try:
            found = [corrections.correction_of(job, ref)] if ref else None
            count = corrections.take_back(job=job, actor=request.actor, corrections=found)  # type: ignore[attr-defined]
            messages.success(
                request, f"{count:,} {'correction was' if count == 1 else 'corrections were'} taken back."
            )
        except HubError as error:
            messages.error(request, error.detail)
        return HttpResponseRedirect(reverse("admin:jobs_import_check", args=[job.number]))

    def corrections_context(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        """What the check's page shows of causes, wrong rows and corrections."""
        causes = list(Cause.objects.filter(job=job).defer("numbers").order_by("id")[:SHOWN_CAUSES])
        errors = [cause for cause in causes if cause.severity == "error"]
        warnings = [cause for cause in causes if cause.severity == "warning"]
        chosen = next((c for c in causes if c.public_id == request.GET.get("cause")), None)
        chosen = chosen or (errors[0] if errors else None)
        totals = corrections.totals(job)
        context: dict[str, Any] = {
            "causes": errors,
            "warnings": warnings,
            "chosen": chosen,
            "totals": totals,
            "corrections": _listed(job) if totals["count"] else [],
        }
        return context | (_of_chosen(request, job, chosen) if chosen is not None else {})


def _of_chosen(request: HttpRequest, job: Job, cause: Cause) -> dict[str, Any]:
    """The chosen cause: its wrong rows, page by page, and what can be done about all of them."""
    pages = max(1, -(-cause.rows // ROWS_PER_PAGE))
    asked = request.GET.get("p", "1")
    page = min(max(1, int(asked)), pages) if asked.isdecimal() and len(asked) < 9 else 1
    found = verdicts.of_cause(job, cause, start=(page - 1) * ROWS_PER_PAGE, count=ROWS_PER_PAGE)
    names = imports.column_names(job)
    columns = _columns(job, found, names)
    field = job.dataset.fields_by_name.get(cause.field)
    matchable = meanings.field_of(job, cause)
    secret = corrections.sensitive_columns(job)
    return {
        "page": page,
        "pages": pages,
        "columns": [{"name": name, "index": names.index(name)} for name in columns],
        "hidden_columns": len(names) - len(columns),
        "rows": [_row(item, columns, names, secret) for item in found],
        "acceptable": cause.code in OF_ROW,
        "field": field,
        "choices": meanings.choices_of(field) if field is not None else [],
        "matchable": matchable,
        "values": [
            {"index": n, "value": value, "count": count}
            for n, (value, count) in enumerate(cause.values[:SHOWN_VALUES])
            if value and len(value) < 200
        ]
        if matchable
        else [],
        "more_values": max(0, len(cause.values) - SHOWN_VALUES) if matchable else 0,
    }


def _columns(job: Job, rows: list[Verdict], names: list[str]) -> list[str]:
    """The columns that the grid shows: the key's, the wrong ones, then the others in the file's order."""
    wrong = {name for row in rows for name in (*row.wrong_columns(), *row.before)}
    key = plan(job, names).sources.get(job.dataset.key_field or "")
    first = [name for name in names if name == key] + [
        name for name in names if name in wrong and name != key
    ]
    return [*first, *[name for name in names if name not in first]][: max(SHOWN_COLUMNS, len(first))]


def _row(item: Verdict, columns: list[str], names: list[str], secret: set[str]) -> dict[str, Any]:
    wrong = item.wrong_columns()
    cells = []
    for name in columns:
        value = item.cells.get(name)
        text = "" if value is None else str(value)
        if name in secret and text:
            text = "" if name in wrong else MASK
        editable = name in wrong or name in item.before
        cells.append(
            {
                "name": name,
                "index": names.index(name),
                "text": text if editable else text[:SHOWN_CELL],
                "wrong": name in wrong,
                "editable": editable and not item.is_skipped and len(text) <= 2_000,
                "before": "" if name in secret else str(item.before.get(name, "") or ""),
            }
        )
    return {
        "row": item.row,
        "line": item.line,
        "cells": cells,
        "said": [{"column": p.column, "message": p.message, "severity": p.severity} for p in item.problems],
        "skipped": item.is_skipped,
        "corrected": item.is_corrected,
    }


def _told(item: Verdict, names: list[str]) -> dict[str, Any]:
    """A row, for the page's script."""
    return {
        "problems": [
            {"column": names.index(p.column) if p.column in names else None, "message": p.message}
            for p in item.problems
        ],
        "said": " ".join(f"{p.column}: {p.message}" if p.column else p.message for p in item.problems),
        "skipped": item.is_skipped,
        "corrected": item.is_corrected,
    }


def _listed(job: Job) -> list[dict[str, Any]]:
    """The latest corrections, in words."""
    secret = corrections.sensitive_columns(job)
    found = Correction.objects.filter(job=job).defer("numbers").order_by("-id")[:SHOWN_CORRECTIONS]
    return [{"it": item, "value": corrections.shown_value(item, secret)} for item in found]


def _cause(job: Job, ref: str) -> Cause:
    pk = Cause.parse_public_id(ref)
    found = Cause.objects.filter(job=job, pk=pk).first() if pk else None
    if found is None:
        raise Http404("The last check found no such errors.")
    return found


def _page_of(job: Job, cause: Cause) -> str:
    return f"{reverse('admin:jobs_import_check', args=[job.number])}?cause={cause.public_id}#wrong"
