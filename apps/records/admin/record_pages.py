"""The page of one record: its values to edit, its twins elsewhere, its history, and taking changes back."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from apps.kernel.admin.display import within
from apps.kernel.admin.saving import refuse
from apps.kernel.admin.site import site_urls
from apps.kernel.errors import HubError, NotFound, RaceLost
from apps.records import selectors
from apps.records.admin.columns import changed_values, full, title_of
from apps.records.admin.forms import RecordForm
from apps.records.admin.records import RecordAdmin, dataset_or_404
from apps.records.models import Change, Dataset, Link, Record
from apps.records.services import history, records

CHANGES = 25
LINKS = 20


def _admin() -> RecordAdmin:
    registered = admin.site._registry[Record]
    assert isinstance(registered, RecordAdmin)
    return registered


def record_or_404(dataset: Dataset, ref: str) -> Record:
    """A record, live or deleted, by public id or `key:…`."""
    try:
        return selectors.record_of(dataset, ref)
    except NotFound as error:
        pk = Record.parse_public_id(ref)
        found = (
            Record.objects.filter(dataset=dataset, pk=pk).select_related("dataset__organization").first()
            if pk
            else None
        )
        if found is None:
            raise Http404(error.detail) from error
        return found


def _page(
    request: HttpRequest, template: str, dataset: Dataset, title: str, context: dict[str, Any]
) -> HttpResponse:
    request.current_app = admin.site.name
    list_url = reverse("admin:data_list", args=[dataset.slug])
    return TemplateResponse(
        request,
        template,
        {
            **admin.site.each_context(request),
            "dataset": dataset,
            "title": title,
            "list_url": list_url,
            "hub_trail": [{"title": dataset.name, "link": list_url}, {"title": title}],
            "media": _admin().media,
            **context,
        },
    )


def add_view(request: HttpRequest, slug: str) -> HttpResponse:
    """A new record."""
    dataset = dataset_or_404(request, slug)
    if not _admin().has_add_permission(request):
        raise PermissionDenied
    form = RecordForm(dataset, data=request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            record = records.create(dataset=dataset, values=form.values(), actor=request.actor)  # type: ignore[attr-defined]
        except HubError as error:
            refuse(form, error)
        else:
            one = dataset.singular or "Record"
            messages.success(request, f"{one} “{_title(record)}” was added.")
            again = "_addanother" in request.POST
            target = reverse("admin:data_add", args=[slug]) if again else _admin().object_url(record)
            return HttpResponseRedirect(target)
    title = f"Add {within(dataset.singular or dataset.name)}"
    return _page(request, "hub/records/form.html", dataset, title, {"form": form})


def record_view(request: HttpRequest, slug: str, ref: str) -> HttpResponse:
    """One record. POST saves what differs from the version that was shown."""
    dataset = dataset_or_404(request, slug)
    record = record_or_404(dataset, ref)
    site_admin = _admin()
    if ref != record.public_id and request.method == "GET":
        return HttpResponseRedirect(site_admin.object_url(record))
    may_edit = site_admin.has_change_permission(request) and record.deleted_at is None
    form: RecordForm | None = None
    if may_edit:
        form = RecordForm(dataset, record=record, data=request.POST if request.method == "POST" else None)
        if request.method == "POST" and form.is_valid() and _save(request, record, form):
            return HttpResponseRedirect(site_admin.object_url(record))
    elif request.method == "POST":
        raise PermissionDenied
    changes = list(selectors.history_of(record)[: CHANGES + 1])
    context = {
        "record": record,
        "form": form,
        "record_title": _title(record),
        "facts": _facts(record) if form is None else [],
        "links": Link.objects.filter(record=record).order_by("source", "stream")[:LINKS],
        "changes": [_told(change, record, n == 0) for n, change in enumerate(changes[:CHANGES])],
        "more_changes": len(changes) > CHANGES,
        "changes_url": f"{reverse('admin:records_change_changelist')}?record={record.public_id}",
        "may_delete": site_admin.has_delete_permission(request) and record.deleted_at is None,
        "may_write": site_admin.has_change_permission(request),
    }
    return _page(request, "hub/records/record.html", dataset, _title(record), context)


def _save(request: HttpRequest, record: Record, form: RecordForm) -> bool:
    values = form.values()
    if not values:
        messages.info(request, "Nothing was changed.")
        return True
    try:
        records.update(
            record=record,
            values=values,
            actor=request.actor,  # type: ignore[attr-defined]
            expected_version=form.cleaned_data["version"],
        )
    except RaceLost as error:
        form.add_error(None, error.detail)
        form.lost_race = True  # type: ignore[attr-defined]
    except HubError as error:
        refuse(form, error)
    else:
        messages.success(request, "Saved.")
        return True
    return False


def delete_view(request: HttpRequest, slug: str, ref: str) -> HttpResponse:
    """GET asks, POST deletes."""
    dataset = dataset_or_404(request, slug)
    record = record_or_404(dataset, ref)
    if not _admin().has_delete_permission(request):
        raise PermissionDenied
    if request.method == "POST":
        records.delete(dataset=dataset, ids=[record.pk], actor=request.actor)  # type: ignore[attr-defined]
        messages.success(
            request, f"“{_title(record)}” was deleted. It can be restored from the deleted records."
        )
        return HttpResponseRedirect(reverse("admin:data_list", args=[slug]))
    links = Link.objects.filter(record=record).count()
    text = "It stays as a deleted record with its history and can be restored."
    if links:
        text += (
            f" It has {links} twin{'' if links == 1 else 's'} in other systems, which are not touched now."
        )
    context = {
        "text": text,
        "button": f"Delete {within(dataset.singular or 'record')}",
        "danger": True,
        "icon": "delete",
        "back": _admin().object_url(record),
    }
    return _page(request, "hub/admin/confirm.html", dataset, f"Delete “{_title(record)}”?", context)


def undo_view(request: HttpRequest, slug: str, ref: str, change: str) -> HttpResponse:
    """POST takes back one change, if it is the record's latest; a deletion taken back is a restoration."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    dataset = dataset_or_404(request, slug)
    record = record_or_404(dataset, ref)
    if not _admin().has_change_permission(request):
        raise PermissionDenied
    pk = Change.parse_public_id(change)
    row = (
        Change.objects.filter(record=record, pk=pk).select_related("dataset__organization").first()
        if pk
        else None
    )
    if row is None:
        raise Http404("There is no such change.")
    try:
        history.undo_change(change=row, actor=request.actor)  # type: ignore[attr-defined]
    except HubError as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, "The change was taken back.")
    return HttpResponseRedirect(_admin().object_url(record))


