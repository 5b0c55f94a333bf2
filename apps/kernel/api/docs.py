"""The documentation's pages: OpenAPI document, Swagger UI, Redoc, changelog, kinds of errors. All offline."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.http import parse_etags
from django.views import View
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.settings import spectacular_settings

from apps.kernel.api.problems import respond
from apps.kernel.api.renderers import dumps
from apps.kernel.api.versions import versions
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


def guides() -> str:
    """The guides of docs/guides as one Markdown text, in the order of their names."""
    folder = Path(settings.BASE_DIR) / "docs" / "guides"
    return "\n\n".join(path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("[0-9]*.md")))


def _render(version: str, form: str, with_guides: bool) -> bytes:
    found = _rendered.get((version, form, with_guides))
    if found is None:
        made = document(version)
        if with_guides:
            info = made["info"]
            made = {**made, "info": {**info, "description": f"{info['description']}\n\n{guides()}"}}
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
            return HttpResponse(status=304, headers={"ETag": etag})
        return HttpResponse(body, content_type=f"{kind}; charset=utf-8", headers={"ETag": etag})


class _Page(View):
    template = ""
    # Both tools write styles into the page; Redoc searches in a worker.
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    )

    def get(self, request: HttpRequest) -> HttpResponse:
        response = render(request, self.template, self.context())
        response["Content-Security-Policy"] = self.policy
        response.is_page = True  # type: ignore[attr-defined]  # of no version
        return response

    def context(self) -> dict[str, Any]:
        return {
            "title": spectacular_settings.TITLE,
            "schema_url": reverse("api-schema"),
            "versions": versions.all(),
        }


class SwaggerView(_Page):
    """The calls, to be tried in the page."""

    template = "hub/api/swagger.html"

    def context(self) -> dict[str, Any]:
        files = "drf_spectacular_sidecar/swagger-ui-dist"
        return {
            **super().context(),
            "css": static(f"{files}/swagger-ui.css"),
            "bundle": static(f"{files}/swagger-ui-bundle.js"),
            "preset": static(f"{files}/swagger-ui-standalone-preset.js"),
            "favicon": static(f"{files}/favicon-32x32.png"),
            "settings": spectacular_settings.SWAGGER_UI_SETTINGS,
        }


class RedocView(_Page):
    """The calls, to be read, with samples."""

    template = "hub/api/redoc.html"

    def context(self) -> dict[str, Any]:
        return {
            **super().context(),
            "script": static("drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"),
        }


class ChangelogView(_Page):
    """What changed from version to version."""

    template = "hub/api/changelog.html"

    def context(self) -> dict[str, Any]:
        return {
            **super().context(),
            "heading": "Changelog",
            "here": "changelog",
            "newest_first": list(reversed(versions.all())),
        }


class ErrorsView(_Page):
    """What the `type` of a problem points at."""

    template = "hub/api/errors.html"

    def context(self) -> dict[str, Any]:
        kinds = sorted(_kinds(HubError), key=lambda kind: (kind.status, kind.code))
        return {**super().context(), "heading": "Errors", "here": "errors", "kinds": kinds}


def _kinds(base: type[HubError]) -> list[type[HubError]]:
    """Every declared error once per code, those that map to an HTTP answer of the caller's concern."""
    found: dict[str, type[HubError]] = {}
    waiting = [base]
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if kind is not base:
            found.setdefault(kind.code, kind)
    return list(found.values())
