"""The import's first step: the dataset, and where its rows come from.

A file that is uploaded and rows that are pasted become a stored file and a pending import at once
(`uploads.receive`); what is at a web address or a place is fetched by a worker (`fetching.order`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.core.files.base import ContentFile, File
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.urls import URLPattern, path, reverse
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from apps.jobs import selectors
from apps.jobs.formats import formats
from apps.jobs.formats.writers import MIME_TYPES
from apps.jobs.models import Job
from apps.jobs.services import fetching, templates, uploads
from apps.jobs.statuses import JobStatus
from apps.kernel.admin import allows
from apps.kernel.errors import HubError, NotFound
from apps.records import selectors as records
from apps.records.models import Dataset

FILE, PASTE, ADDRESS, PLACE = "file", "paste", "address", "place"
SOURCES = (
    (FILE, "A file", "upload_file"),
    (PASTE, "Paste rows", "content_paste"),
    (ADDRESS, "A web address", "link"),
    (PLACE, "A place", "folder_shared"),
)
_ASKED = {FILE: "import_file", PASTE: "rows", ADDRESS: "url", PLACE: "path"}
"""The field at which errors of a source stand."""
SHOWN_FILES = 200


class ImportForm(forms.Form):
    """Step 1: what is imported, and for what (`import_file` is named as in django-import-export)."""

    dataset = forms.ChoiceField(label="Into", widget=UnfoldAdminSelectWidget)
    source = forms.ChoiceField(choices=[(name, label) for name, label, _ in SOURCES], required=False)
    import_file = forms.FileField(
        label="File",
        allow_empty_file=True,
        required=False,
        widget=forms.FileInput(
            attrs={"accept": ",".join([*(e for kind in formats for e in kind.extensions), ".zip", ".gz"])}
        ),
    )
    rows = forms.CharField(
        label="Rows",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(
            {
                "rows": 9,
                "spellcheck": "false",
                "autocomplete": "off",
                "placeholder": "Name\tCity\nNorthwind\tLondon",
                "class": "hub-mono jobs-paste",
            }
        ),
    )
    url = forms.CharField(
        label="Address of the file",
        max_length=2000,
        required=False,
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": "https://example.com/clients.csv", "inputmode": "url", "autocomplete": "off"}
        ),
    )
    place = forms.ChoiceField(label="Place", required=False, widget=UnfoldAdminSelectWidget)
    path = forms.CharField(
        label="File there",
        max_length=500,
        required=False,
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": "exports/clients.csv", "autocomplete": "off", "list": "jobs-place-files"}
        ),
    )

    def __init__(
        self, *args: Any, datasets: Sequence[Any] = (), places: Sequence[Any] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        offered = {
            "dataset": [(dataset.slug, dataset.name) for dataset in datasets],
            "place": [(place.public_id, f"{place.name} ({place.shown_address})") for place in places],
        }
        for name, choices in offered.items():
            chooser = self.fields[name]
            assert isinstance(chooser, forms.ChoiceField)
            chooser.choices = choices

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = self.cleaned_data
        source = given["source"] = given.get("source") or FILE
        if source == PASTE and isinstance(pasted := self.files.get("rows"), File):
            # The page's script sends a long text as a file, so that the limit is that of files.
            given["rows"] = pasted
        elif source == PASTE:
            given["rows"] = _pasted(given.get("rows", ""))
        asked = _ASKED[source]
        missing = {
            FILE: "Choose a file first.",
            PASTE: "Paste some rows first: copy them in the spreadsheet, with the row of headers.",
            ADDRESS: "Enter the address first.",
        }
        if source == PLACE and not given.get("place") and "place" not in self.errors:
            self.add_error("place", "Choose a place.")
        elif source in missing and given.get(asked) in (None, "") and asked not in self.errors:
            self.add_error(asked, missing[source])
        return given

    @property
    def asked(self) -> str:
        """The field at which errors of the chosen source stand."""
        return _ASKED[self.cleaned_data.get("source") or FILE]


def _pasted(text: str) -> File[bytes] | None:
    """Text as a file; browsers send line ends as CR LF, which also a quoted cell would hold."""
    if not text.strip():
        return None
    return ContentFile(text.replace("\r\n", "\n").encode(), name=uploads.PASTED)


class ImportStart:
    """The views of the first step, mixed into the admin of jobs."""

    admin_site: Any
    _may: Any
    _render: Any

    def start_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("jobs/import/", wrap(self.import_new), name="jobs_import_new"),
            # The name by which django-import-export's buttons find the page.
            path("jobs/import/", wrap(self.import_new), name="jobs_job_import"),
            path("jobs/import/place/", wrap(self.import_place), name="jobs_import_place"),
            path(
                "jobs/import/template/<str:slug>.<str:kind>",
                wrap(self.import_template),
                name="jobs_import_template",
            ),
        ]

    def import_new(self, request: HttpRequest) -> HttpResponse:
        """Dataset and source. Answers scripts, which show the progress of an upload, with JSON."""
        self._may(request)
        organization = request.organization  # type: ignore[attr-defined]
        datasets = list(records.datasets_of(organization))
        may_places = allows(request, "locations:read")
        places = list(selectors.locations_of(organization).order_by("name")[:500]) if may_places else []
        asked = request.GET.get("dataset", "")
        form = ImportForm(
            request.POST or None,
            request.FILES or None,
            datasets=datasets,
            places=places,
            initial={"dataset": asked, "source": FILE},
        )
        if request.method == "POST" and form.is_valid():
            try:
                job = self._received(request, form)
            except HubError as error:
                form.add_error(form.asked, error.detail)
            else:
                fetched = job.status == JobStatus.FETCHING  # the job's page shows how far that is
                page_name = "jobs_job_change" if fetched else "jobs_import_file"
                return _answer(request, reverse(f"admin:{page_name}", args=[job.number]))
        if request.method == "POST" and _is_script(request):
            said = [text for texts in form.errors.values() for text in texts]
            return JsonResponse({"error": " ".join(str(text) for text in said)}, status=422)
        recent = Job.objects.filter(organization=organization, job_type="import", status=JobStatus.PENDING)
        page: HttpResponse = self._render(
            request,
            "import_new",
            None,
            "file",
            form=form,
            sources=[one for one in SOURCES if may_places or one[0] != PLACE],
            places=places,
            datasets=datasets,
            asked=asked,
            max_megabytes=uploads.max_bytes() // 2**20,
            unfinished=recent.select_related("dataset").order_by("-id")[:5],
        )
        return page

    def _received(self, request: HttpRequest, form: ImportForm) -> Job:
        """The pending import that the form orders. Raises HubError."""
        organization = request.organization  # type: ignore[attr-defined]
        given = form.cleaned_data
        dataset: Dataset = records.dataset_of(organization, given["dataset"])
        common: dict[str, Any] = {
            "organization": organization,
            "dataset": dataset,
            "actor": request.actor,  # type: ignore[attr-defined]
            "user": request.user,
        }
        if given["source"] == ADDRESS:
            return fetching.order(url=given["url"], **common)
        if given["source"] == PLACE:
            place = selectors.location_of(organization, given["place"])
            return fetching.order(location=place, path=given["path"], **common)
        return uploads.receive(file=given[form.asked], **common)

    def import_place(self, request: HttpRequest) -> JsonResponse:
        """The newest files in a folder of a place, to choose from."""
        self._may(request)
        if request.method != "POST" or not allows(request, "locations:read"):
            raise PermissionDenied
        folder = request.POST.get("path", "").rpartition("/")[0]
        try:
            place = selectors.location_of(request.organization, request.POST.get("place", ""))  # type: ignore[attr-defined]
            files = fetching.look_at(place, folder)
        except HubError as error:
            return JsonResponse({"error": error.detail}, status=error.status)
        found = [
            {
                "path": file.path,
                "name": file.name,
                "size": file.size,
                "when": f"{file.modified_at:%Y-%m-%d %H:%M}" if file.modified_at else "",
            }
            for file in files[:SHOWN_FILES]
        ]
        answer = {"folder": folder, "files": found, "more": max(0, len(files) - len(found))}
        return JsonResponse(answer, headers={"Cache-Control": "no-store"})

    def import_template(self, request: HttpRequest, slug: str, kind: str) -> HttpResponse:
        """A file to fill in."""
        if not allows(request, "jobs:read") or kind not in MIME_TYPES:
            raise PermissionDenied if kind in MIME_TYPES else Http404
        try:
            dataset = records.dataset_of(request.organization, slug)  # type: ignore[attr-defined]
        except NotFound as error:
            raise Http404(error.detail) from None
        response = HttpResponse(templates.make(dataset, kind), content_type=MIME_TYPES[kind])
        response.headers["Content-Disposition"] = f'attachment; filename="{dataset.slug}-template.{kind}"'
        return response


def _is_script(request: HttpRequest) -> bool:
    return request.headers.get("X-Requested-With") == "XMLHttpRequest"


def _answer(request: HttpRequest, url: str) -> HttpResponse:
    return JsonResponse({"location": url}) if _is_script(request) else HttpResponseRedirect(url)
