"""“Export what I see”: any list of the admin as CSV, Excel or JSON.

The file has the list's own columns, filters, search and order: nothing that the screen would not show, and
every row of the list, not only those of the page. Badges, links and times become plain values.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any, BinaryIO

import orjson
from django.contrib import messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import label_for_field, lookup_field
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import models
from django.http import FileResponse, Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.kernel.admin.access import organization_of
from apps.kernel.admin.auditing import HIDDEN, is_secret, journal, plain
from apps.kernel.spreadsheets import WRITERS

LIMIT = 20_000
"""Rows of one file; a longer list is to be narrowed down first."""
_PART = 500
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
}
_SILENT = frozenset(("button", "svg", "script", "style", "input"))
_VOID = frozenset(("input", "br", "img", "hr", "wbr"))


class _Text(HTMLParser):
    """The words of a piece of HTML: exact times for “3 minutes ago”, no icons, no buttons."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._silent: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in _VOID:
            self.words.append(" ")
            return
        moment = given.get("datetime") if tag == "time" else None
        if moment and not any(self._silent):
            self.words.append(moment)
        is_icon = "material-symbols-outlined" in (given.get("class") or "")
        self._silent.append(bool(moment) or tag in _SILENT or is_icon)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID and self._silent:
            self._silent.pop()
            self.words.append(" ")

    def handle_data(self, data: str) -> None:
        if not any(self._silent):
            self.words.append(data)


def text_of_html(html: str) -> str:
    """What a person reads of it, in one line."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return " ".join("".join(parser.words).split())


class ListExport:
    """Mixed into HubModelAdmin: the address `…/export/<format>/` of a list."""

    # Off where a list has an export of its own.
    list_export = True

    admin_site: Any
    opts: Any
    model: Any
    audit_name: str
    secret_fields: Any

    def list_export_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_list_export"
        view = self.admin_site.admin_view(self.list_export_view)
        return [path("export/as/<str:format>/", view, name=name)] if self.list_export else []

    def list_exports(self, request: HttpRequest) -> list[tuple[str, str]]:
        """(label, address) of the files that the list can be had as, with its filters."""
        if not self.list_export:
            return []
        name = f"{self.admin_site.name}:{self.opts.app_label}_{self.opts.model_name}_list_export"
        query = request.GET.copy()
        query.pop("p", None)
        asked = f"?{query.urlencode()}" if query else ""
        labels = {"csv": "CSV", "xlsx": "Excel", "json": "JSON"}
        return [(label, reverse(name, args=[format]) + asked) for format, label in labels.items()]

    def list_export_view(self, request: HttpRequest, format: str) -> HttpResponseBase:
        """The list that the address describes, as a file."""
        admin: Any = self
        if not admin.has_view_permission(request):
            raise PermissionDenied
        if format not in FORMATS:
            raise Http404("There is no such format.")
        try:
            found = admin.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(admin.list_url())
        keys = list(found.queryset.values_list("pk", flat=True)[: LIMIT + 1])
        if len(keys) > LIMIT:
            messages.warning(
                request, f"The list has more than {LIMIT:,} rows. Narrow it down by a filter, then export it."
            )
            return HttpResponseRedirect(f"{admin.list_url()}?{request.GET.urlencode()}")
        names = [name for name in found.list_display if name != "action_checkbox"]
        header = [str(label_for_field(name, self.model, admin)) for name in names]
        file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
        _write(file, format, header, self._rows(request, found, keys, names))
        organization = organization_of(request)
        if organization is not None:
            journal.record(
                request,
                action=f"{self.audit_name or self.opts.model_name}.exported",
                target=organization,
                changes={
                    "format": [None, format],
                    "rows": [None, len(keys)],
                    "list": [None, request.GET.urlencode()],
                },
            )
        file.seek(0)
        today = timezone.localdate().isoformat()
        title = str(admin.list_title or self.opts.verbose_name_plural).lower().replace(" ", "-")
        answer = FileResponse(
            file, as_attachment=True, filename=f"{title}-{today}.{format}", content_type=FORMATS[format]
        )
        answer.headers["Cache-Control"] = "private, no-store"
        return answer

    def _rows(
        self, request: HttpRequest, found: Any, keys: list[Any], names: list[Any]
    ) -> Iterator[list[Any]]:
        """The rows in the list's order, read and made ready for show as its pages are."""
        rows = found.queryset.order_by()
        found.list_per_page, found.page_num, found.show_all = _PART, 1, False
        for start in range(0, len(keys), _PART):
            part = keys[start : start + _PART]
            found.queryset = rows.filter(pk__in=part).order_by("pk")
            found.get_results(request)
            by_key = {obj.pk: obj for obj in found.result_list}
            for key in part:
                if key in by_key:  # gone meanwhile, otherwise
                    yield [self._cell(name, by_key[key]) for name in names]

    def _cell(self, name: Any, obj: models.Model) -> Any:
        try:
            field, _, value = lookup_field(name, obj, self)  # type: ignore[arg-type]
        except (AttributeError, ValueError, ObjectDoesNotExist):
            return None
        if field is None:
            return _shown(value)
        if is_secret(field, self.secret_fields):
            return HIDDEN if value else None
        if getattr(field, "flatchoices", None):
            return str(dict(field.flatchoices).get(value, value))
        return _shown(value)


def _shown(value: Any) -> Any:
    """A value of a list as the value of a cell."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, SafeString):
        text = text_of_html(value)
        return None if text in ("–", "") else text
    if isinstance(value, dt.datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, list | tuple):
        return " ".join(str(text) for part in value if (text := _shown(part)) is not None)
    if isinstance(value, str):
        return None if value == "–" else value
    return plain(value)


def _write(file: BinaryIO, format: str, header: list[str], rows: Iterator[list[Any]]) -> None:
    if format in WRITERS:
        writer = WRITERS[format](file, header)
        writer.write([text if not isinstance(text, dict) else str(text) for text in row] for row in rows)
        writer.close()
        return
    file.write(b"[")
    for n, row in enumerate(rows):
        file.write((b",\n" if n else b"\n") + orjson.dumps(dict(zip(header, row, strict=True)), default=str))
    file.write(b"\n]\n")
