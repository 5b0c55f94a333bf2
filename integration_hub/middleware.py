"""Headers that tell a browser what a page of the hub may do."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse

STRICT = {
    "default-src": "'none'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
}
PAGES = {
    "default-src": "'self'",
    "img-src": "'self' data:",
    "style-src": "'self' 'unsafe-inline'",
    "font-src": "'self' data:",
    "object-src": "'none'",
    "base-uri": "'self'",
    "frame-ancestors": "'none'",
    "form-action": "'self'",
}
# A form of these pages may end in a redirect to a provider's or an application's address, and browsers
# hold form-action against redirects, too.
LEAVING = "'self' https: http://127.0.0.1:* http://localhost:*"
# Alpine, which the admin's theme is made with, evaluates its attributes.
ADMIN = PAGES | {"script-src": "'self' 'unsafe-eval'", "form-action": LEAVING}
# Swagger UI and Redoc start by an inline script; Redoc works in a blob.
DOCS = PAGES | {"script-src": "'self' 'unsafe-inline'", "worker-src": "'self' blob:"}
OAUTH = PAGES | {"script-src": "'self'", "form-action": LEAVING}

POLICIES: tuple[tuple[str, dict[str, str]], ...] = (
    ("/admin/", ADMIN),
    ("/api/docs", DOCS),
    ("/api/redoc", DOCS),
    ("/api/changelog", DOCS | {"script-src": "'self'"}),
    ("/oauth/", OAUTH),
    ("/static/", PAGES),
)
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"


_STRICT = "; ".join(f"{name} {sources}" for name, sources in STRICT.items())


def policy(path: str) -> str:
    """The Content-Security-Policy of the page at `path`; strict wherever no page is."""
    directives = next((found for prefix, found in POLICIES if path.startswith(prefix)), None)
    if directives is None:
        return _STRICT
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


class SecurityHeaders:
    """Sets Content-Security-Policy and Permissions-Policy where the view has set none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.debug = settings.DEBUG

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        # Django's own error page with DEBUG on needs inline script and style.
        if not (self.debug and response.status_code >= 400):
            response.headers.setdefault("Content-Security-Policy", policy(request.path))
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response
