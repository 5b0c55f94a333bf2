"""The catalog page, and the guided form that sets an integration up or changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse

from apps.connectors.admin import stream_forms
from apps.connectors.admin.forms import ConnectionForm
from apps.connectors.admin.markdown import render
from apps.connectors.models import Integration
from apps.connectors.registry import Connector, connectors
from apps.connectors.services import integrations, lifecycle
from apps.connectors.services.checking import StreamSettings
from apps.kernel.admin import allows
from apps.kernel.admin.site import site_urls
from apps.kernel.errors import HubError, InvalidInput
from apps.records import selectors as records
from apps.records.models import Mapping as SavedMapping


def catalog_view(request: HttpRequest) -> HttpResponse:
    """All connectors as cards, narrowed by `q` and `category`."""
    if not allows(request, "integrations:read"):
        raise PermissionDenied
    text = request.GET.get("q", "").strip()[:100].lower()
    category = request.GET.get("category", "")
    found = [item for item in connectors if text in item.search_text]
    if category:
        found = [item for item in found if item.manifest.category == category]
    mine = Integration.objects.live().of(request.organization)  # type: ignore[attr-defined]
    used = dict(mine.values_list("connector").annotate(n=Count("id")).order_by())
    context = {
        **admin.site.each_context(request),
        "title": "Catalog",
        "hub_trail": [{"title": "Integrations", "link": _list_url()}, {"title": "Catalog"}],
        "cards": [
            {"connector": item, "facts": item.manifest, "used": used.get(item.name, 0)} for item in found
        ],
        "categories": sorted({item.manifest.category for item in connectors}),
        "category": category,
        "query": request.GET.get("q", "").strip()[:100],
        "may_connect": allows(request, "integrations:write"),
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "hub/connectors/catalog.html", context)


def connect_view(request: HttpRequest, slug: str) -> HttpResponse:
    """Set up a new integration of a connector."""
    entry = connectors.get(slug)
    if entry is None:
        raise Http404(f"There is no connector {slug}.")
    if not allows(request, "integrations:write"):
        raise PermissionDenied
    return ConnectionPage(request, entry, None).respond()


@dataclass
class ConnectionPage:
    """The connection form of one integration, or of one to be."""

    request: HttpRequest
    entry: Connector
    integration: Integration | None

    def __post_init__(self) -> None:
        organization = self.request.organization  # type: ignore[attr-defined]
        posted = self.request.POST if self.request.method == "POST" else None
        choices = {
            "datasets": list(records.datasets_of(organization).values_list("slug", "name")),
            "mappings": [
                (row.public_id, f"{row.name} → {row.dataset.name}")
                for row in SavedMapping.objects.filter(organization=organization).select_related("dataset")
            ],
        }
        manifest = self.entry.manifest
        self.form = ConnectionForm(
            posted, manifest=manifest, organization=organization, integration=self.integration
        )
        rows = stream_forms.StreamRows if manifest.custom_streams else stream_forms.CatalogStreamRows
        self.rows: Any = rows(posted, initial=self._rows(), prefix="streams", form_kwargs=choices)

    def _rows(self) -> list[dict[str, Any]]:
        manifest, row = self.entry.manifest, self.integration
        if manifest.custom_streams:
            return stream_forms.initial_of(row) if row else []
        uses = {use.name: use for use in row.streams.select_related("dataset", "mapping")} if row else {}
        found = []
        for stream in manifest.streams:
            mode = "incremental" if stream.incremental else "full"
            use = (
                {"enabled": True, "mode": mode} if row is None else stream_forms.use_of(uses.get(stream.name))
            )
            found.append({"dataset": stream.dataset, **use, "name": stream.name})
        return found

    def respond(self) -> HttpResponse:
        if self.request.method == "POST" and self._is_valid():
            try:
                row = self._save()
            except InvalidInput as error:
                self._place(error)
            except HubError as error:
                self.form.add_error(None, error.detail)
            else:
                return self._after(row)
        return self._page()

    def _is_valid(self) -> bool:
        good = self.form.is_valid()
        return self.rows.is_valid() and good

    def _save(self) -> Integration:
        definitions, uses = self._streams()
        values = self.form.values(definitions)
        given: dict[str, Any] = {"values": values, "credentials": self.form.credentials(), "streams": uses}
        actor = self.request.actor  # type: ignore[attr-defined]
        if self.integration is None:
            return integrations.create(
                organization=self.request.organization,  # type: ignore[attr-defined]
                actor=actor,
                connector=self.entry.name,
                **given,
            )
        return integrations.update(integration=self.integration, actor=actor, **given)

    def _streams(self) -> tuple[list[dict[str, Any]] | None, list[StreamSettings]]:
        """The definitions (None if the catalog has them) and the uses of the rows on the page."""
        standing = self.rows.standing()
        if not self.entry.manifest.custom_streams:
            known = {stream.name for stream in self.entry.manifest.streams}
            uses = [form.use(form.cleaned_data["name"]) for _, form in standing]
            # One that is off and goes nowhere has nothing to be checked.
            return None, [use for use in uses if use.name in known and (use.enabled or use.dataset)]
        config: Mapping[str, Any] = self.integration.config if self.integration else {}
        before = {item["name"]: item for item in config.get("streams") or ()}
        definitions = [form.definition(before.get(form.cleaned_data["name"], {})) for _, form in standing]
        uses = [form.use(form.cleaned_data["name"]) for _, form in standing]
        return definitions, [use for use in uses if use.dataset]

    def _place(self, error: InvalidInput) -> None:
        standing = [form for _, form in self.rows.standing()]
        used = (
            standing
            if not self.entry.manifest.custom_streams
            else [form for form in standing if form.cleaned_data.get("dataset")]
        )
        for one in error.errors or ():
            parts = one.pointer.strip("/").split("/")
            rows = (
                standing if parts[:2] == ["config", "streams"] else used if parts[:1] == ["streams"] else None
            )
            at = parts[2:] if parts[:1] == ["config"] else parts[1:]
            if rows is not None and at and at[0].isdigit() and int(at[0]) < len(rows):
                stream_forms.place(rows[int(at[0])], "/".join(at[1:]), one.detail)
            else:
                self.form.place(one.pointer, one.detail)
        if not error.errors:
            self.form.add_error(None, error.detail)

    def _after(self, row: Integration) -> HttpResponse:
        """Test at once what was saved: that is what one wants to know next."""
        page = reverse("admin:connectors_integration_change", args=[row.number])
        if "_save" in self.request.POST:
            messages.success(self.request, f"“{row}” was saved.")
            return HttpResponseRedirect(page)
        actor = self.request.actor  # type: ignore[attr-defined]
        result = lifecycle.test_connection(integration=row, actor=actor)
        if result.ok:
            messages.success(
                self.request, f"Saved. The connection works: it answered in {result.latency_ms} ms."
            )
        else:
            messages.error(self.request, f"Saved, but the test failed. {result.reason}")
        return HttpResponseRedirect(page)

    def _page(self) -> HttpResponse:
        request, row = self.request, self.integration
        manifest = self.entry.manifest
        title = f"Settings of {row}" if row else f"Connect {manifest.title}"
        trail = [{"title": "Integrations", "link": _list_url()}]
        if row is None:
            trail.append({"title": "Catalog", "link": reverse("admin:connectors_catalog")})
        else:
            trail.append(
                {"title": str(row), "link": reverse("admin:connectors_integration_change", args=[row.number])}
            )
        facts = {stream.name: stream for stream in manifest.streams}
        context = {
            **admin.site.each_context(request),
            "title": title,
            "hub_trail": [*trail, {"title": "Settings" if row else manifest.title}],
            "connector": self.entry,
            "facts": manifest,
            "integration": row,
            "form": self.form,
            "rows": self.rows,
            "empty_row": self.rows.empty_form if manifest.custom_streams else None,
            "catalog_rows": []
            if manifest.custom_streams
            else [(form, facts.get(_name_of(form))) for form in self.rows],
            "setup": render(self.entry.setup),
            "wrong": self.form.is_bound and (self.form.errors or any(form.errors for form in self.rows)),
        }
        request.current_app = admin.site.name
        return TemplateResponse(request, "hub/connectors/connection.html", context)


def _name_of(form: Any) -> str:
    return str(form["name"].value() or "")


def _list_url() -> str:
    return reverse("admin:connectors_integration_changelist")


def _urls() -> list[URLPattern | URLResolver]:
    return [
        path("catalog/", admin.site.admin_view(catalog_view), name="connectors_catalog"),
        path("catalog/<slug:slug>/", admin.site.admin_view(connect_view), name="connectors_connect"),
    ]


if _urls not in site_urls:
    site_urls.append(_urls)