def _title(record: Record) -> str:
    return title_of(record, record.dataset)


def _facts(record: Record) -> list[tuple[str, Any]]:
    zone = ZoneInfo(record.dataset.organization.timezone)
    return [(f.title, full(record.data.get(f.name), f, zone)) for f in record.dataset.fields]


def _told(change: Change, record: Record, latest: bool) -> dict[str, Any]:
    """A change as the page shows it; only the latest can be taken back on its own."""
    deleted = change.operation == Change.Operation.DELETED
    created = change.operation == Change.Operation.CREATED
    return {
        "change": change,
        "values": changed_values(
            record.dataset.fields, None if created else change.before, None if deleted else change.after
        ),
        "undone": change.undone_by is not None,
        "may_undo": latest and change.undone_by is None,
        "verb": "Restore" if deleted else "Undo",
        "origin_url": reverse("admin:records_origin_change", args=[change.origin.public_id]),
    }


def _urls() -> list[URLPattern | URLResolver]:
    wrap = admin.site.admin_view
    records_admin = _admin()
    return [
        path("data/<slug:slug>/", wrap(records_admin.list_view), name="data_list"),
        path("data/<slug:slug>/add/", wrap(add_view), name="data_add"),
        path("data/<slug:slug>/options/", wrap(records_admin.options_view), name="data_options"),
        path("data/<slug:slug>/<path:ref>/delete/", wrap(delete_view), name="data_delete"),
        path("data/<slug:slug>/<path:ref>/undo/<slug:change>/", wrap(undo_view), name="data_undo"),
        path("data/<slug:slug>/<path:ref>/", wrap(record_view), name="data_record"),
    ]


if _urls not in site_urls:
    site_urls.append(_urls)
