"""The documentation's pages: OpenAPI document, Swagger UI, Redoc, guides, search, changelog, kinds of errors.

Everything they load is the hub's own.
"""

from __future__ import annotations

import hashlib
import threading
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.http import parse_etags
from django.views import View
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.settings import spectacular_settings

from apps.kernel.api.changes import changes
from apps.kernel.api.guides import Entry, as_one_text, find, guide, guide_entries, guides
from apps.kernel.api.problems import respond
from apps.kernel.api.renderers import dumps
from apps.kernel.api.versions import VersionSpec, versions
from apps.kernel.errors import BadRequest, HubError, NotFound

_lock = threading.Lock()
_documents: dict[str, dict[str, Any]] = {}
_rendered: dict[tuple[str, str, bool], bytes] = {}


def document(name: str) -> dict[str, Any]:
    """The OpenAPI document of a version (its newest revision) or of a revision; made once per process."""
    revision = versions.revision(name)
    assert revision is not None, name
    with _lock:
        if revision.name not in _documents:
            generator: Any = SchemaGenerator(api_version=revision.version)
            generator.revision = revision
            _documents[revision.name] = generator.get_schema(request=None, public=True)
        return _documents[revision.name]


def _render(version: str, form: str, with_guides: bool) -> bytes:
    found = _rendered.get((version, form, with_guides))
    if found is None:
        made = document(version)
        if with_guides:
            info = made["info"]
            made = {**made, "info": {**info, "description": f"{info['description']}\n\n{as_one_text()}"}}
        found = dumps(made) if form == "json" else OpenApiYamlRenderer().render(made, renderer_context={})
        _rendered[version, form, with_guides] = found
    return found


class SchemaView(View):
    """`/api/schema?version=v1&format=json|yaml`; `guides=true` adds the guides to the description."""

    def get(self, request: HttpRequest) -> HttpResponse:
        unknown = set(request.GET) - {"version", "format", "guides"}
        form = request.GET.get("format", "json")
        if unknown or form not in ("json", "yaml"):
            return respond(request, BadRequest("Allowed are version, guides, and format with json or yaml."))
        version = request.GET.get("version") or versions.newest.name
        if versions.revision(version) is None:
            return respond(request, NotFound(f"There is no version “{version[:20]}” of this API."))
        body = _render(version, form, request.GET.get("guides") == "true")
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        kind = "application/vnd.oai.openapi+json" if form == "json" else "application/vnd.oai.openapi"
        if etag in parse_etags(request.headers.get("If-None-Match", "")):
            response = HttpResponse(status=304, headers={"ETag": etag})
        else:
            response = HttpResponse(body, content_type=f"{kind}; charset=utf-8", headers={"ETag": etag})
        response.is_page = True  # type: ignore[attr-defined]
        return response


class _Page(View):
    template = ""
    here = ""
    heading = ""
    # Both tools write styles into the page; Redoc searches in a worker.
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        response = render(request, self.template, self.context(**kwargs))
        response["Content-Security-Policy"] = self.policy
        response.is_page = True  # type: ignore[attr-defined]  # of no version
        return response

    def context(self, **kwargs: str) -> dict[str, Any]:
        asked = self.request.GET.get("version", "")
        chosen = versions.get(asked) or versions.newest
        return {
            "title": spectacular_settings.TITLE,
            "heading": self.heading,
            "here": self.here,
            "guides": guides(),
            "versions": versions.all(),
            "version": chosen,
            "schema_url": f"{reverse('api-schema')}?version={chosen.name}",
        }


class SwaggerView(_Page):
    """The calls, to be tried in the page."""

    template = "hub/api/swagger.html"
    here = "docs"
    heading = "Try it"

    def context(self, **kwargs: str) -> dict[str, Any]:
        files = "drf_spectacular_sidecar/swagger-ui-dist"
        return {
            **super().context(),
            "css": static(f"{files}/swagger-ui.css"),
            "bundle": static(f"{files}/swagger-ui-bundle.js"),
            "settings": spectacular_settings.SWAGGER_UI_SETTINGS,
            "oauth_return": self.request.build_absolute_uri(reverse("api-docs-oauth")),
        }


class OAuthReturnView(_Page):
    """Where the consent page sends the browser back to: hands the code to the page that asked."""

    template = "hub/api/oauth_return.html"

    def context(self, **kwargs: str) -> dict[str, Any]:
        return {"script": static("drf_spectacular_sidecar/swagger-ui-dist/oauth2-redirect.js")}


class RedocView(_Page):
    """The calls, to be read, with samples."""

    template = "hub/api/redoc.html"
    here = "redoc"
    heading = "Reference"

    def context(self, **kwargs: str) -> dict[str, Any]:
        return {
            **super().context(),
            "script": static("drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"),
        }


class GuideView(_Page):
    """One guide."""

    template = "hub/api/guide.html"

    def get(self, request: HttpRequest, **kwargs: str) -> HttpResponse:
        if guide(kwargs["name"]) is None:
            return respond(request, NotFound(f"There is no guide “{kwargs['name'][:40]}”. See /api/docs."))
        return super().get(request, **kwargs)

    def context(self, **kwargs: str) -> dict[str, Any]:
        found = guide(kwargs["name"])
        assert found is not None
        every = list(guides())
        at = every.index(found)
        return {
            **super().context(),
            "heading": found.title,
            "here": f"guide-{found.name}",
            "guide": found,
            "previous": every[at - 1] if at else None,
            "next": every[at + 1] if at + 1 < len(every) else None,
        }


class SearchView(_Page):
    """Guides, operations, changes and errors that have all words."""

    template = "hub/api/search.html"
    here = "search"
    heading = "Search"

    def context(self, **kwargs: str) -> dict[str, Any]:
        query = " ".join(self.request.GET.get("q", "").split())[:100]
        return {**super().context(), "query": query, "hits": find(query, entries)}


class ChangelogView(_Page):
    """What changed from version to version."""

    template = "hub/api/changelog.html"
    here = "changelog"
    heading = "Changelog of the API"

    def context(self, **kwargs: str) -> dict[str, Any]:
        return {**super().context(), "newest_first": [_history(spec) for spec in reversed(versions.all())]}


def _history(spec: VersionSpec) -> dict[str, Any]:
    """A version with its state and its changes by revision, the newest first."""
    state, now = versions.state(spec.name), datetime.now(UTC)
    told = changes.in_version(spec.name)
    return {
        "spec": spec,
        "state": state,
        "status": "ended"
        if state.is_sunset(now)
        else "deprecated"
        if state.is_deprecated(now)
        else "newest"
        if spec is versions.newest
        else "active",
        "successor": versions.successor_of(spec.name),
        "features": [(one, versions.allows(spec.name, one.name)) for one in spec.features],
        "revisions": [
            {"date": day, "changes": [change for change in told if change.since.endswith(day.isoformat())]}
            for day in reversed(spec.dates)
        ],
    }


class ErrorsView(_Page):
    """What the `type` of a problem points at."""

    template = "hub/api/errors.html"
    here = "errors"
    heading = "Kinds of errors"

    def context(self, **kwargs: str) -> dict[str, Any]:
        return {**super().context(), "kinds": _kinds()}


def _kinds() -> list[type[HubError]]:
    """Every declared error once per code, by status."""
    found: dict[str, type[HubError]] = {}
    waiting: list[type[HubError]] = [HubError]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind is not HubError:
            found.setdefault(kind.code, kind)
    return sorted(found.values(), key=lambda kind: (kind.status, kind.code))


@cache
def entries() -> list[Entry]:
    """All that can be searched for."""
    made = document(versions.newest.name)
    found = guide_entries()
    for path, item in made["paths"].items():
        for method, operation in item.items():
            found.append(
                Entry(
                    f"/api/docs?version={versions.newest.name}#/{operation['tags'][0]}/{operation['operationId']}",
                    operation["summary"],
                    "Operations",
                    f"{operation.get('description', '')} {operation.get('x-scope', '')}",
                    code=f"{method.upper()} {path}",
                )
            )
    for change in changes.all():
        version = change.since.partition("@")[0]
        found.append(
            Entry(f"/api/changelog#{version}", change.title, f"Changes of {version}", change.description)
        )
    for kind in _kinds():
        text = " ".join((kind.__doc__ or "").split())
        found.append(
            Entry(f"/api/errors#{kind.code}", kind.title, "Errors", text, f"{kind.status} {kind.code}")
        )
    return found
